// Stage 1 alone: the best kb of every bucket.
//
// Shapes   arr: rows of n elements of any strides; OUTPUT: values and indices, k = b * kb of a row
//          at place i * b + bucket; else keys and positions [rows][splits][kb][b], short buckets
//          filled up with (0, NOWHERE). LOST: the best key that a group of buckets lost to
//          spare_keys [rows][groups], as certify reads it; then no splits.
// Ties     to the lower index. Every row and bucket has elements; n < 2^32 - 1.
// When     OUTPUT: candidates are exactly k. Else: a row is too long, or its candidates too many,
//          for one block or cluster.
//   stream (MERGE 0): as many buckets as threads fill the GPU with.
//   split  (MERGE 1): fewer; parts of a bucket are walked by several threads, merged at the end in
//          shared memory, and by `splits` blocks, merged by stage 2.
// Moves    each element once, and the output.

__device__ inline void lose(const Params& p, u32 row, u32 bucket, Key lost) {
  p.spare_keys[(u64)row * ((p.b + GROUP - 1) / GROUP) + bucket / GROUP] = lost >> KEY_SHIFT;
}

#if OUTPUT
struct Sink {
  const Params& p;
  u32 row0, bucket0;
  __device__ void operator()(u32 row, u32 bucket, const Entry<Key> (&best)[KB], Key) const {
    if (bucket0 + bucket >= p.b || row0 + row >= p.rows) return;
    const RowEnds ends = ends_of(p, row0 + row);
#pragma unroll
    for (int i = 0; i < KB; ++i) {
      if (best[i].index != NOWHERE) put(p, ends, i * p.b + bucket0 + bucket, best[i].key, best[i].index);
    }
  }
};
#else
struct Sink {
  const Params& p;
  u32 row0, bucket0, split;
  __device__ void operator()(u32 row, u32 bucket, const Entry<Key> (&best)[KB], Key lost) const {
    if (bucket0 + bucket >= p.b || row0 + row >= p.rows) return;
    if (LOST) lose(p, row0 + row, bucket0 + bucket, lost);
    const u64 list = ((u64)(row0 + row) * p.splits + split) * KB;
#pragma unroll
    for (int i = 0; i < KB; ++i) {
      const u64 at = (list + i) * p.b + bucket0 + bucket;
      p.keys[at] = best[i].key;
      p.positions[at] = best[i].index;
    }
  }
};
#endif

#if !MERGE
#define TOGETHER (OUTPUT && V * INDEX_BYTES > 32)
#if TOGETHER
// Where an index of a warp's is in the shared memory that turns them: by fours, which spread
// over the banks.
__device__ inline u32 turned(u32 x) { return ((x / 4) ^ (x / 32 % (V / 4))) * 4 + x % 4; }

// Stores V indices of each of a warp's lanes; they are neighbours. 16 bytes of each lane at a time
// would be 32 halves of sectors; turned in shared memory, they are a run of 512 bytes.
__device__ inline void store_together(Index* to, const u32 (&positions)[V]) {
  __shared__ __align__(16) u32 space[THREADS / 32][32 * V];
  u32* const own = space[threadIdx.x / 32];
  const u32 lane = threadIdx.x % 32;
  __syncwarp();  // the indices before have been read
#pragma unroll
  for (int u = 0; u < V; u += 4) {
    *(uint4*)(own + turned(lane * V + u)) = make_uint4(positions[u], positions[u + 1], positions[u + 2], positions[u + 3]);
  }
  __syncwarp();
  const int each = 16 / INDEX_BYTES;
#pragma unroll
  for (int u = 0; u < V; u += each) {
    const u32 first = u * 32 + lane * each;
    Index indices[each];
#pragma unroll
    for (int i = 0; i < each; ++i) indices[i] = own[turned(first + i)];
    store<STREAMED>(to - lane * V + first, indices);
  }
}
#endif

// Writes a thread's queues straight from registers, V neighbouring buckets at a time. All threads
// of a warp call it, those with nothing to write too.
__device__ inline void write_queues(const Params& p, const Queues& queues, const Place& place, u32 row, u32 bucket) {
#if TOGETHER
  const u32 first_row = __shfl_sync(~0u, row, 0);  // in one row, neighbouring lanes have neighbours
  const bool neighbours = __all_sync(~0u, row == first_row && place.length && p.vector_out);
#else
  if (!place.length) return;
#endif
#if OUTPUT
  const RowEnds ends = ends_of(p, row);
#endif
#pragma unroll
  for (int i = 0; i < KB; ++i) {
    Key keys[V];
    u32 positions[V];
#pragma unroll
    for (int u = 0; u < V; ++u) {
      keys[u] = queues[u].key(i);
      positions[u] = index_at(queues[u], place, u, i);
    }
#if OUTPUT
    const u32 at = i * p.b + bucket;
    const bool full = V > 1 && p.vector_out && positions[V - 1] != NOWHERE;
    if (full) {
      Bits values[V];
#pragma unroll
      for (int u = 0; u < V; ++u) values[u] = value_of(p, ends.arr, keys[u], positions[u]);
      store<STREAMED>(ends.values + at, values);
    }
#if TOGETHER
    if (neighbours && __all_sync(~0u, full)) {
      store_together(ends.indices + at, positions);
      continue;
    }
#endif
    if (full) {
      Index indices[V];
#pragma unroll
      for (int u = 0; u < V; ++u) indices[u] = (Index)positions[u];
      store<STREAMED>(ends.indices + at, indices);
    } else {
#pragma unroll
      for (int u = 0; u < V; ++u) {
        if (positions[u] != NOWHERE) put(p, ends, at + u, keys[u], positions[u]);
      }
    }
#else
    if (LOST && i == 0) lose(p, row, bucket, queues.lost_key());
    const u64 at = ((u64)row * KB + i) * p.b + bucket;
    store<GLOBAL>(p.keys + at, keys);
    store<GLOBAL>(p.positions + at, positions);
#endif
  }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) stage1(const Params p) {
  typedef TeamOf<THREADS> Team;
  if (p.lets_next) let_next_launch_begin();
  extern __shared__ __align__(16) u8 shared[];
  const u32 tiles = (p.b + p.tile - 1) / p.tile;
  const u64 work = (p.rows + p.block_rows - 1) / p.block_rows * tiles * p.splits;
  const Share share = share_of(p, threadIdx.x);
  await_launch_before();
  for (u64 w = blockIdx.x; w < work; w += gridDim.x) {
    const u32 split = MERGE ? w % p.splits : 0;
    const u64 row_tile = MERGE ? w / p.splits : w;
    const u32 bucket0 = row_tile % tiles * p.tile;
    const u32 row0 = row_tile / tiles * p.block_rows;
    const u32 row = row0 + share.row;
    const bool active = share.row < p.block_rows && row < p.rows && share.part < p.parts;
    Queues queues;
    Place place = place_of(p, share, active ? row : 0, bucket0 + share.bucket, split);
    if (!active) place.length = 0;
    walk(queues, place);
#if MERGE
    Lists<Key> lists;
    lists.lists = p.block_rows * p.parts * p.tile;
    lists.keys = (Key*)shared;
    lists.lost = lists.keys + KB * lists.lists;
    lists.positions = (u32*)(lists.keys + (KB + LOST) * lists.lists);
    Team::sync();  // the lists of the work before have been read
    if (share.row < p.block_rows && share.part < p.parts) {
#pragma unroll
      for (int u = 0; u < V; ++u) {
        const u32 list = share.list + u * share.list_step;
#pragma unroll
        for (int i = 0; i < KB; ++i) {
          Entry<Key> entry;
          entry.key = queues[u].key(i);
          entry.index = index_at(queues[u], place, u, i);
          lists.set(list, i, entry);
        }
        if (LOST) lists.lost[list] = queues.lost_key();
      }
    }
#if OUTPUT
    const Sink sink = {p, row0, bucket0};
#else
    const Sink sink = {p, row0, bucket0, split};
#endif
    merge_parts<Team, Key, KB>(lists, p.block_rows, p.parts, p.tile, sink);
#else
    write_queues(p, queues, place, row, bucket0 + share.bucket);
#endif
  }
}
