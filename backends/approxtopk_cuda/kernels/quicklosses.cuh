// Certificate and repair after quick selection, told by what losslist.cuh has of the queues' losses.
//
// From the command line: WINNERS, REPAIR, HELD, KEY_SHIFT.

#if WINNERS && HELD
// Results of quick selection go out.
struct QuickWinnerSink {
  const OutputSink& output;
#if REPAIR
  HiddenSpace& space;
#else
  u32 row;
  Verdict& verdict;
#endif

  __device__ void begin_ranks() const {}
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

#if REPAIR
// How many elements are hidden, as in losses.cuh: no barrier where no group is listed, one where none lost a key as good as
// tau.
template <class Team>
__device__ inline u32 count_hidden(const Params& p, const RowEnds& ends, HiddenSpace& space,
                                   SelectSpace<Team::size>& select_space, const Losses& losses, const LossList& list,
                                   const LossList::Known& known) {
  if (known.length == 0) return 0;
  u32* const listed = select_space.count;
  if (Team::rank() == 0) space.flags = space.hidden = space.next = 0;
  Team::sync();
  const Entry<Key> tau = {space.worst_keys[0], space.worst_positions[0]}, bar = {tau.key >> KEY_SHIFT, tau.index};
  if (known.most < tau.key) return 0;
  const bool flagged = Team::rank() < known.length && list.flagged(Team::rank(), tau);
  if (flagged) listed[atomicAdd(&space.flags, 1u)] = Team::rank();
  Team::sync();
  if (GROUP == 1 && space.flags == 0) return 0;  // Buckets::each divides by their number
  read_groups<Team, 1>(p, ends.arr, space.flags, [&](u32 i) { return list.groups[listed[i]].group; },
                    [&](const Entry<Key>& entry, u32 i, u32 u) {
    if (better(entry, bar) && list.dropped(listed[i], u, entry)) hide(space, entry);
  });
  Team::sync();
  const u32 hidden = space.hidden;
  if (hidden > few_hidden(p.k)) {  // what it takes to repair
    for (u32 i = Team::rank(); i < Losses::groups(p); i += Team::size) losses.keys[i] = 0;
    Team::sync();
    if (flagged) losses.keys[list.groups[Team::rank()].group] = list.groups[Team::rank()].lost;
    Team::sync();
  }
  return hidden;
}
#else
// A certificate where lost keys tie with tau, by the warp of the thread that knows tau. Of marked groups that lost a key like
// tau's all that is better than tau is counted, and so is what of it is listed with the candidates that reach the bound: the
// rest is hidden. Where keys have steps, what a group lost has tau's step, so that it need not be read unless it is tau's own.
template <class Team>
__device__ inline void certify_tied(const Params& p, u32 row, const RowEnds& ends, HiddenSpace& space,
                                    SelectSpace<Team::size>& select_space, const Losses& losses, const LossMarks& marks,
                                    Entry<Key> tau) {
  const u32 has = __ballot_sync(~0u, tau.index != NOWHERE), lane = threadIdx.x % 32;
  tau.key = __shfl_sync(~0u, tau.key, __ffs(has) - 1), tau.index = __shfl_sync(~0u, tau.index, __ffs(has) - 1);
  const Entry<Key> bar = {tau.key >> KEY_SHIFT, tau.index};
  const Buckets buckets = {p, ends.arr};
  const u32 walking = p.tile / V, own = buckets.of(tau.index) / GROUP;
  const auto ties = [&](u32 group) { return may_tie(losses.keys[group], tau.key); };
  const auto is_read = [&](u32 group) { return ties(group) && (!KEY_SHIFT || group == own); };
  u32* const groups = select_space.count;
  if (lane == 0) space.flags = 0;
  __syncwarp();
  bool wrong = false;
  marks.each(walking, [&](u32 group) {
    if (is_read(group))
      groups[atomicAdd(&space.flags, 1u)] = group;
    else
      wrong |= ties(group) && group < own;
  });
  __syncwarp();
  const u32 count = space.flags;
  u32 ahead = 0;
  if (count) {
    read_groups<TeamOf<32>, 2>(p, ends.arr, count, [&](u32 i) { return groups[i]; },
                               [&](const Entry<Key>& entry, u32, u32) { ahead += better(entry, bar); });
#pragma unroll 1
    for (u32 i = lane; i < select_space.list.length; i += 32) {
      const Listed entry = select_space.list.entries[i];
      const Entry<Key> candidate = {key_of(entry), index_of(entry)};
      const u32 group = buckets.of(candidate.index) / GROUP;
      ahead -= better(candidate, tau) && marks.has(group, walking) && is_read(group);
    }
  }
  wrong = __any_sync(~0u, wrong) || __reduce_add_sync(~0u, ahead);
  if (lane == 0) p.exact[row] = !wrong;
}
#endif
#endif
