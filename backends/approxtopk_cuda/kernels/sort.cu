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

#if !BINNED
// How many of the first `out` entries of two merged lists come from the first one, a: by a warp.
__device__ inline u32 split(const Lists<Key>& a, u32 left, const Lists<Key>& b, u32 right, u32 out) {
  u32 low = out > right ? out - right : 0, high = out < left ? out : left;
  while (low < high) {  // 31 of 32 that are possible are ruled out at a time
    const u32 middle = low + (u32)((u64)(high - low) * (threadIdx.x % 32) / 32);
    const u32 fewer = __ballot_sync(~0u, better(b.get(0, out - 1 - middle), a.get(0, middle)));
    const u32 first = fewer ? __ffs(fewer) - 1 : 32;  // lanes from here on say so
    const u32 last_more = __shfl_sync(~0u, middle, (first + 31) % 32), first_fewer = __shfl_sync(~0u, middle, first % 32);
    if (first > 0) low = last_more + 1;
    if (first < 32) high = first_fewer;
  }
  return low;
}

// A block merges as many entries as its threads hold, in shared memory: a thread finds by bisection how many of
// those before its own come from either run.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) merge_runs(const Params p) {
  await_launch_before();
  extern __shared__ __align__(16) u8 shared[];
  __shared__ u32 splits[2];
  const u32 each = 8, tile = each * THREADS;
  const Lists<Key> here = {(Key*)shared, (u32*)((Key*)shared + tile), 1};
  const u32 tiles = (p.length + tile - 1) / tile;
  for (u64 w = blockIdx.x; w < (u64)p.rows * tiles; w += gridDim.x) {
    const i64 row = w / tiles;
    const u32 at = w % tiles * tile, begin = at / (2 * p.width) * (2 * p.width), out = at - begin;
    const u32 left = p.length - begin < p.width ? p.length - begin : p.width;
    const u32 right = p.length - begin - left < p.width ? p.length - begin - left : p.width;
    const u32 count = left + right - out < tile ? left + right - out : tile;
    const Lists<Key> a = {p.keys + row * p.length + begin, p.positions + row * p.length + begin, 1};
    const Lists<Key> b = {a.keys + left, a.positions + left, 1};
    if (threadIdx.x < 64) splits[threadIdx.x / 32] = split(a, left, b, right, out + threadIdx.x / 32 * count);
    __syncthreads();
    const u32 from_a = splits[1] - splits[0];
    for (u32 x = threadIdx.x; x < count; x += THREADS) {
      here.set(0, x, x < from_a ? a.get(0, splits[0] + x) : b.get(0, out - splits[0] + x - from_a));
    }
    __syncthreads();
    const u32 own = threadIdx.x * each < count ? threadIdx.x * each : count;
    u32 low = own > count - from_a ? own - (count - from_a) : 0, high = own < from_a ? own : from_a;
    while (low < high) {
      const u32 middle = (low + high) / 2;
      if (better(here.get(0, from_a + own - 1 - middle), here.get(0, middle)))
        high = middle;
      else
        low = middle + 1;
    }
    u32 i = low, j = from_a + own - low;
    Entry<Key> merged[each];
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      const bool first = j >= count || (i < from_a && !better(here.get(0, j), here.get(0, i)));
      const u32 taken = first ? i++ : j++;
      merged[e] = here.get(0, taken < count ? taken : 0);
    }
    __syncthreads();
#pragma unroll
    for (u32 e = 0; e < each; ++e) {
      if (own + e < count) here.set(0, own + e, merged[e]);
    }
    __syncthreads();
    const RowEnds ends = ends_of(p, row);
    for (u32 x = threadIdx.x; x < count; x += THREADS) write_entry(p, ends, row, at + x, here.get(0, x));
    __syncthreads();
  }
}
#endif
