// Certificate and repair at the end of the fused kernel, told by what the queues lost.
//
// A row's results are its true top k if the best key that its queues dropped is worse than tau, the
// worst of the results. That takes an operation or two for each element, and a look at one key of each
// group of V buckets: no more, for nearly all rows. Else the groups that lost such a key are read again.
// Where a group's last candidates are known, they tell at once of a tie with tau that it hides nothing: what
// a bucket dropped is worse than the last that it kept. Where quick selection found the results, it has told of the few groups
// to be looked at; see losslist.cuh and quicklosses.cuh.
//
// A certificate is given by the thread that puts the worst result, by the best key that any group lost. Its
// warp reads groups again if that ties with tau.
//
// LATE: rows are hardly ever exact, and what proves it is dropped late. So the best that a group lost is known of the
// last steps of its walk alone, and of those before that it is worse than the last candidates of then (see stage1.cuh).
// If that leaves it open, all threads read again the few groups that it is about.
//
// BY_THREAD: all groups that a thread walks, one in each pass, have a place together. For a certificate the best of all is
// what counts, as a rule, and what is not taken of shared memory is left for loads on their way; see teams.py.
//
// COARSE: lost keys are known roughly; see ranking.cuh.
//
// From the command line: WINNERS, REPAIR, LATE, BY_THREAD, COARSE, HELD, SPREAD, CLUSTER, TEAM, KEY_SHIFT, STRIDED, INDICES.

#if WINNERS
// A lost key is this much less, at the most.
static const Key SLACK = !COARSE ? 0 : sizeof(Key) == 8 ? 0xFFFFFFFFu : 0xFFFF;
// Whether one that is no worse than tau's may have it.
__device__ inline bool may_tie(Key lost, Key tau) { return lost >= tau && lost - tau <= SLACK; }

// What groups of buckets lost, in the memory of the first block of a cluster or (LOST_AT_HOME) in each one's own; SPREAD: so are
// the last candidates.
struct Losses {
  Key* keys;              // the best key that each group lost, or (BY_THREAD) each thread's groups; LATE: late
  u32 apart;              // groups that have a place together are so far apart
  u32 own;                // groups that a block of a cluster walks
  const Key* candidates;   // the last of each bucket
  const Indices* indices;  // of all candidates, known when these are there
#if LATE
  Key* early;  // what they lost before is worse than this
#endif

  __device__ static u32 groups(const Params& p) { return (p.b + GROUP - 1) / GROUP; }
  __device__ static u32 places(const Params& p) { return LATE ? TEAM : BY_THREAD ? p.tile / V : groups(p); }
  __device__ static u32 aligned(u32 places) { return (places + 3) / 4 * 4; }

  // Of a team's memory.
  __device__ static u32 bytes_of(const Params& p) {
    return ((1 + LATE) * aligned(places(p)) + (MERGE ? aligned(p.parts * p.tile) : 0)) * (u32)sizeof(Key);
  }
#if MERGE
  __device__ Key* of_lists(const Params& p) const { return keys + aligned(groups(p)); }
#endif

  // Before the barrier that candidates wait for too.
  __device__ void set(u32 group, Key lost) const {
#if LOST_AT_HOME
    keys[group] = lost;
#else
    store_in_first(keys + group, lost);
#endif
  }
#if BY_THREAD
  __device__ void add(u32 thread, Key lost, u32 pass) const {
    keys[thread] = pass ? Wholes::greater(keys[thread], lost) : lost;
  }
  // In all passes.
  __device__ Key of_thread(u32 thread) const { return thread < apart ? keys[thread] : 0; }
#endif
#if LATE
  __device__ void begin(u32 thread) const { early[thread] = 0; }
  __device__ void set_early(u32 thread, const Queues& queues) const {
    Key last = early[thread];  // of the passes before
#pragma unroll
    for (int u = 0; u < V; ++u) last = Wholes::greater(last, queues[u].key(KB - 1));
    early[thread] = last;
  }
  __device__ Key best_of(u32 group) const { return Wholes::greater(keys[group % apart], early[group % apart]); }
#elif BY_THREAD
  __device__ Key best_of(u32 group) const { return keys[group % apart]; }
#elif LOST_AT_HOME
  __device__ Key best_of(u32 group) const {
    Key lost;
    load_remote(lost, remote(keys + group, group / own));
    return lost;
  }
#else
  __device__ Key best_of(u32 group) const { return keys[group]; }
#endif

  // The last that a bucket kept.
  __device__ Entry<Key> last_of(u32 bucket) const {
#if SPREAD
    const u32 home = bucket / (own * GROUP);
    Key key;
    u32 word = 0;
    load_remote(key, remote(candidates + bucket, home));
    if (INDICES != IN_KEYS) load_remote(word, remote(indices->words + indices->word_of(KB - 1, bucket), home));
    return {key, indices->index_by(KB - 1, bucket, key, word)};
#else
    return {candidates[bucket], indices->at(KB - 1, bucket)};
#endif
  }
  // Whether a bucket of a group dropped this element.
  __device__ bool dropped(u32 group, u32 u, const Entry<Key>& entry) const {
    const u32 bucket = group * GROUP + u;
    Entry<Key> last = last_of(bucket);
    last.key >>= KEY_SHIFT;
    return better(last, entry);
  }
  // Whether a group can hide something: its last candidates tell of ties.
  __device__ bool flagged(u32 group, const Entry<Key>& tau) const {
    if (best_of(group) < tau.key) return false;
    bool any = false;
#pragma unroll
    for (u32 u = 0; u < GROUP; ++u) {
      any |= better(last_of(group * GROUP + u), tau);
    }
    return any;
  }
};

#if !REPAIR
// What a thread knows of a row's certificate.
struct Verdict {
  Key most;         // the best key that any group lost; LATE: late; by quick selection: that is marked
  Entry<Key> open;  // tau, in one thread, where that leaves it open: it may have that key or (LATE) a better one

  __device__ void give(const Params& p, u32 row, const Entry<Key>& tau) {
    p.exact[row] = !LATE && most < tau.key;  // for good, unless it is open
    if (may_tie(most, tau.key) || (LATE && most < tau.key)) open = tau;
  }
};

// The greatest of the keys that a warp's threads look at, of `count` that a team's do.
template <class Team> __device__ inline Key greatest_of(const Key* keys, u32 count) {
  Key most = 0;
  for (u32 i = Team::rank(); i < count; i += Team::size) most = keys[i] > most ? keys[i] : most;
  return warp_max(most);
}

// Tells all threads the best key that any group lost. May end with a barrier.
template <class Team> __device__ inline void look(const Params& p, const Losses& losses, HiddenSpace& space, Verdict& verdict) {
#if TELLS_MOST
  const u32 count = CLUSTER * Team::warps;
  Key most = 0;
#pragma unroll
  for (u32 i = 0; i < (count + 31) / 32; ++i) {
    const u32 at = i * 32 + Team::lane();
    if (count % 32 == 0 || at < count) most = Wholes::greater(most, space.lost[at]);
  }
  most = warp_max(most);
#else
  Key most = greatest_of<Team>(losses.keys, Losses::places(p));
  if (!Team::is_warp) {
    if (Team::lane() == 0) space.keys[Team::warp()] = most;
    Team::sync();
    most = warp_max(space.keys[Team::lane() % Team::warps]);
  }
#endif
  verdict.most = most;
}
#endif

// Results go out. The last ones are noted, or tell the verdict.
template <class Team> struct WinnerSink {
  const OutputSink& output;
  const Losses& losses;
  HiddenSpace& space;
#if !REPAIR
  u32 row;
  Verdict& verdict;
#endif

  // Groups that will be read again are asked of L2 while results are put: where multiprocessors have no
  // other blocks to wait for them with. Hardly any others are. Of what ties with `least` none is asked for.
  __device__ void begin(Key least) const {
#if SPREAD
    return;  // it is known
#elif !REPAIR
    look<Team>(output.p, losses, space, verdict);
#elif TEAM >= 512
    const Params& p = output.p;
    const Buckets buckets = {p, output.ends.arr};
#pragma unroll 1
    for (u32 base = Team::warp() * 32; base < Losses::groups(p); base += Team::size) {
      const u32 group = base + Team::lane();
      u32 left = __ballot_sync(~0u, group < Losses::groups(p) && losses.keys[group] > least);
#pragma unroll 1
      for (; left; left &= left - 1) {
        const u32 bucket = (base + __ffs(left) - 1) * GROUP;
        for (u32 step = Team::lane(); step < p.run; step += 32) {
          if (UNALIGNED && !buckets.has(bucket, step)) continue;
          prefetch(output.ends.arr + (i64)buckets.index_of(bucket, step) * (STRIDED ? p.in.step : 1));
        }
      }
    }
#endif
  }
  __device__ void begin_ranks() const { begin(~(Key)0); }
  // For results ahead of those that are ranked: none of them is the worst.
  __device__ const OutputSink& above() const { return output; }
  __device__ void operator()(u32 place, Key key, u32 index) const {
    output(place, key, index);
    const u32 behind = output.p.k - 1 - place;
#if REPAIR
    if (behind < 32) space.worst_keys[behind] = key, space.worst_positions[behind] = index;
#else
    if (behind == 0) verdict.give(output.p, row, {key, index});
#endif
  }
};

// Calls f(entry, i, bucket of the group) for the elements of `count` groups, group_at(i) being the i-th of
// them, which are read as stage 1 read them: N loads of a thread at a time, or AT_ONCE elements of groups of one.
// The latter are read whole, of others steps below `begin` are left out.
template <class Team, int N, class At, class F>
__device__ inline void read_groups(const Params& p, const Bits* row, u32 count, const At& group_at, const F& f, u32 begin = 0) {
  const Buckets buckets = {p, row};
  // Of unaligned rows those alone that are neither in front of the row, where indices wrap, nor behind it.
  const auto exists = [&](u32 there, u32 index, u32 u) { return u < there && (!UNALIGNED || index + u < p.n); };
  if (GROUP == 1) {
    buckets.each<Team, AT_ONCE>(count, group_at,
                                [&](const Entry<Key>(&entries)[AT_ONCE], const u32(&which)[AT_ONCE], const bool(&there)[AT_ONCE]) {
#pragma unroll
      for (int j = 0; j < AT_ONCE; ++j) {
        if (there[j]) f(entries[j], which[j], 0u);
      }
    });
    return;
  }
  const u32 total = count * (p.run + (p.longer != 0) - begin);
#pragma unroll 1
  for (u32 first = Team::rank(); first < total; first += N * Team::size) {
    Chunk chunks[N];
    u32 which[N], index[N], there[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const u32 x = first + j * Team::size;
      which[j] = x % count, there[j] = 0;
      if (x >= total) continue;
      const u32 bucket = group_at(which[j]) * GROUP, step = begin + x / count;
      there[j] = step < p.run ? GROUP : bucket < p.longer ? p.longer - bucket : 0;
      index[j] = buckets.index_of(bucket, step);
      if (there[j] >= GROUP && (!UNALIGNED || index[j] <= p.n - GROUP)) {
        chunks[j].load(row + index[j]);
      } else {
#pragma unroll
        for (int w = 0; w < Chunk::words; ++w) chunks[j].word[w] = 0;
#pragma unroll
        for (int u = 0; u < GROUP; ++u) {
          if (exists(there[j], index[j], u)) chunks[j].put(u, row[index[j] + u]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
#pragma unroll
      for (int u = 0; u < GROUP; ++u) {
        const int each = Element::per_word;
        const Entry<Key> entry = {key_at<Element>(order<Element, LARGEST>(chunks[j].word[u / each]), u % each), index[j] + u};
        if (exists(there[j], index[j], u)) f(entry, which[j], (u32)u);
      }
    }
  }
}

#if REPAIR || LATE
// How many elements are hidden from a row's results, which are out. The last `ranked` of these are the worst,
// and best first. Begins and ends without a barrier. Nearly always two barriers and a look at a key are all:
// more instructions would be new to a multiprocessor, and take long to come. Of steps below `begin` it is known
// that they hide nothing.
template <class Team>
__device__ inline u32 count_hidden(const Params& p, const RowEnds& ends, HiddenSpace& space,
                                   SelectSpace<Team::size>& select_space, const Losses& losses, u32 ranked,
                                   u32 begin = 0) {
  const u32 most = SelectSpace<Team::size>::bins, groups = Losses::groups(p);
  u32* const listed = select_space.count;
  if (Team::rank() == 0) space.flags = space.hidden = space.next = 0;
  Team::sync();
  const Entry<Key> tau = {space.worst_keys[0], space.worst_positions[0]};
  const Entry<Key> bar = {tau.key >> KEY_SHIFT, tau.index};
#pragma unroll 1
  for (u32 first = 0; first < groups; first += most) {
    const u32 end = groups - first < most ? groups : first + most;
    bool any = false;
    for (u32 group = first + Team::rank(); group < end; group += Team::size) {
      if (losses.flagged(group, tau)) any = true, listed[atomicAdd(&space.flags, 1u)] = group;
    }
    if (!__builtin_expect(Team::any(any), 0)) continue;
    const auto look_at = [&](const Entry<Key>& entry, u32 i, u32 u) {
      if (better(entry, bar) && losses.dropped(listed[i], u, entry)) hide(space, entry);
    };
    read_groups<Team, 1>(p, ends.arr, space.flags, [&](u32 i) { return listed[i]; }, look_at, begin);
    Team::sync();
    if (end == groups) break;
    if (Team::rank() == 0) space.flags = 0;
    Team::sync();
  }
  const u32 hidden = space.hidden;
#if REPAIR
  if (hidden > few_hidden(ranked)) {  // repair looks at keys alone, and values may tie
    for (u32 group = Team::rank(); group < groups; group += Team::size) {
      if (!losses.flagged(group, tau)) losses.keys[group] = 0;
    }
  }
#endif
  return hidden;
}
#endif

#if LATE
// A certificate that is open to the thread that knows tau, by all.
template <class Team>
__device__ inline void certify_open(const Params& p, u32 row, const RowEnds& ends, HiddenSpace& space,
                                    SelectSpace<Team::size>& select_space, const Losses& losses, const Verdict& verdict) {
  const bool knows = verdict.open.index != NOWHERE;
  if (knows) space.worst_keys[0] = verdict.open.key, space.worst_positions[0] = verdict.open.index;
  if (__builtin_expect(!Team::any(knows), 1)) return;
  // If nothing that was lost late ties with tau, what is hidden was lost early, and so met early.
  const u32 begin = verdict.most < space.worst_keys[0] ? p.watched : 0;
  const u32 hidden = count_hidden<Team>(p, ends, space, select_space, losses, p.k, begin);
  if (Team::rank() == 0) p.exact[row] = hidden == 0;
}
#elif !REPAIR
// The worst of all candidates, `count` places of them, where these are the results, and nothing ranked them: to
// all threads.
template <class Team> __device__ inline Entry<Key> worst_of(HiddenSpace& space, const Key* keys, const Indices& indices, u32 count) {
  Entry<Key> mine = {~(Key)0, 0};
  for (u32 i = Team::rank(); i < count; i += Team::size) {
    const Entry<Key> entry = {keys[i], indices[i]};
    if (entry.index != NOWHERE && better(mine, entry)) mine = entry;
  }
  return worst<Team>(space, mine);
}

// A certificate where lost keys tie with tau, by the warp of the thread that knows tau. Where keys have steps, those of whole
// buckets, what was lost has tau's step, so that its bucket tells whether it is better; if that may be tau's or on either side, it
// is read again.
__device__ inline void certify_tied(const Params& p, u32 row, const RowEnds& ends, const Losses& losses, Entry<Key> tau) {
  const u32 has = __ballot_sync(~0u, tau.index != NOWHERE), lane = threadIdx.x % 32;
  if (__builtin_expect(!has, 1)) return;
  tau.key = __shfl_sync(~0u, tau.key, __ffs(has) - 1), tau.index = __shfl_sync(~0u, tau.index, __ffs(has) - 1);
  const Entry<Key> bar = {tau.key >> KEY_SHIFT, tau.index};
  const u32 groups = Losses::groups(p);
  bool wrong = false;
  const auto read = [&](u32 group) {
    read_groups<TeamOf<32>, 1>(p, ends.arr, 1, [&](u32) { return group; }, [&](const Entry<Key>& entry, u32, u32 u) {
      wrong |= better(entry, bar) && losses.dropped(group, u, entry);
    });
  };
#if KEY_SHIFT && !COARSE && !MERGE
  const Buckets buckets = {p, ends.arr};
  const u32 own = buckets.of(tau.index) / GROUP;
#pragma unroll 1
  for (u32 base = 0; base < Losses::places(p); base += 32) {
    bool may = false, may_not = false;
    if (base + lane < Losses::places(p) && losses.best_of(base + lane) >= tau.key) {
#pragma unroll 1
      for (u32 group = base + lane; group < groups; group += losses.apart) {
        if (losses.flagged(group, tau)) may |= group <= own, may_not |= group >= own;
      }
    }
    wrong |= may && !may_not;
    u32 left = __ballot_sync(~0u, may && may_not);
#pragma unroll 1
    for (; left; left &= left - 1) {
#pragma unroll 1
      for (u32 group = base + __ffs(left) - 1; group < groups; group += losses.apart) {
        if (losses.flagged(group, tau)) read(group);
      }
    }
  }
#else
#pragma unroll 1
  for (u32 base = 0; base < groups; base += 32) {
    u32 left = __ballot_sync(~0u, base + lane < groups && losses.flagged(base + lane, tau));
#pragma unroll 1
    for (; left; left &= left - 1) read(base + __ffs(left) - 1);
  }
#endif
  wrong = __any_sync(~0u, wrong);
  if (lane == 0) p.exact[row] = !wrong;
}
#endif
#endif
