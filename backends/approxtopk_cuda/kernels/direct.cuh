// A row selected from without queues: LOADED, REREAD or RESIDENT; see fused.cu. In a function of its own, so that what queues need
// is in nobody's registers meanwhile.

#if LOADED || REREAD || RESIDENT
// Gives a team's row if that can be, which is all that it needs then. If not, `spaces` and `memory` are free, and a cluster's blocks
// have arrived at a barrier.
template <class Team> __device__ inline bool given_directly(const Params& p, SelectSpace<Team::size>* spaces, u8* memory) {
  // What is plain to see is no gain for all: rows in registers, and longer ones in shared memory, take 1 to 3 % longer if the
  // assembler knows it.
  const u32 team = REREAD || (RESIDENT && !RANKED) ? 0 : threadIdx.x / TEAM;
  const u32 row = blockIdx.x / CLUSTER + team;
  cluster_arrive_only();  // this block runs
  RowEnds ends = ends_of(p, row);
  // Now, and not when time is short: what this needs takes long to come from constant memory.
  asm volatile("" : "+l"(ends.arr));
#if !(LOADED && CLUSTER > 1 || REREAD)  // needed much later, and in a cluster by the first block alone
  asm volatile("" : "+l"(ends.values), "+l"(ends.indices));
#endif
  const OutputSink output = {p, ends};
#if LOADED
  const LoadedRow<Team> loaded(p, ends, spaces[team], *(LoadedSpace<Team::warps>*)memory);
  loaded.begin();
  u8* exact = WINNERS && !REPAIR ? p.exact + row : nullptr;
  if (CLUSTER == 1) asm volatile("" : "+l"(exact));
  await_launch_before();
  if (__builtin_expect(loaded.select(exact, output), 1)) return true;
  cluster_arrive();
  return false;
#elif REREAD
  const RereadRow<Team> reread(p, ends, spaces[team], *(RereadSpace<Team::warps>*)memory);
  reread.begin();
  await_launch_before();
  const auto find_results = [&] {
    u32 again = row;
    asm volatile("" : "+r"(again));
    const RowEnds late = ends_of(p, again);
    ends.values = late.values, ends.indices = late.indices;
  };
  return reread.select(row, find_results, output);
#else
  await_launch_before();
  const Resident<Team> resident(p, ends, spaces[team], memory);
  return resident.select(row, output);
#endif
}
#endif
