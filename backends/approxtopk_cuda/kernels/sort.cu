// Sorting long lists of winners, best first.
//
// Shapes   keys, positions: [rows][length] entries, empty places (0, NOWHERE) among them; values and
//          indices: the first k of each row. k <= entries that are not empty.
// Ties     to the lower index.
// When     sorted output is asked for and k is too long for a block's shared memory.
//   sort_runs   sorts runs of `width`, by bins (BINNED); see select.cuh.
//   merge_runs  merges pairs of runs of `width`; one launch for each doubling.
//   The last launch of them writes the output (OUTPUT), the others spare_keys, spare_positions.
// Moves    each entry twice per launch.

__device__ inline void write_entry(const Params& p, const RowEnds& ends, i64 row, u32 at, const Entry<Key>& entry) {
#if OUTPUT
  if (at < p.k) put(p, ends, at, entry.key, entry.index);
#else
  p.spare_keys[row * p.length + at] = entry.key;
  p.spare_positions[row * p.length + at] = entry.index;
#endif
}

#if BINNED
struct RunSink {
  const Params& p;
  const RowEnds& ends;
  i64 row;
  u32 begin;
  __device__ void operator()(u32 place, Key key, u32 index) const { write_entry(p, ends, row, begin + place, {key, index}); }
};

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) sort_runs(const Params p) {
  typedef TeamOf<THREADS> Team;
  await_launch_before();
  extern __shared__ __align__(16) u8 shared[];
  __shared__ SelectSpace<THREADS> space;
  Key* const keys = (Key*)shared;
  u32* const positions = (u32*)(keys + p.width);
  const u32 runs = (p.length + p.width - 1) / p.width;
  for (u64 w = blockIdx.x; w < (u64)p.rows * runs; w += gridDim.x) {
    const i64 row = w / runs;
    const u32 begin = w % runs * p.width;
    const u32 count = p.length - begin < p.width ? p.length - begin : p.width;
    u32 total = 0;
    for (u32 base = 0; base < count; base += THREADS) {
      const u32 i = base + Team::rank();
      bool there = false;
      if (i < count) {
        keys[i] = p.keys[row * p.length + begin + i];
        positions[i] = p.positions[row * p.length + begin + i];
        there = positions[i] != NOWHERE;
      }
      total += __syncthreads_count(there);
    }
    const RowEnds ends = ends_of(p, row);
    const RunSink sink = {p, ends, row, begin};
    const Selector<Team> selector(space, keys, positions, count, count, p.n);
    selector.select_all(total, sink);
    for (u32 i = total + Team::rank(); i < count; i += THREADS) sink(i, 0, NOWHERE);  // no result
    Team::sync();
  }
}
#endif

// A thread finds by bisection how many of its first `at` outputs come from either run, then merges
// `each` entries.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) merge_runs(const Params p) {
  await_launch_before();
  const u32 each = 8;
  const u64 chunks = (p.length + each - 1) / each;
  for (u64 w = (u64)blockIdx.x * THREADS + threadIdx.x; w < p.rows * chunks; w += (u64)gridDim.x * THREADS) {
    const i64 row = w / chunks;
    const u32 at = w % chunks * each;
    const u32 begin = at / (2 * p.width) * (2 * p.width), out = at - begin;
    const u32 left = p.length - begin < p.width ? p.length - begin : p.width;
    const u32 right = p.length - begin - left < p.width ? p.length - begin - left : p.width;
    const Lists<Key> a = {p.keys + row * p.length + begin, p.positions + row * p.length + begin, 1};
    const Lists<Key> b = {a.keys + left, a.positions + left, 1};
    u32 low = out > right ? out - right : 0, high = out < left ? out : left;
    while (low < high) {  // the least number taken from a
      const u32 middle = (low + high) / 2;
      if (better(b.get(0, out - 1 - middle), a.get(0, middle)))
        high = middle;
      else
        low = middle + 1;
    }
    u32 i = low, j = out - low;
    const RowEnds ends = ends_of(p, row);
    for (u32 e = 0; e < each && out + e < left + right; ++e) {
      const bool from_a = j >= right || (i < left && !better(b.get(0, j), a.get(0, i)));
      write_entry(p, ends, row, at + e, from_a ? a.get(0, i++) : b.get(0, j++));
    }
  }
}
