// Hidden elements, where they are few, put among a row's results at the end of the fused kernel.
//
// As many take the places of the worst results: the best hidden element that of the worst, the next one
// that of the next, as long as they are the better. Sorted results are put in order with them. Where there
// are more than 32, or more than results whose order is known, results are selected again; see repair.cuh.
//
// From the command line: WINNERS (0, 1: certificate or repair is asked for), REPAIR, SORTED.

// Whether warps tell the best key that their groups lost, before the barrier that candidates wait for. (HELD: threads do, where
// it matters. LATE: k = 2048 in bf16 took 1 % longer so. SPREAD: all are told with the range of candidates.)
#define TELLS_MOST (WINNERS && !REPAIR && !(HELD || LATE || LOADED || SPREAD))
// Whether what groups lost then stays with the blocks of a cluster that walk them. It is looked at only where the best of it ties
// with tau, and to store it in another block's memory takes as long as a candidate.
#define LOST_AT_HOME (WINNERS && (SPREAD || (TELLS_MOST && CLUSTER > 1)))

#if WINNERS
struct HiddenSpace : ResultSpace {
  static const int known = REPAIR || THREADS >= 512 ? 32 : 1;
  u32 flags, hidden;      // lengths of lists
  u32 next;               // the first group that repair has not gathered, and
  u32 gathered;           // how much it has: candidates now, not those that stage 1 kept
  Key worst_keys[known];  // the last results, worst first, where these are best first
  u32 worst_positions[known];
  Key hidden_keys[known];
  u32 hidden_positions[known];
#if TELLS_MOST
  Key lost[CLUSTER * ResultSpace::warps];  // the best key that each warp's groups lost, of all blocks, in the first one's memory
#endif
};

// A hidden element to the list.
__device__ inline void hide(HiddenSpace& space, const Entry<Key>& entry) {
  const u32 at = atomicAdd(&space.hidden, 1u);
  if (REPAIR && at < 32) space.hidden_keys[at] = entry.key, space.hidden_positions[at] = entry.index;
}

#if REPAIR
// How many hidden elements take the places of the worst results, `ranked` of which are best first.
__device__ inline u32 few_hidden(u32 ranked) { return ranked < 32 ? ranked : 32; }

__device__ inline Entry<Key> hidden_at(const HiddenSpace& space, u32 i) {
  const Entry<Key> entry = {space.hidden_keys[i], space.hidden_positions[i]};
  return entry;
}

// How many hidden elements are better.
__device__ inline u32 hidden_ahead(const HiddenSpace& space, const Entry<Key>& entry, u32 count) {
  u32 ahead = 0;
#pragma unroll 1
  for (u32 j = 0; j < count; ++j) ahead += better(hidden_at(space, j), entry);
  return ahead;
}

#if SORTED
// Results are best first, and stay so: from the last to the first they move up.
template <class Team> __device__ inline void place_hidden(const Params& p, const RowEnds& ends, HiddenSpace& space, u32 count) {
  const WrittenResults results = {p, ends};
  const RepairedSink output = {p, ends};
  if (Team::rank() < 32) space.sums[Team::rank()] = 0;  // results better than each hidden element
  Team::sync();
#pragma unroll 1
  for (u32 round = (p.k + Team::size - 1) / Team::size; round-- > 0;) {
    const u32 i = round * Team::size + Team::rank();
    const Entry<Key> moved = results.get(i < p.k ? i : 0);
    u32 to = i;
#pragma unroll 1
    for (u32 j = 0; j < count; ++j) {
      const bool ahead = better(moved, hidden_at(space, j));
      const u32 aheads = __popc(__ballot_sync(~0u, i < p.k && ahead));
      if (Team::lane() == 0) atomicAdd(&space.sums[j], aheads);
      to += !ahead;
    }
    Team::sync();  // these have been read
    if (to > i && to < p.k) output(to, moved.key, moved.index);
  }
  Team::sync();
  if (Team::rank() < count) {
    const Entry<Key> entry = hidden_at(space, Team::rank());
    const u32 to = space.sums[Team::rank()] + hidden_ahead(space, entry, count);
    if (to < p.k) output(to, entry.key, entry.index);
  }
}
#else
// All hidden elements are better than the worst result.
template <class Team> __device__ inline void place_hidden(const Params& p, const RowEnds& ends, HiddenSpace& space, u32 count) {
  if (Team::rank() >= count) return;
  const RepairedSink output = {p, ends};
  const Entry<Key> entry = hidden_at(space, Team::rank());
  const u32 at = hidden_ahead(space, entry, count);
  const Entry<Key> worst = {space.worst_keys[at] >> KEY_SHIFT, space.worst_positions[at]};
  if (better(entry, worst)) output(p.k - 1 - at, entry.key, entry.index);
}
#endif
#endif
#endif
