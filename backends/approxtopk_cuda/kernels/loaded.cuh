// Few rows, each in its threads' registers while it is selected from: few winners, elements of 2 or 4 bytes.
//
// 1. load    All of a row is on its way at once, in lines of 16 bytes, whatever its buckets are. Of each line the best element
//            is found, by an operation for four bytes.
// 2. bound   A key that enough threads' best reach, and not many more; see quick.cuh.
// 3. list    A warp shows its threads the lines in which something reaches the bound. What does is listed.
// 4. drop    A few warps find what of the list a plan's queues would have dropped: that which KB others of its bucket are ahead
//            of. The others of such a bucket are in the list, too.
// 5. rank    Other warps meanwhile compare all pairs for places in the output. What is behind a dropped one moves up.
//
// No element is put into a queue, and that a row is exact costs hardly anything to know: nothing that was dropped is ahead of
// the k-th. REPAIR is not to drop anything. Where more reaches the bound than there is room for, or less than k of it is left,
// nothing is given, and what follows in fused.cu has to do it.
//
// Of longer rows the blocks of a cluster have a part each, and the first of them the list; see cluster.cuh. Each block has places
// of its own there, so that it need not ask which are taken: those that stay empty are behind all others.
//
// From the command line: LOADED (lines of a thread, 0: rows are not loaded), ENDS (0, 1: a row may begin or end within a line),
// MASKED (0, 1: b is a power of two), WINNERS, REPAIR, TEAM, CLUSTER, KB, KEY_SHIFT; ALL_WAIT (defined for racecheck alone, see
// tests/cuda/sanitize.py: the first block tells others at its end, and waits for them).

#if LOADED
// What threads leave each other, besides the list.
template <int WARPS> struct LoadedSpace {
  static const u32 room = 512 / WARPS;  // lines that a warp can show
  __align__(16) Word lines[WARPS][room][4];
  u32 numbers[WARPS][room];  // of their first elements

  // The list by buckets: the last place of those that share a cell, and of each place the one before it; counted from 1.
  static const u32 cells = 2048;
  __align__(16) u32 last[cells];
  u32 before[decltype(SelectSpace<WARPS * 32>::list)::room];

  static const u32 most = 64, usual = 4;
  Listed dropped[most];  // `usual` of them are there, if only as what is ahead of nothing
  u32 drops;             // how many have been dropped
  u32 counts[CLUSTER];   // of elements that each block has listed; may be more than there is room for
  u32 refused;           // whether the first block has given nothing
};

static_assert(sizeof(Key) == 4 && sizeof(LoadedSpace<TEAM / 32>) <= 20272, "what loaded.py reckons with");

template <class Team> struct LoadedRow {
  static const int each = 16 / (int)sizeof(Bits);  // elements of a line
  static const u32 pitch = CLUSTER * Team::size;   // of a thread's lines
  static const u32 room = decltype(SelectSpace<Team::size>::list)::room / CLUSTER;  // of a block
  typedef LoadedSpace<Team::warps> Space;

  const Params& p;
  const RowEnds& ends;
  SelectSpace<Team::size>& select_space;
  Space& space;
  u32 lead;  // elements of its first line that are in front of the row
  u32 rank;  // of a thread in the cluster

  __device__ LoadedRow(const Params& params, const RowEnds& at, SelectSpace<Team::size>& select, Space& own)
      : p(params), ends(at), select_space(select), space(own), lead(ENDS ? (u32)((u64)at.arr / sizeof(Bits)) % each : 0), rank(cluster_rank() * Team::size + Team::rank()) {}

  // Before a barrier.
  __device__ void begin() const {
    select_space.list.template clear<Team>();
    if (Team::rank() == 0) space.drops = 0;
    if (Team::rank() < CLUSTER) space.counts[Team::rank()] = 0;
    if (CLUSTER > 1 && Team::rank() == 0) space.refused = 0;
    if (Team::rank() < Space::usual) space.dropped[Team::rank()] = 0;
#if !REPAIR
    const uint4 none = make_uint4(0, 0, 0, 0);
#pragma unroll 1
    for (u32 i = Team::rank() * 4; i < Space::cells; i += Team::size * 4) *(uint4*)(space.last + i) = none;
#endif
  }

  // A thread's lines; what there is none of is no better than anything.
  __device__ void load(Word (&lines)[LOADED][4]) const {
    const Bits* const from = ends.arr - lead;
    const u32 length = p.n + lead, whole = length / each;
#pragma unroll
    for (int i = 0; i < LOADED; ++i) {
      const u32 at = rank + i * pitch;
      const bool first = ENDS && i == 0, last = i + 1 + ENDS >= LOADED;
      if ((!last || at < whole) && !(first && at == 0 && lead)) {
        load_streamed((u32*)lines[i], from + at * each);
        continue;
      }
#pragma unroll
      for (int w = 0; w < 4; ++w) lines[i][w] = worst_word();
#if ENDS
      const u32 begin = at == 0 ? lead : 0, end = at < whole ? each : at == whole ? length - whole * each : 0;
#pragma unroll
      for (u32 u = 0; u < each; ++u) {
        if (u < begin || u >= end) continue;
        const u32 shift = 8 * sizeof(Bits) * (u % Element::per_word);
        Word& word = lines[i][u / Element::per_word];
        word = (word & ~((Word)(Bits)~0 << shift)) | (Word)from[at * each + u] << shift;
      }
#endif
    }
  }

  // Shows those of a warp's lines for which threads have a bit. Returns how many these are, of which there is room for some.
  __device__ u32 show(const Word (&lines)[LOADED][4], u32 bits) const {
    const u32 warp = Team::warp(), before = (1u << Team::lane()) - 1;
    u32 shown = 0;
#pragma unroll 1
    for (u32 those; (those = __ballot_sync(~0u, bits != 0)) != 0; bits &= bits - 1) {
      const u32 at = shown + __popc(those & before), which = bits && at < Space::room ? __ffs(bits) - 1 : LOADED;
      if (which < LOADED) space.numbers[warp][at] = (rank + which * pitch) * each - lead;
#pragma unroll
      for (u32 i = 0; i < LOADED; ++i) store_line_if(which == i, space.lines[warp][at], lines[i]);
      shown += __popc(those);
    }
    return shown;
  }
  __device__ static void store_line_if(bool does, Word* at, const Word (&line)[4]) {
#ifdef __CUDA_ARCH__
    asm volatile("{.reg .pred p; setp.ne.u32 p, %1, 0; @p st.shared.v4.u32 [%0], {%2, %3, %4, %5};}" ::"r"((u32)__cvta_generic_to_shared(at)),
                 "r"((u32)does), "r"((u32)line[0]), "r"((u32)line[1]), "r"((u32)line[2]), "r"((u32)line[3])
                 : "memory");
#else
    for (int w = 0; does && w < 4; ++w) at[w] = line[w];
#endif
  }

  __device__ Quick<Team, CLUSTER> quick() const { return {select_space}; }
  // Of a block's places in the list, which are every CLUSTER-th, reserves so many, for a warp. There may be fewer.
  __device__ u32 reserve(u32 count) const {
#if CLUSTER > 1
    add_only_remote(remote(space.counts + cluster_rank(), 0), count);
#endif
    return add_shared(&select_space.list.length, count);
  }
  __device__ u32 bucket_of(u32 index) const { return MASKED ? index & (p.b - 1) : index % p.b; }

  // Lists what reaches `bar` of a warp's lines; best[i] is the best of a thread's i-th. More than there is room for makes the list
  // longer than that.
  __device__ void list(const Word (&lines)[LOADED][4], const Word (&best)[LOADED], Key bar) const {
    const u32 lane = Team::lane(), warp = Team::warp();
    const Word below = below_of(bar);
    u32 bits = 0;
#pragma unroll
    for (int i = 0; i < LOADED; ++i) or_if(better_of(best[i], below) != below, bits, 1u << i);
    const u32 shown = show(lines, bits);
    if (shown > Space::room) {
      if (lane == 0) reserve(room + 1);
      return;
    }
    __syncwarp();
    const Bits* const elements = (const Bits*)space.lines[warp];
#pragma unroll 1
    for (u32 i = lane; i - lane < shown * each; i += 32) {
      const u32 line = i < shown * each ? i / each : 0;
      const Key key = element_key(elements[line * each + i % each]);
      const u32 index = space.numbers[warp][line] + i % each;
      const bool reaches = key >= bar && i < shown * each && (!ENDS || index < p.n);
      const u32 those = __ballot_sync(~0u, reaches);
      u32 at = 0;
      if (lane == 0) at = reserve(__popc(those));
      at = __shfl_sync(~0u, at, 0) + __popc(those & ((1u << lane) - 1));
      quick().put_if(reaches && at < room, at * CLUSTER + cluster_rank(), key << KEY_SHIFT, index);
    }
  }

#if !REPAIR
  // Tells what of a list was dropped, by threads of whole warps: each of them has a place to look after, as far as there are.
  __device__ void drop(u32 places, u32 place) const {
    const Listed* const entries = select_space.list.entries;
    const Listed entry = entries[place < places ? place : 0];
    const bool there = place < places && (CLUSTER == 1 || entry);
    const u32 bucket = bucket_of(index_of(entry)), cell = bucket % Space::cells;
    if (there) space.before[place] = atomicExch(space.last + cell, place + 1);
    sync_some((places + 31) / 32 * 32);
    if (!there) return;
    u32 ahead = 0;
#pragma unroll 1
    for (u32 next = space.last[cell]; next; next = space.before[next - 1]) {
      const Listed other = entries[next - 1];
      if (bucket_of(index_of(other)) == bucket) count_better(ahead, other, entry);
    }
    if (ahead < KB) return;
    const u32 at = count_shared(&space.drops);
    if (at < Space::most) space.dropped[at] = entry;
  }

  // The best of so many listed in so many places, but for what was dropped, and whether this is worse. False, and nothing given,
  // where that leaves too few.
  template <class Sink> __device__ bool give(u8* exact, u32 listed, u32 places, const Sink& sink) const {
    const u32 sharing = select_space.list.template sharing<Team>(), ranking = (places * sharing + 31) / 32;
    const u32 i = Team::rank() / sharing;
    const Listed entry = select_space.list.entries[i < places ? i : 0];
    // By the last warps, which have nothing to compare if others suffice for that.
    const u32 first = Team::size - (places + 31) / 32 * 32;
    if (Team::rank() >= first)
      drop(places, Team::rank() - first);
    else
      sync_alone();
    const u32 ahead = Team::warp() < ranking ? select_space.list.template ahead_of<Team>(entry, places) : 0;
    Team::sync();
    const u32 drops = space.drops;
    if (drops > Space::most || listed - drops < p.k) return tell_others(false);
    tell_others(true);
    if (i >= places || Team::rank() % sharing) return true;
    u32 moves = 0;
    bool is_dropped = false;
    const auto follow = [&](Listed other) { count_better(moves, other, entry), is_dropped |= other == entry; };
#pragma unroll
    for (u32 j = 0; j < Space::usual; ++j) follow(space.dropped[j]);
#pragma unroll 1
    for (u32 j = Space::usual; j < drops; ++j) follow(space.dropped[j]);
    const u32 place = ahead - moves;
    if (is_dropped || place >= p.k) return true;
#if WINNERS
    if (place + 1 == p.k) *exact = moves == 0;
#endif
    sink(place, key_of(entry), index_of(entry));
    return true;
  }
#endif

  // What becomes of a row, from the first block to others of its cluster, which wait for it.
  __device__ bool tell_others([[maybe_unused]] bool given) const {
#if CLUSTER > 1
    if (!given) {
      const u32 other = Team::rank();
      if (cluster_rank() == 0 && other > 0 && other < CLUSTER) store_remote(remote(&space.refused, other), 1u);
      __syncwarp();
    }
#if defined ALL_WAIT
    if (given && cluster_rank() == 0) return true;
#endif
    cluster_arrive();
#endif
    return given;
  }
  // By all threads, once others have been told. The first block does not wait for these: nobody needs its memory any more.
  __device__ bool end(bool given) const {
#if CLUSTER > 1
#if defined ALL_WAIT
    __syncwarp();
    if (given && cluster_rank() == 0) cluster_arrive();
#else
    if (given && cluster_rank() == 0) return true;
#endif
    __syncwarp();
    cluster_wait();
    given = given && !space.refused;
#endif
    return given || quick().refuse();
  }

  // Gives the k best to sink(place, key, index), best first, and tells `exact` whether they are the row's where that is asked.
  // Returns whether it did. Ends without a barrier if so.
  template <class Sink> __device__ bool select(u8* exact, const Sink& sink) const {
    Word lines[LOADED][4], best[LOADED];
    load(lines);
#pragma unroll
    for (int i = 0; i < LOADED; ++i) best[i] = better_of(better_of(lines[i][0], lines[i][1]), better_of(lines[i][2], lines[i][3]));
    Word most = best[0];
#pragma unroll
    for (int i = 1; i < LOADED; ++i) most = better_of(most, best[i]);
    cluster_wait();
    const Key bar = quick().bound(p.wanted, greatest_in(order<Element, LARGEST>(most)));
    if (bar <= 2) return quick().refuse();  // list() needs a lesser one
    list(lines, best, bar);
    quick().sync();
    if (cluster_rank() > 0) return end(tell_others(true));
    u32 listed = 0, longest = 0;  // of blocks' shares of the list
#pragma unroll
    for (int block = 0; block < CLUSTER; ++block) {
      const u32 own = CLUSTER > 1 ? space.counts[block] : select_space.list.length;
      listed += own, longest = Wholes::greater(longest, own);
    }
    const u32 places = CLUSTER * longest;
    if (longest > room || (!REPAIR && places * select_space.list.template sharing<Team>() > Team::size)) return end(tell_others(false));
#if REPAIR
    tell_others(true);
    select_space.list.template rank<Team>(places, p.k, 0, sink);
    return end(true);
#else
    return end(give(exact, listed, places, sink));
#endif
  }
};
#endif
