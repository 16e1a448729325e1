// From a winner's key and index to what the caller sees.

// The element itself, bit for bit. Its key tells it, unless that is a zero's or a NaN's.
__device__ inline Bits value_of(const Params& p, const Bits* row, Key key, u32 index) {
  if (ambiguous<Element, LARGEST>(key)) return row[index * (STRIDED ? p.in.step : 1)];
  return unorder<Element, LARGEST>(key);
}

// Where a row's input and output begin.
struct RowEnds {
  const Bits* arr;
  Bits* values;
  Index* indices;
};

__device__ inline RowEnds ends_of(const Params& p, u32 row) {
  RowEnds ends;
  ends.arr = p.arr + offset_of(p.in, p.inner, row);
  ends.values = p.values + offset_of(p.out, p.inner, row);
  ends.indices = (Index*)p.indices + offset_of(p.index_out, p.inner, row);
  return ends;
}

__device__ inline void put(const Params& p, const RowEnds& ends, u32 at, Key key, u32 index) {
  ends.values[at * p.out.step] = value_of(p, ends.arr, key, index);
  ends.indices[at * p.index_out.step] = (Index)index;
}

struct alignas(16) Quad {
  u32 words[4];
};

// Stores N neighbouring items, in pieces of 16 bytes where they fill such; `to` is then aligned.
template <int N, class T> __device__ inline void store(T* to, const T (&items)[N]) {
  const int each = 16 / (int)sizeof(T);
  if (N % each) {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = items[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < N; i += each) {
    Quad quad = {{0, 0, 0, 0}};
#pragma unroll
    for (int j = 0; j < each && i + j < N; ++j) {
      const u64 x = (u64)items[i + j];
      const int bit = j * 8 * (int)sizeof(T);
      quad.words[bit / 32] |= (u32)(sizeof(T) < 4 ? x & ((1ull << (8 * sizeof(T) % 64)) - 1) : x) << bit % 32;
      if (sizeof(T) == 8) quad.words[bit / 32 + 1] = (u32)(x >> 32);
    }
    *(Quad*)(to + i) = quad;
  }
}
