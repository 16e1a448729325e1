// Hidden elements, where they are few, put among a row's results at the end of the fused kernel.
//
// Up to 32 are put in order among the results, or (if these are in none) in the places of the worst.
// Where there are more, certify.cuh repairs: at once (SLOW 1), or in a launch of its own for the rows
// that are marked (SLOW 0).
//
// From the command line: WINNERS (0, 1: certificate or repair is asked for), REPAIR, SLOW, KB.

#if WINNERS
// A hidden element to the list.
__device__ inline void hide(CertifySpace& space, const Entry<Key>& entry) {
  const u32 at = atomicAdd(&space.hidden, 1u);
  if (REPAIR && at < 32) space.hidden_keys[at] = entry.key, space.hidden_positions[at] = entry.index;
}

#if REPAIR
template <class Team> struct Placer {
  const Params& p;
  const RowEnds& ends;
  CertifySpace& space;
  Key* keys;  // room for k results
  u32* positions;

  __device__ Entry<Key> result(u32 i) const {
    const WrittenResults results = {p, ends};
    return results.get(i);
  }

  __device__ Entry<Key> hidden(u32 i) const {
    const Entry<Key> entry = {space.hidden_keys[i], space.hidden_positions[i]};
    return entry;
  }

  // How many hidden elements are better.
  __device__ u32 ahead_of(const Entry<Key>& entry, u32 count) const {
    u32 ahead = 0;
#pragma unroll 1
    for (u32 j = 0; j < count; ++j) ahead += better(hidden(j), entry);
    return ahead;
  }

  // Results are best first, and stay so: from the last to the first they move up.
  __device__ void insert(u32 count) const {
    const RepairedSink output = {p, ends};
    if (Team::rank() < 32) space.sums[Team::rank()] = 0;  // results better than each hidden element
    Team::sync();
#pragma unroll 1
    for (u32 round = (p.k + Team::size - 1) / Team::size; round-- > 0;) {
      const u32 i = round * Team::size + Team::rank();
      const Entry<Key> moved = result(i < p.k ? i : 0);
      u32 to = i;
#pragma unroll 1
      for (u32 j = 0; j < count; ++j) {
        const bool ahead = better(moved, hidden(j));
        const u32 aheads = __popc(__ballot_sync(~0u, i < p.k && ahead));
        if (Team::lane() == 0) atomicAdd(&space.sums[j], aheads);
        to += !ahead;
      }
      Team::sync();  // these have been read
      if (to > i && to < p.k) output(to, moved.key, moved.index);
    }
    Team::sync();
    if (Team::rank() < count) {
      const Entry<Key> entry = hidden(Team::rank());
      const u32 to = space.sums[Team::rank()] + ahead_of(entry, count);
      if (to < p.k) output(to, entry.key, entry.index);
    }
  }

  __device__ Entry<Key> worst_of_thread(u32& place) const {
    Entry<Key> mine = {~(Key)0, 0};
#pragma unroll 4
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = {keys[i], positions[i]};
      if (better(mine, entry)) mine = entry, place = i;
    }
    return mine;
  }

  // The best hidden element takes the place of the worst result, and so on while it is the better. It is
  // better than all that follow, so these never meet it there.
  __device__ void replace(u32 count) const {
    const RepairedSink output = {p, ends};
#pragma unroll 4
    for (u32 i = Team::rank(); i < p.k; i += Team::size) {
      const Entry<Key> entry = result(i);
      keys[i] = entry.key, positions[i] = entry.index;  // each thread its own
    }
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
        keys[place] = entry.key, positions[place] = entry.index;
        mine = worst_of_thread(place);
      }
      Team::sync();
    }
  }
};
#endif

// Whether a row's answer is exact goes out; or (REPAIR) it is made so, at once or later. Hidden elements
// have been listed before a barrier; `ordered`: results are best first. Ends without one.
template <class Team>
__device__ inline void settle(const Params& p, const Area& area, CertifySpace& space, SelectSpace<Team::size>& select_space,
                              u32 row, const RowEnds& ends, u32 hidden, bool ordered) {
#if REPAIR
  if (hidden > 32) {
#if SLOW
    const WrittenResults results = {p, ends};
    Certifier<Team, WrittenResults>(p, area, space, select_space, ends, results).repair();
#endif
  } else if (hidden) {
    const Placer<Team> placer = {p, ends, space, area.keys, area.positions};
    if (ordered)
      placer.insert(hidden);
    else
      placer.replace(hidden);
  }
#if !SLOW
  if (Team::rank() == 0) marks_of(p)[row] = hidden > 32;
#endif
#else
  if (Team::rank() == 0) p.exact[row] = hidden == 0;
#endif
}
#endif
