// Many rows whose best lines are read again: few winners, elements of 2 or 4 bytes.
//
// 1. walk    A row is read in lines of 16 bytes, whatever its buckets are. Of some lines of a thread together, a group, the best is
//            kept: an operation for two 16-bit elements. Nothing else stays.
// 2. bound   A key that as many threads' best reach as are wanted, and hardly more, by halving the range that these lie in.
// 3. list    Lines of groups in which something reaches the bound are read again, from L2: those of a warp by its lanes.
// 4. rank    Pairs of what is listed are compared for the places in the output.
// 5. drop    A plan's queues would have dropped what KB others of its bucket are ahead of: these are listed, too. Hardly any
//            buckets have two in the list. What is behind a dropped one moves up.
//    Where each keeps one (CELLS), the best that is listed of it is found first, and all others are out of the list before that
//    is ranked.
//
// As of rows in registers (loaded.cuh), that a row is exact costs hardly anything to know, and REPAIR is not to drop anything. Where
// more reaches the bound, shares buckets or is dropped than there is room for, or less than k is left, nothing is given. Nor is it
// where the bound is next to the least key of all.
//
// From the command line: REREAD (lines of a group, 0: not so), GROUPS_EACH (of a thread), FLIGHT (how many of these are on their
// way), ENDS, MASKED (see loaded.cuh), CELLS (0, 1: each bucket keeps one and has a cell of its own), WINNERS, REPAIR, TEAM, KB.

#if REREAD
template <int WARPS> struct RereadSpace {
  static const u32 room = 384 / WARPS;  // groups that a warp can list
  static const u32 listed = 240, cells = 4096;
  static const u32 most = 64;  // of those that share cells, and of what was dropped
  List<listed, Compact> list;
  u8 ahead[listed];  // of each entry
  // CELLS: the best that is listed of each bucket. Else, of each cell that buckets share, the place of an entry of one.
  __align__(16) u32 of_cell[cells];
  Compact others[most], dropped[most];
  u32 met, drops;           // others that share a cell with its owner; what has been dropped
  Compact best_dropped;     // CELLS: of these
  u16 groups[WARPS][room];  // by their first lines
};

static_assert(sizeof(Key) == 4 && sizeof(RereadSpace<TEAM / 32>) <= (sizeof(Compact) == 4 ? 19032 : 20632), "what reread.py reckons with");

template <class Team> struct RereadRow {
  static const int each = 16 / (int)sizeof(Bits);  // elements of a line
  static const u32 step = REREAD * Team::size;     // lines from a group to the thread's next
  typedef RereadSpace<Team::warps> Space;
  static_assert(Team::size >= Space::listed, "a thread for each entry");

  const Params& p;
  const RowEnds& ends;
  SelectSpace<Team::size>& select_space;
  Space& space;
  u32 skipped;     // elements in front of the row's first whole line
  u32 first, end;  // the whole lines' numbers: a warp's lines are whole lines of memory, of 128 bytes, if there are threads for that

  __device__ RereadRow(const Params& params, const RowEnds& at, SelectSpace<Team::size>& select, Space& own)
      : p(params), ends(at), select_space(select), space(own) {
    skipped = ENDS ? (u32)(0 - (u64)at.arr / sizeof(Bits)) % each : 0;
    const u32 whole = (p.n - skipped) / each;
    first = (u32)((u64)(at.arr + skipped) / 16) % 8;
    if (first + whole > GROUPS_EACH * step) first = 0;
    end = first + whole;
  }

  // Before a barrier.
  __device__ void begin() const {
    space.list.template clear<Team>();
    if (Team::rank() == 0) space.met = space.drops = 0, space.best_dropped = 0;
#if CELLS
    const uint4 none = make_uint4(0, 0, 0, 0);
#pragma unroll 1
    for (u32 i = Team::rank() * 4; i < p.b; i += Team::size * 4) *(uint4*)(space.of_cell + i) = none;
#endif
  }

  // One of a thread's groups; what there is none of is no better than anything.
  __device__ void load(Word (&lines)[REREAD][4], const Bits* from, int i) const {
#pragma unroll
    for (int j = 0; j < REREAD; ++j) {
      const int number = (i * REREAD + j) * Team::size;
      u32* const to = (u32*)lines[j];
      const Bits* const at = from + number * each;
      if (number > 0 && i + 1 + ENDS < GROUPS_EACH) {
        load_streamed(to, at);
        continue;
      }
#pragma unroll
      for (int w = 0; w < 4; ++w) lines[j][w] = worst_word();
      const u32 its = Team::rank() + number;
      load_streamed_if(its >= first && its < end, to, at);
    }
  }

  // The best of each of a thread's groups.
  __device__ void walk(Word (&best)[GROUPS_EACH]) const {
    const Bits* const from = ends.arr + skipped + ((i64)Team::rank() - first) * each;  // or else each line had an address of its own
    Word lines[GROUPS_EACH][REREAD][4];
#pragma unroll
    for (int i = 0; i < FLIGHT && i < GROUPS_EACH; ++i) load(lines[i], from, i);
#pragma unroll
    for (int i = 0; i < GROUPS_EACH; ++i) {
#pragma unroll
      for (int j = 0; j < REREAD; ++j) {
        const Word most = better_of(better_of(lines[i][j][0], lines[i][j][1]), better_of(lines[i][j][2], lines[i][j][3]));
        best[i] = j ? better_of(best[i], most) : most;
      }
      asm volatile("" : "+r"(best[i]));  // not all are sent for first
      if (i + FLIGHT < GROUPS_EACH) load(lines[i + FLIGHT], from, i + FLIGHT);
    }
  }

#if ENDS
  // The place of an element outside whole lines, of which the first threads have one each; NOWHERE if a thread has none.
  __device__ u32 outside() const {
    const u32 at = Team::rank() < skipped ? Team::rank() : Team::rank() - skipped + index_of_line(end);
    return at < p.n ? at : NOWHERE;
  }
#endif

  // The index of a line's first element.
  __device__ u32 index_of_line(u32 at) const { return skipped + (at - first) * each; }
  __device__ u32 bucket_of(u32 index) const { return MASKED ? index & (p.b - 1) : index % p.b; }

  __device__ void put(u32 place, Key key, u32 index) const {
    space.list.entries[place] = compact(key, index);
  }

  // Places in the list for a warp.
  __device__ u32 reserve(u32 count) const {
    u32 begin = 0;
    if (Team::lane() == 0) begin = add_shared(&space.list.length, count);
    return __shfl_sync(~0u, begin, 0);
  }

  // What of a line of keys reaches `bar`: bit w is for word w, and bit 16 + w for its upper half. No predicates, of which there
  // are few.
  __device__ static u32 reaching(const Word (&line)[4], Key bar) {
    const bool halves = Element::per_word == 2;
    const u32 below = halves ? (bar - 1) * 0x10001u : bar - 1;
    u32 hits = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const u32 more = halves ? Halves::less(Halves::greater(line[w], below) ^ below, 0x10001u)
                              : Wholes::less(Wholes::greater((u32)line[w], below) ^ below, 1u);
      hits |= more << w;
    }
    return hits;
  }

  // Lists what reaches `bar` of a warp's lines. More than there is room for makes the list longer than that.
  __device__ void list(const Word (&best)[GROUPS_EACH], Key bar) const {
    const u32 lane = Team::lane();
    const Word below = below_of(bar);
    u32 bits = 0;
#pragma unroll
    for (int i = 0; i < GROUPS_EACH; ++i) or_if(better_of(best[i], below) != below, bits, 1u << i);
    const u32 own = __popc(bits), before = warp_scan(own), count = __shfl_sync(~0u, before, 31);
    if (count > Space::room) {
      reserve(Space::listed + 1);
      return;
    }
    u16* const flagged = space.groups[Team::warp()];
    u16* to = flagged + before - own;
#pragma unroll 1
    for (; bits; bits &= bits - 1) *to++ = (u16)(Team::rank() + (__ffs(bits) - 1) * step);
    __syncwarp();
#pragma unroll 1
    for (u32 i = lane; i - lane < count * REREAD; i += 32) {
      const u32 at = i < count * REREAD ? flagged[i / REREAD] + i % REREAD * Team::size : end;
      const bool is = at >= first && at < end;
      Word line[4];
#pragma unroll
      for (int w = 0; w < 4; ++w) line[w] = worst_word();
      load_streamed_if(is, (u32*)line, ends.arr + index_of_line(at));
#pragma unroll
      for (u32 w = 0; w < 4; ++w) line[w] = order<Element, LARGEST>(line[w]);
      u32 hits = is ? reaching(line, bar) : 0;
      const u32 up_to = warp_scan(__popc(hits)), total = __shfl_sync(~0u, up_to, 31);
      if (!total) continue;
      const u32 begin = reserve(total);
      if (begin + total > Space::listed) break;
      u32 place = begin + up_to - __popc(hits);
#pragma unroll 1
      for (; hits; hits &= hits - 1) {  // mostly one
        const u32 hit = __ffs(hits) - 1, w = hit % 16, e = hit / 16;
        const Word even = w & 2 ? line[2] : line[0], odd = w & 2 ? line[3] : line[1];
        put(place++, key_at<Element>(w & 1 ? odd : even, e), index_of_line(at) + w * Element::per_word + e);
      }
    }
  }

#if CELLS
  // The best of so many listed, but for what was dropped, and whether this is worse. False, and nothing given, where that leaves
  // too few.
  template <class Sink> __device__ bool give(u32 at_row, u32 count, const Sink& sink) const {
    auto& all = space.list;
    const bool is = Team::rank() < count;
    const Compact entry = is ? all.entries[Team::rank()] : 0;
    u32* const cell = space.of_cell + bucket_of(index_of(entry));
    if (is) max_shared(cell, entry);
    Team::sync();
    const bool is_dropped = is && *cell != entry;
    if (is_dropped) all.entries[Team::rank()] = 0, max_shared(&space.best_dropped, entry);
    if (count - Team::count(is_dropped) < p.k) return false;
    all.template rank_entries<Team>(count, p.k, [&](u32 place, Compact entry) {
#if WINNERS
      if (place + 1 == p.k) p.exact[at_row] = space.best_dropped < entry;
#endif
      sink(place, key_of(entry), index_of(entry));
    });
    return true;
  }
#elif !REPAIR
  // The same.
  //
  // Of entries whose buckets share a cell one owns it, and others find that. Hardly any do. What is ahead of an entry in its
  // bucket is among these, or owns its cell.
  template <class Sink> __device__ bool give(u32 at_row, u32 count, const Sink& sink) const {
    const auto& all = space.list;
    const u32 own = Team::rank() < count ? Team::rank() : 0;
    const Compact entry = all.entries[own];
    const u32 bucket = bucket_of(index_of(entry));
    u32* const cell = space.of_cell + bucket % Space::cells;
    if (Team::rank() < count) atomicExch(cell, own);
    const u32 shared_by = decltype(space.list)::template sharing<Team>();
#pragma unroll 1
    for (u32 base = Team::warp() * 32 / shared_by; base < count; base += Team::size / shared_by) {
      const u32 i = base + Team::lane() / shared_by;
      const u32 ahead = all.template ahead_of<Team>(all.entries[i < count ? i : base], count);
      if (Team::rank() % shared_by == 0 && i < count) space.ahead[i] = ahead;
    }
    Team::sync();
    const bool is_other = Team::rank() < count && *cell != own;
    if (is_other) {
      const u32 at = count_shared(&space.met);
      if (at < Space::most) space.others[at] = entry;
    }
    const u32 drops = Team::any(is_other) ? drop(count, entry, bucket, *cell) : 0;
    if (drops > Space::most || count - drops < p.k) return refuse();
    if (Team::rank() >= count) return true;
    u32 moves = 0;
    bool is_dropped = false;
#pragma unroll 1
    for (u32 j = 0; j < drops; ++j) count_better(moves, space.dropped[j], entry), is_dropped |= space.dropped[j] == entry;
    const u32 place = space.ahead[own] - moves;
    if (is_dropped || place >= p.k) return true;
#if WINNERS
    if (place + 1 == p.k) p.exact[at_row] = moves == 0;
#endif
    sink(place, key_of(entry), index_of(entry));
    return true;
  }

  // Tells how many have been dropped of so many listed; `entry` is the thread's.
  __device__ u32 drop(u32 count, Compact entry, u32 bucket, u32 owner) const {
    const u32 others = space.met;
    if (others > Space::most) return others;
    u32 ahead = 0;
    const auto follow = [&](Compact other) {
      if (bucket_of(index_of(other)) == bucket) count_better(ahead, other, entry);
    };
    follow(space.list.entries[owner]);
#pragma unroll 1
    for (u32 j = 0; j < others; ++j) follow(space.others[j]);
    if (Team::rank() < count && ahead >= KB) {
      const u32 at = count_shared(&space.drops);
      if (at < Space::most) space.dropped[at] = entry;
    }
    Team::sync();
    return space.drops;
  }
#endif

  __device__ static bool refuse() {
    Team::sync();  // all know
    return false;
  }

  // Gives the k best to sink(place, key, index), best first, and tells whether they are the row's where that is asked.
  // Returns whether it did. Ends without a barrier if so. Calls find_results() when registers are free for what the sink needs.
  template <class F, class Sink> __device__ bool select(u32 at_row, const F& find_results, const Sink& sink) const {
#if ENDS
    if (outside() != NOWHERE) prefetch(ends.arr + outside());  // read behind the walk, which needs all registers
#endif
    Word best[GROUPS_EACH];
    walk(best);
    Word most = best[0];
#pragma unroll
    for (int i = 1; i < GROUPS_EACH; ++i) most = better_of(most, best[i]);
    Key own[2] = {greatest_in(order<Element, LARGEST>(most)), 0};
    const Key bar = bound_by_halving<Team, false>(select_space, own, p.wanted);
    if (bar <= 2) return refuse();  // list() needs a lesser one
#if ENDS
    Key key = 0;
    if (outside() != NOWHERE) key = element_key(ends.arr[outside()]);
#endif
    list(best, bar);
    find_results();
#if ENDS
    if (key >= bar) {
      const u32 place = count_shared(&space.list.length);
      if (place < Space::listed) put(place, key, outside());
    }
#endif
    Team::sync();
    const u32 count = space.list.length;
    if (count > Space::listed) return refuse();
#if REPAIR
    space.list.template rank_entries<Team>(count, p.k, [&](u32 place, Compact entry) { sink(place, key_of(entry), index_of(entry)); });
    return true;
#else
    return give(at_row, count, sink);
#endif
  }
};
#endif
