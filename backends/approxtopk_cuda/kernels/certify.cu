// Certificate and repair in a launch of their own, after any schedule.
//
// Shapes   arr: rows of n elements of any strides; values and indices: k results of each row, the best
//          of its candidates, best first (SORTED) or in any order; exact: a byte for each row. Scratch
//          with SHARED 0: keys, positions [rows][entries].
// Ties     to the lower index. 1 <= k <= candidates; n < 2^32 - 1.
// When     the kernel that found the results doesn't do both at its end. REPAIR 0: exact[row] says whether
//          the results are the true top k. REPAIR 1: they are made so.
//   WINNERS 1   results and a count of each bucket fit in shared memory.
//   WINNERS 0   they don't; SHARED 0: nor does what repair gathers.
//   MARKED      only some rows need it, those that an earlier launch has marked.
// Moves    the results, and flagged buckets: 0.1 to 2 % of a row's elements on random data; see certify.cuh.

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) certify(const Params p) {
  typedef TeamOf<THREADS> Team;
#if MARKED
  bool any = false;
  for (i64 row = blockIdx.x + (i64)threadIdx.x * gridDim.x; row < p.rows; row += (i64)THREADS * gridDim.x) any |= marks_of(p)[row];
  if (!__syncthreads_or(any)) return;
#endif
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> select_space;
  __shared__ CertifySpace space;
  const u32 noted = WINNERS ? p.k : 0, gathered = SHARED ? p.entries : 0;
  const u32 places = (noted + gathered + 3) / 4 * 4;
  Key* const keys = (Key*)shared;
  u32* const positions = (u32*)(keys + places);
  Area area;
  area.keys = keys + noted;
  area.positions = positions + noted;
  area.entries = p.entries;
  area.counts = positions + places;
  area.flagged = area.counts + (p.range + 3) / 4;
#if WINNERS
  area.winner_keys = keys;
  area.winner_positions = positions;
  Winners<Team>::prepare(p, area);
#endif

  for (i64 row = blockIdx.x; row < p.rows; row += gridDim.x) {
#if MARKED
    if (!marks_of(p)[row]) continue;
#endif
#if !SHARED
    area.keys = p.keys + row * p.entries;
    area.positions = p.positions + row * p.entries;
#endif
#if WINNERS
    Winners<Team>::begin(space);
    Team::sync();
    Winners<Team> winners(p, area, space, row);
    note_written(p, winners);
    conclude<Team>(p, area, space, select_space, row, winners, SORTED);
#else
    const RowEnds ends = ends_of(p, row);
    const WrittenResults results = {p, ends};
    Certifier<Team, WrittenResults> certifier(p, area, space, select_space, ends, results);
    const bool exact = certifier.certify();
    Team::sync();
#if REPAIR
    if (!exact) certifier.repair();
#else
    if (Team::rank() == 0) p.exact[row] = exact;
#endif
    Team::sync();
#endif
  }
}
