// Certificate and repair where the results are at hand: noted in shared memory as they are found.
//
// The steps are those of certify.cuh, shortened for what is usual: results are counted while they go
// out, elements of flagged buckets that are better than tau fit in a list, and those among them that
// were hidden are few: each bucket's, but the best KB. They are put in order among the results, or (if
// these are in none) in the places of the worst. Where there are too many, certify.cuh repairs.
//
// From the command line: WINNERS (0, 1: results are noted), REPAIR, KB.

#if WINNERS
// Results as they are noted.
struct NotedResults {
  const Area& area;
  __device__ Entry<Key> get(u32 i) const {
    const Entry<Key> entry = {area.winner_keys[i], area.winner_positions[i]};
    return entry;
  }
};

template <class Team> struct Winners {
  static const u32 most_found = 512;
  const Params& p;
  const Area& area;
  CertifySpace& space;
  const RowEnds ends;
  const Buckets buckets;
  const NotedResults results;
  Entry<Key> tau;

  __device__ Winners(const Params& params, const Area& a, CertifySpace& s, u32 row)
      : p(params), area(a), space(s), ends(ends_of(params, row)), buckets{params, ends.arr}, results{a} {}

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

  __device__ Entry<Key> worst_of_thread(u32& place) const {
    Entry<Key> mine = {~(Key)0, 0};
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = results.get(i);
      if (better(mine, entry)) mine = entry, place = i;
    }
    return mine;
  }

  // ---- certify ----

  // Whether the results, all noted, are the true top k. `ordered`: they are best first.
  __device__ bool certify(bool ordered) {
    Team::sync();
    u32 place;
    tau = ordered ? results.get(p.k - 1) : worst<Team>(space, worst_of_thread(place));
    const u32 tau_bucket = buckets.of(tau.index), flags = space.flags;
    // All of that bucket but tau are better than tau, so it is listed for nothing.
    const bool listed = tau_bucket < p.droppers &&
                        (KB == 1 || (area.counts[tau_bucket / 4] >> tau_bucket % 4 * 8 & 0xFF) == KB);
    const u32 known = KB * (flags - listed);
    if (known) {
      buckets.each<Team, 4>(area.flagged, flags, [&](const Entry<Key>(&entries)[4], const u32(&of)[4], const bool(&there)[4]) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (there[j] && of[j] != tau_bucket && better(entries[j], tau)) find(entries[j], of[j]);
        }
      });
    }
    Team::sync();
    if (KB > 1) {
      for (u32 i = Team::rank(); i < p.k; i += Team::size) area.counts[buckets.of(results.get(i).index) / 4] = 0;
    }
    return space.found == known;
  }

  // An element of a flagged bucket, better than tau.
  __device__ void find(const Entry<Key>& entry, u32 bucket) const {
    const u32 at = atomicAdd(&space.found, 1u);
#if REPAIR
    if (at >= room()) return;
    area.keys[at] = entry.key;
    area.positions[at] = entry.index;
    area.positions[room() + at] = bucket;
#endif
  }

#if REPAIR
  // ---- repair ----

  __device__ u32 room() const { return area.entries / 2 < most_found ? area.entries / 2 : most_found; }

  // Makes the results the true top k, where they aren't. Returns false, and has done nothing, where too
  // many were hidden.
  __device__ bool repair(bool ordered) const {
    const u32 found = space.found;
    if (found > room()) return false;
    const u32* const of = area.positions + room();
#pragma unroll 1
    for (u32 i = Team::rank(); i < found; i += Team::size) {
      const Entry<Key> entry = {area.keys[i], area.positions[i]};
      u32 ahead = 0;
      for (u32 j = 0; j < found; ++j) {
        const Entry<Key> other = {area.keys[j], area.positions[j]};
        ahead += of[j] == of[i] && better(other, entry);
      }
      if (ahead < KB) continue;
      const u32 at = atomicAdd(&space.hidden, 1u);
      if (at < 32) space.hidden_keys[at] = entry.key, space.hidden_positions[at] = entry.index;
    }
    Team::sync();
    if (space.hidden > 32) return false;
    if (ordered)
      insert(space.hidden);
    else
      replace(space.hidden);
    return true;
  }

  __device__ Entry<Key> hidden(u32 i) const {
    const Entry<Key> entry = {space.hidden_keys[i], space.hidden_positions[i]};
    return entry;
  }

  // How many hidden elements are better.
  __device__ u32 ahead_of(const Entry<Key>& entry, u32 count) const {
    u32 ahead = 0;
    for (u32 j = 0; j < count; ++j) ahead += better(hidden(j), entry);
    return ahead;
  }

  // Results are best first, and stay so.
  __device__ void insert(u32 count) const {
    const RepairedSink output = {p, ends};
#pragma unroll 1
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = results.get(i);
      const u32 place = i + ahead_of(entry, count);
      if (place > i && place < p.k) output(place, entry.key, entry.index);
    }
    if (Team::rank() < count) {
      const Entry<Key> entry = hidden(Team::rank());
      u32 low = 0, high = p.k;  // results better than the entry
      while (low < high) {
        const u32 middle = (low + high) / 2;
        if (better(results.get(middle), entry))
          low = middle + 1;
        else
          high = middle;
      }
      const u32 place = low + ahead_of(entry, count);
      if (place < p.k) output(place, entry.key, entry.index);
    }
  }

  // The best hidden element takes the place of the worst result, and so on while it is the better.
  __device__ void replace(u32 count) const {
    const RepairedSink output = {p, ends};
    if (Team::warp() == 0) {  // sorts
      const Entry<Key> entry = hidden(Team::lane() < count ? Team::lane() : 0);
      const u32 at = ahead_of(entry, count);
      __syncwarp();
      if (Team::lane() < count) space.hidden_keys[at] = entry.key, space.hidden_positions[at] = entry.index;
    }
    Team::sync();
    u32 place = 0;
    Entry<Key> mine = worst_of_thread(place);
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      const Entry<Key> last = worst<Team>(space, mine), entry = hidden(i);
      if (!better(entry, last)) return;
      if (mine.index == last.index && mine.key == last.key) {
        output(place, entry.key, entry.index);
        area.winner_keys[place] = ~(Key)0, area.winner_positions[place] = 0;  // the best there can be
        mine = worst_of_thread(place);
      }
      Team::sync();
    }
  }
#endif
};

// Notes results that are written; with barriers before and after it.
template <class Team> __device__ inline void note_written(const Params& p, const Winners<Team>& winners) {
  const WrittenResults results = {p, winners.ends};
#pragma unroll 1
  for (u32 base = Team::rank(); base < p.k; base += 4 * Team::size) {
    Entry<Key> entries[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) entries[j] = results.get(base + j * Team::size < p.k ? base + j * Team::size : base);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const u32 i = base + j * Team::size;
      if (i < p.k) winners.note(i, entries[j].key, entries[j].index);
    }
  }
}

// Results go out, and are noted.
template <class Team> struct NotingSink {
  const OutputSink& output;
  const Winners<Team>& winners;
  __device__ void operator()(u32 place, Key key, u32 index) const {
    output(place, key, index);
    winners.note(place, key >> KEY_SHIFT, index);
  }
};

// A row whose results are noted: p.exact says whether they are the true top k, or (REPAIR) they are made
// so; but with SLOW 0, where too many were hidden, the row is only marked. `ordered`: they are best first.
// Begins and ends with a barrier.
template <class Team>
__device__ inline void conclude(const Params& p, const Area& area, CertifySpace& space, SelectSpace<Team::size>& select_space,
                                u32 row, Winners<Team>& winners, bool ordered) {
  const bool exact = winners.certify(ordered);
#if REPAIR
  const bool done = exact || winners.repair(ordered);
#if SLOW
  if (!done) {
    Certifier<Team, NotedResults> certifier(p, area, space, select_space, winners.ends, winners.results);
    certifier.repair();
    certifier.clear();
  }
#else
  if (Team::rank() == 0) marks_of(p)[row] = !done;
#endif
#else
  if (Team::rank() == 0) p.exact[row] = exact;
#endif
  Team::sync();
}

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
