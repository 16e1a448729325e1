// Stage 2: the k best of each row's candidates.
//
// Shapes   keys, positions: [rows][splits][kb][b], empty places (0, NOWHERE) among them; values and
//          indices: k of each row, in candidate order or best first (SORTED), or as entries for
//          `sort` (LISTED).
// Ties     to the lower index. 1 <= k <= candidates.
// When     after stage1. SHARED 1: candidates fit in shared memory; parts of buckets are merged
//          first (MERGE). SHARED 0: they don't; each pass reads them again, mostly from L2.
// Moves    each candidate once (SHARED) or four to five times, and the output.

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) stage2(const Params p) {
  typedef TeamOf<THREADS> Team;
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> space;
  Selector<Team>::prepare(space);

  const u32 m = KB * p.b;
  const u32 list_places = MERGE ? m * p.splits : 0;
  const u32 sort_places = SORTED ? ceil_power_of_two(p.k) : 0;
  const u32 more_places = list_places > sort_places ? list_places : sort_places;  // never both
  const u32 places = ((SHARED ? m : 0) + more_places + 3) / 4 * 4;  // aligned
  Key* const keys = (Key*)shared;
  u32* const positions = (u32*)(keys + places);
  const ListSink list = {keys + (SHARED ? m : 0), positions + (SHARED ? m : 0)};

  for (i64 row = blockIdx.x; row < p.rows; row += gridDim.x) {
    Key* const from_keys = p.keys + row * p.splits * m;
    u32* const from_positions = p.positions + row * p.splits * m;
#if MERGE
    const u32 b = p.b;
    const Lists<Key> lists = {list.keys, list.positions, p.splits * b};
    for (u32 x = Team::rank(); x < p.splits * m; x += THREADS) {
      const u32 split = x / m, i = x % m / b, bucket = x % b;
      const Entry<Key> entry = {from_keys[x], from_positions[x]};
      lists.set(split * b + bucket, i, entry);
    }
    merge_parts<Team, Key, KB>(lists, 1, p.splits, b, [=](u32, u32 bucket, const Entry<Key>(&best)[KB]) {
#pragma unroll
      for (int i = 0; i < KB; ++i) keys[i * b + bucket] = best[i].key, positions[i * b + bucket] = best[i].index;
    });
#elif SHARED
    for (u32 x = Team::rank(); x < m; x += THREADS) keys[x] = from_keys[x], positions[x] = from_positions[x];
#endif
    Team::sync();
    Selector<Team> selector(space, SHARED ? keys : from_keys, SHARED ? positions : from_positions, m);
    bool any[1] = {false};
    Key best[1] = {0};
#if QUICK
    selector.group(any, best);
#endif
    finish<Team>(p, selector, any, best, row, list);
    Team::sync();
  }
}
