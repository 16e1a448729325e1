// What every kernel is told.
//
// From the command line: INDEX_BYTES (4, 8: of the output's indices), UNALIGNED (0, 1: rows begin anywhere, but V
// elements are loaded from where such a load is aligned).

struct Rows {  // where row r is: r / inner steps of `outer`, r % inner of `inner_stride`
  i64 outer, inner_stride, step;
};

// One struct for all kernels, so that a caller packs it once; a kernel ignores what it needs not.
struct Params {
  const Bits* arr;
  Bits* values;     // null: candidates go to keys and positions
  void* indices;    // Index
  Key* keys;        // candidates, [rows][splits][kb][b]
  u32* positions;
  Key* spare_keys;  // sort: where a pass writes what the next one reads
  u32* spare_positions;
  u8* exact;        // certificates: a byte for each row
  i64 rows;
  Rows in, out, index_out;
  u32 inner;
  u32 n, b, k, candidates;
  u32 steps, rest;  // n / stride, n % stride of interleaved virtual buckets; see stage1.cuh
  u32 tile;         // buckets in a block
  u32 parts;        // of a bucket in a block
  u32 splits;       // blocks that share a bucket
  u32 block_rows;   // rows in a block
  u32 passes;       // tiles that a block walks one after the other
  u32 vector_out;   // whether output rows are contiguous and aligned
  u32 length;       // sort: entries of a row, [rows][length]
  u32 width;        // sort: of the runs that a pass merges
  u32 entries;      // repair: places of a row for what it gathers
  u32 range;        // certify: buckets that are looked at together
  u32 run, longer;  // exactness: buckets have `run` elements, the first `longer` of them one more; UNALIGNED: at most, 0
  u32 droppers;     // certify: the first so many are longer than kb, so that they drop elements
  u32 group;        // certify: buckets that share a best key lost
  u32 watched;      // certificates: the last steps of a walk, of which it is noted what is dropped, a multiple of BATCH
  u32 lets_next;    // whether the next launch may begin once all blocks of this one run
  u32 wanted;       // elements that must reach a bound, for k of them to be left; see loaded.cuh and reread.cuh
};

#if INDEX_BYTES == 4
typedef int Index;
#else
typedef i64 Index;
#endif

__device__ inline i64 offset_of(const Rows& rows, u32 inner, u32 row) {
  if (inner == 1) return row * rows.outer;
  return (row / inner) * rows.outer + (row % inner) * rows.inner_stride;
}

// Elements of a row's first load that are in front of the row. UNALIGNED: buckets are numbered by places in loads, so
// that bucket j of what the caller has is bucket (j + lead) % b.
__device__ inline u32 lead_of([[maybe_unused]] const Bits* row) {
#if UNALIGNED
  return (u32)((u64)row / sizeof(Bits)) % V;
#else
  return 0;
#endif
}
