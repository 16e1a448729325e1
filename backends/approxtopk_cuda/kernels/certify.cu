// Certificate and repair in a launch of their own, after any schedule.
//
// Shapes   arr: rows of n elements of any strides; values and indices: k results of each row, the best
//          of its candidates, in any order; exact: a byte for each row. Scratch with SHARED 0:
//          keys, positions [rows][entries].
// Ties     to the lower index. 1 <= k <= candidates; n < 2^32 - 1.
// When     no kernel that owns a row does both at its end. REPAIR 0: exact[row] says whether the results
//          are the true top k. REPAIR 1: they are made so; SHARED 0: k is too large for shared memory.
// Moves    the results, flagged buckets: 0.1 to 2 % of a row on random data; see certify.cuh.

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) certify(const Params p) {
  typedef TeamOf<THREADS> Team;
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> select_space;
  __shared__ CertifySpace space;
  if (REPAIR) Selector<Team>::prepare(select_space);
  for (i64 row = blockIdx.x; row < p.rows; row += gridDim.x) {
    Area area;
    area.entries = p.entries;
#if SHARED
    area.keys = (Key*)shared;
    area.positions = (u32*)(area.keys + p.entries);
    area.marks = area.positions + p.entries;
#else
    area.keys = p.keys + row * p.entries;
    area.positions = p.positions + row * p.entries;
    area.marks = (u32*)shared;
#endif
    certify_row<Team>(p, row, area, space, select_space);
    Team::sync();
  }
}
