// Certificate and repair where there are no candidates to look at: results are noted in shared memory
// as they are found.
//
// They are counted by bucket while they go out. Elements of flagged buckets that are better than tau are
// listed; hidden among them are each bucket's, but the best KB. Else as hidden.cuh.
//
// From the command line: NOTED (0, 1), REPAIR, KB.

#if NOTED
template <class Team> struct Winners {
  static const u32 most_found = 512;
  const Params& p;
  const Area& area;
  CertifySpace& space;
  const RowEnds ends;
  const Buckets buckets;

  __device__ Winners(const Params& params, const Area& a, CertifySpace& s, u32 row)
      : p(params), area(a), space(s), ends(ends_of(params, row)), buckets{params, ends.arr} {}

  // Before all rows, with a barrier after it.
  __device__ static void prepare(const Params& p, const Area& area) {
    for (u32 w = Team::rank(); w < (p.b + 3) / 4; w += Team::size) area.counts[w] = 0;
  }

  // Before a row, with barriers before and after it.
  __device__ static void begin(CertifySpace& space) {
    if (Team::rank() == 0) space.flags = space.found = space.hidden = 0;
  }

  // A result's place, its element's key and its index.
  __device__ void note(u32 place, Key key, u32 index) const {
    area.winner_keys[place] = key;
    area.winner_positions[place] = index;
    const u32 bucket = buckets.of(index);
    if (bucket >= p.droppers) return;
    const u32 shift = bucket % 4 * 8;
    if (KB > 1 && (atomicAdd(&area.counts[bucket / 4], 1u << shift) >> shift & 0xFF) != KB - 1) return;
    area.flagged[atomicAdd(&space.flags, 1u)] = bucket;
  }

  __device__ Entry<Key> winner(u32 i) const {
    const Entry<Key> entry = {area.winner_keys[i], area.winner_positions[i]};
    return entry;
  }

  __device__ Entry<Key> worst_winner() const {
    Entry<Key> mine = {~(Key)0, 0};
    for (u32 i = Team::rank(); i < p.k; i += Team::size) mine = better(mine, winner(i)) ? winner(i) : mine;
    return worst<Team>(space, mine);
  }

  struct Flagged {
    const u32* buckets;
    __device__ u32 operator()(u32 i) const { return buckets[i]; }
  };

  // Lists hidden elements of the row, all of whose results are noted; false if too many are better than
  // tau. `ordered`: results are best first. Begins and ends with a barrier.
  __device__ bool list_hidden(bool ordered) const {
    Team::sync();
    const Entry<Key> tau = ordered ? winner(p.k - 1) : worst_winner();
    const u32 tau_bucket = buckets.of(tau.index), flags = space.flags;
    // All of that bucket but tau are better than tau, so it may be listed for nothing.
    const bool listed = tau_bucket < p.droppers &&
                        (KB == 1 || (area.counts[tau_bucket / 4] >> tau_bucket % 4 * 8 & 0xFF) == KB);
    const u32 known = KB * (flags - listed);
    const Flagged flagged = {area.flagged};
    if (known) {
      buckets.each<Team, AT_ONCE>(flags, flagged, [&](const Entry<Key>(&entries)[AT_ONCE], const u32(&which)[AT_ONCE], const bool(&there)[AT_ONCE]) {
#pragma unroll
        for (int j = 0; j < AT_ONCE; ++j) {
          if (there[j] && better(entries[j], tau) && flagged(which[j]) != tau_bucket) find(entries[j], which[j]);
        }
      });
    }
    Team::sync();
    if (KB > 1) {
      for (u32 i = Team::rank(); i < p.k; i += Team::size) area.counts[buckets.of(winner(i).index) / 4] = 0;
    }
    const u32 found = space.found;
    if (found == known) return true;
    if (!REPAIR) {
      if (Team::rank() == 0) space.hidden = found - known;
    } else {
      if (found > room()) return false;
      choose_hidden(found);
    }
    Team::sync();
    return true;
  }

  __device__ u32 room() const { return area.entries / 2 < most_found ? area.entries / 2 : most_found; }

  // An element of the i-th flagged bucket, better than tau.
  __device__ void find(const Entry<Key>& entry, u32 i) const {
    const u32 at = atomicAdd(&space.found, 1u);
    if (!REPAIR || at >= room()) return;
    area.keys[at] = entry.key;
    area.positions[at] = entry.index;
    area.positions[room() + at] = i;
  }

  // Lists what KB others of its bucket are better than.
  __device__ void choose_hidden(u32 found) const {
    const u32* const of = area.positions + room();
#pragma unroll 1
    for (u32 i = Team::rank(); i < found; i += Team::size) {
      const Entry<Key> entry = {area.keys[i], area.positions[i]};
      u32 ahead = 0;
#pragma unroll 4
      for (u32 j = 0; j < found; ++j) {
        const Entry<Key> other = {area.keys[j], area.positions[j]};
        ahead += (of[j] == of[i]) & better(other, entry);
      }
      if (ahead >= KB) hide(space, entry);
    }
  }
};

// Results go out, and are noted.
template <class Team> struct NotingSink {
  const OutputSink& output;
  const Winners<Team>& winners;
  __device__ void operator()(u32 place, Key key, u32 index) const {
    output(place, key, index);
    winners.note(place, key >> KEY_SHIFT, index);
  }
};

// A row whose results are out, and noted. Begins and ends with a barrier.
template <class Team>
__device__ inline void conclude_noted(const Params& p, const Area& area, CertifySpace& space, SelectSpace<Team::size>& select_space,
                                      u32 row, const Winners<Team>& winners, bool ordered) {
  const bool few = winners.list_hidden(ordered), counted = REPAIR && SLOW && (!few || space.hidden > 32);
  settle<Team>(p, area, space, select_space, row, winners.ends, few, ordered);
  if (counted) Winners<Team>::prepare(p, area);  // by repair, into what was zero
}
#endif

#if WINNERS
// The same for the lanes of a warp that hold k <= 32 results, best first: whether they are the true
// top k; with REPAIR they are made so.
__device__ inline bool certify_warp(const Params& p, const RowEnds& ends, Entry<Key>& winner) {
  const Buckets buckets = {p, ends.arr};
  const u32 lane = threadIdx.x % 32, longest = p.run + (p.longer != 0);
  Entry<Key> tau = {__shfl_sync(~0u, winner.key, p.k - 1), __shfl_sync(~0u, winner.index, p.k - 1)};
  const u32 bucket = lane + 1 < p.k ? buckets.of(winner.index) : ~lane;  // none is alike
  const u32 same = __match_any_sync(~0u, bucket);
  u32 flagged = __ballot_sync(~0u, bucket < p.droppers && __popc(same) == KB && lane == __ffs(same) - 1);
  bool exact = true;
  for (; flagged; flagged &= flagged - 1) {
    const u32 of = __shfl_sync(~0u, bucket, __ffs(flagged) - 1);
    u32 found = 0;
    for (u32 base = 0; base < longest; base += 32) {
      const u32 step = base + lane, index = buckets.index_of(of, step);
      const bool there = step < p.run + (of < p.longer);
      const Entry<Key> entry = {element_key(there ? ends.arr[index * (STRIDED ? p.in.step : 1)] : 0), index};
      u32 better_ones = __ballot_sync(~0u, there && better(entry, tau));
      found += __popc(better_ones);
#if REPAIR
      for (; better_ones; better_ones &= better_ones - 1) {
        const u32 from = __ffs(better_ones) - 1;
        const Entry<Key> other = {__shfl_sync(~0u, entry.key, from), __shfl_sync(~0u, entry.index, from)};
        if (!better(other, tau) || __any_sync(~0u, lane < p.k && winner.index == other.index)) continue;
        const u32 place = __popc(__ballot_sync(~0u, lane < p.k && better(winner, other)));
        const Entry<Key> above = {__shfl_up_sync(~0u, winner.key, 1), __shfl_up_sync(~0u, winner.index, 1)};
        if (lane >= place) winner = lane == place ? other : above;
        tau.key = __shfl_sync(~0u, winner.key, p.k - 1), tau.index = __shfl_sync(~0u, winner.index, p.k - 1);
      }
#endif
    }
    exact = exact && found == KB;
  }
  return exact;
}
#endif
