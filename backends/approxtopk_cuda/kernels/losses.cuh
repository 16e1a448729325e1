// Certificate and repair at the end of the fused kernel, told by what the queues lost.
//
// A row's results are its true top k if the best key that its queues dropped is worse than tau, the
// worst of the results. That takes an operation or two for each element, and a look at one key of each
// group of V buckets: no more, for nearly all rows. Else the groups that lost such a key are read again.
// A group's last candidates tell at once of a tie with tau that it hides nothing: what a bucket dropped
// is worse than the last that it kept. A certificate needs to read in case of such ties alone: what has a
// greater key than tau is better.
//
// From the command line: WINNERS, REPAIR, SLOW, KB, HELD, CLUSTER.

#if WINNERS
// Whether threads have what their queues lost at hand until the end of a row.
#define OWN_LOSSES (HELD && CLUSTER == 1)

// In the memory of the first block of a cluster.
struct Losses {
  Key* keys;  // the best key that each group of buckets lost; OWN_LOSSES: see share()
#if HELD
  u32* winners;  // indices of the results
#if OWN_LOSSES
  const Queues& queues;  // of the thread's group, if it has one
  const Place& place;
  u32 bucket;
#else
  Key* last_keys;  // the best of the last candidates of its buckets
  u32* last_positions;
#endif
#else
  const Key* candidates;  // the last of each bucket
  const u32* positions;
#endif

  __device__ static u32 groups(const Params& p) { return (p.b + GROUP - 1) / GROUP; }
  __device__ static u32 aligned(u32 places) { return (places + 3) / 4 * 4; }

  // In `memory`, bytes_of(p) of it.
  __device__ Losses(const Params& p, u8* memory, const Queues& q, const Place& at)
#if OWN_LOSSES
      : queues(q), place(at)
#endif
  {
    const u32 places = aligned(groups(p));
    keys = (Key*)memory;
#if OWN_LOSSES
    winners = (u32*)(keys + (SLOW ? places : 0));
    bucket = NOWHERE;
#elif HELD
    last_keys = keys + places;
    last_positions = (u32*)(last_keys + places);
    winners = last_positions + places;
#endif
  }
  __device__ static u32 bytes_of(const Params& p) {
    const u32 places = aligned(groups(p)), lists = MERGE ? aligned(p.parts * p.tile) : 0;
    if (OWN_LOSSES) return (SLOW ? places : 0) * (u32)sizeof(Key) + aligned(p.k) * 4;
    if (HELD) return places * (2 * (u32)sizeof(Key) + 4) + aligned(p.k) * 4;
    return (places + lists) * (u32)sizeof(Key);
  }
#if MERGE
  __device__ Key* of_lists(const Params& p) const { return keys + aligned(groups(p)); }
#endif

  // What a thread's queues of neighbouring buckets lost, before the barrier that candidates wait for too.
  __device__ void set(u32 first, const Queues& queues, const Place& place) {
#if OWN_LOSSES
    bucket = first;
#else
    put(keys + first / GROUP, queues.lost_key());
#if HELD
    const Entry<Key> last = best_last(queues, place);
    put(last_keys + first / GROUP, last.key);
    put(last_positions + first / GROUP, last.index);
#endif
#endif
  }
  template <class T> __device__ static void put(T* at, T x) {
#if CLUSTER > 1
    store_remote(remote(at, 0), x);
#else
    *at = x;
#endif
  }
  __device__ static Entry<Key> best_last(const Queues& queues, const Place& place) {
    Entry<Key> best = {0, NOWHERE};
#pragma unroll
    for (int u = 0; u < V; ++u) {
      const Entry<Key> last = {queues[u].key(KB - 1), index_at(queues[u], place, u, KB - 1)};
      if (better(last, best)) best = last;
    }
    return best;
  }

  // Calls f(group, the best key that it lost) for groups in a range that can hide something.
  template <class Team, class F> __device__ void each_flagged(u32 begin, u32 end, const Entry<Key>& tau, const F& f) const {
#if OWN_LOSSES
    const Key lost = queues.lost_key();
    if (lost >= tau.key && bucket != NOWHERE && better(best_last(queues, place), tau)) f(bucket / GROUP, lost);
#else
    for (u32 group = begin + Team::rank(); group < end; group += Team::size) {
      if (keys[group] >= tau.key && better(last_of(group, tau), tau)) f(group, keys[group]);
    }
#endif
  }
#if !OWN_LOSSES
  // The last candidate of one of the group's buckets: a better one than tau, if there is one.
  __device__ Entry<Key> last_of(u32 group, const Entry<Key>& tau) const {
#if HELD
    const Entry<Key> last = {last_keys[group], last_positions[group]};
#else
    Entry<Key> last = {0, NOWHERE};
#pragma unroll
    for (u32 u = 0; u < GROUP; ++u) {
      const Entry<Key> entry = {candidates[group * GROUP + u], positions[group * GROUP + u]};
      if (better(entry, tau)) last = entry;
    }
#endif
    return last;
  }
#endif

  // Leaves in `keys` what all groups lost. Begins without a barrier and ends with one.
  template <class Team> __device__ void share() const {
#if OWN_LOSSES
    if (bucket != NOWHERE) keys[bucket / GROUP] = queues.lost_key();
    Team::sync();
#endif
  }

  // Whether an element of a bucket, better than tau, is not among the results.
  __device__ bool is_hidden(const Params& p, u32 bucket, const Entry<Key>& entry) const {
#if HELD
    bool any = false;
#pragma unroll 8
    for (u32 i = 0; i < p.k; ++i) any |= winners[i] == entry.index;
    return !any;
#else
    const Entry<Key> last = {candidates[bucket] >> KEY_SHIFT, positions[bucket]};
    return better(last, entry);
#endif
  }
};

// Results go out. The last ones are noted, and a thread remembers its worst.
struct WinnerSink {
  const OutputSink& output;
  const Losses& losses;
  CertifySpace& space;
  Entry<Key>& worst;
  __device__ void operator()(u32 place, Key key, u32 index) const {
    output(place, key, index);
#if HELD
    losses.winners[place] = index;
#endif
    const u32 behind = output.p.k - 1 - place;
    if (behind < (REPAIR ? 32 : 1)) space.worst_keys[behind] = key, space.worst_positions[behind] = index;
    const Entry<Key> entry = {key, index};
    if (better(worst, entry)) worst = entry;
  }
};

// Calls f(entry, bucket) for the elements of listed groups, which are read as stage 1 read them.
template <class Team, class F>
__device__ inline void read_groups(const Params& p, const Bits* row, const u32* listed, u32 count, const F& f) {
  const Buckets buckets = {p, row};
  if (GROUP == 1) {
    buckets.each<Team, AT_ONCE>(count, [&](u32 i) { return listed[i]; },
                                [&](const Entry<Key>(&entries)[AT_ONCE], const u32(&which)[AT_ONCE], const bool(&there)[AT_ONCE]) {
#pragma unroll
      for (int j = 0; j < AT_ONCE; ++j) {
        if (there[j]) f(entries[j], listed[which[j]]);
      }
    });
    return;
  }
  const u32 total = count * (p.run + (p.longer != 0));
#pragma unroll 1
  for (u32 x = Team::rank(); x < total; x += Team::size) {
    const u32 bucket = listed[x % count] * GROUP, step = x / count;
    const u32 there = step < p.run ? GROUP : bucket < p.longer ? p.longer - bucket : 0;
    const u32 index = buckets.index_of(bucket, step);
    Key keys[GROUP];
    if (there >= GROUP) {
      Chunk chunk;
      chunk.load(row + index);
#pragma unroll
      for (int u = 0; u < GROUP; ++u) {
        const int each = Element::per_word;
        keys[u] = key_at<Element>(order<Element, LARGEST>(chunk.word[u / each]), u % each);
      }
    } else {
#pragma unroll
      for (int u = 0; u < GROUP; ++u) keys[u] = u < there ? element_key(row[index + u]) : 0;
    }
#pragma unroll
    for (int u = 0; u < GROUP; ++u) {
      const Entry<Key> entry = {keys[u], index + u};
      if (u < there) f(entry, bucket + u);
    }
  }
}

// A row whose results are out, the last `ranked` of them the worst, and best first; `mine` is the worst
// that a thread put. Begins and ends without a barrier. Nearly always two barriers and a look at a key are
// all: more instructions would be new to a multiprocessor, and take long to come.
template <class Team>
__device__ inline void conclude(const Params& p, const Area& area, CertifySpace& space, SelectSpace<Team::size>& select_space,
                                u32 row, const RowEnds& ends, const Losses& losses, const Entry<Key>& mine, u32 ranked) {
  const u32 most = SelectSpace<Team::size>::bins, groups = Losses::groups(p);
  u32* const listed = select_space.count;
  if (Team::rank() == 0) space.flags = space.hidden = space.wrong = 0;
  Entry<Key> tau;
  if (ranked) {
    Team::sync();
    tau.key = space.worst_keys[0], tau.index = space.worst_positions[0];
  } else {
    tau = worst<Team>(space, mine);
    if (Team::is_warp) Team::sync();
  }
  const Entry<Key> bar = {tau.key >> KEY_SHIFT, tau.index};
#pragma unroll 1
  for (u32 begin = 0; begin < groups; begin += most) {
    const u32 end = groups - begin < most ? groups : begin + most;
    bool any = false;
    losses.template each_flagged<Team>(begin, end, tau, [&](u32 group, Key lost) {
      any = true;
      if (!REPAIR && lost > tau.key)
        space.wrong = 1;
      else
        listed[atomicAdd(&space.flags, 1u)] = group;
    });
    if (!__builtin_expect(Team::any(any), 0)) continue;
    if (!REPAIR && space.wrong) break;
    read_groups<Team>(p, ends.arr, listed, space.flags, [&](const Entry<Key>& entry, u32 bucket) {
      if (better(entry, bar) && losses.is_hidden(p, bucket, entry)) hide(space, entry);
    });
    Team::sync();
    if (Team::rank() == 0) space.flags = 0;
    Team::sync();
  }
  settle<Team>(p, area, space, select_space, row, ends, losses, space.hidden + (REPAIR ? 0 : space.wrong), ranked);
}
#endif
