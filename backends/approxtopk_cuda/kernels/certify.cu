// Certificate and repair in a launch of their own, after any schedule.
//
// Shapes   arr: rows of n elements of any strides; values and indices: k results of each row, the best
//          of its candidates, best first (SORTED) or in any order; exact: a byte for each row. Scratch
//          with SHARED 0: keys, positions [rows][entries].
// Ties     to the lower index. 1 <= k <= candidates; n < 2^32 - 1.
// When     the kernel that found the results doesn't do that at its end. REPAIR 0: exact[row] says whether
//          the results are the true top k. REPAIR 1: they are made so.
//   SHARED 0   what repair gathers does not fit in shared memory.
//   LOST       stage 1 left the best key that each group of buckets lost in spare_keys [rows][groups].
//   CLUSTER > 1  few rows: the blocks of a cluster share each. Scratch is [rows][CLUSTER][entries].
// Moves    the results, and flagged buckets: 0.1 to 2 % of a row's elements on random data; see certify.cuh.

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) IN_CLUSTERS certify(const Params p) {
  typedef TeamOf<THREADS> Team;
  cluster_arrive_only();  // this block runs
  await_launch_before();
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> select_space;
  __shared__ ResultSpace space;
  __shared__ ClusterSpace cluster_space;
  Area area;
  area.entries = p.entries;
  area.lost = 0, area.group = p.group;
#if SHARED
  const u32 places = (p.entries + 3) / 4 * 4;
  area.keys = (Key*)shared;
  area.positions = (u32*)(area.keys + places);
  area.counts = area.positions + places;
#else
  area.counts = (u32*)shared;
#endif
  area.flagged = area.counts + (p.range + 3) / 4;

  // Of clusters there are as many as rows.
  for (i64 row = blockIdx.x / CLUSTER; row < p.rows; row += gridDim.x / CLUSTER) {
#if !SHARED
    area.keys = p.keys + (row * CLUSTER + cluster_rank()) * p.entries;
    area.positions = p.positions + (row * CLUSTER + cluster_rank()) * p.entries;
#endif
    if (LOST) area.lost = p.spare_keys + row * ((p.b + p.group - 1) / p.group);
    const RowEnds ends = ends_of(p, row);
    Certifier<Team> certifier(p, area, space, select_space, cluster_space, ends);
    const bool exact = certifier.certify();
    Team::sync();
#if REPAIR
    if (!exact) certifier.repair();
#else
    if (cluster_rank() == 0 && Team::rank() == 0) p.exact[row] = exact;
#endif
    Team::sync();
  }
}
