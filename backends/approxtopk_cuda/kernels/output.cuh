// From a winner's key and index to what the caller sees.

// KEY_SHIFT (0, 8, 16), from the command line: bits of a candidate's key below the element's.

// The element itself, bit for bit. Its key tells it, unless that is a zero's or a NaN's.
__device__ inline Bits value_of(const Params& p, const Bits* row, Key candidate, u32 index) {
  const Key key = candidate >> KEY_SHIFT;
  if (ambiguous<Element, LARGEST>(key)) return row[index * (STRIDED ? p.in.step : 1)];
  return unorder<Element, LARGEST>(key);
}

// Where a row's input and output begin.
struct RowEnds {
  const Bits* arr;
  Bits* values;
  Index* indices;
};

// Steps of 64 bits in bytes: two multiplications make an address.
template <class T> __device__ inline T* step_from(T* base, u32 at, i64 step) {
  return (T*)((u8*)base + at * ((u64)step * sizeof(T)));
}

__device__ inline RowEnds ends_of(const Params& p, u32 row) {
  RowEnds ends;
  ends.arr = p.arr + offset_of(p.in, p.inner, row);
  ends.values = p.values + offset_of(p.out, p.inner, row);
  ends.indices = (Index*)p.indices + offset_of(p.index_out, p.inner, row);
  return ends;
}

__device__ inline void put(const Params& p, const RowEnds& ends, u32 at, Key key, u32 index) {
  *step_from(ends.values, at, p.out.step) = value_of(p, ends.arr, key, index);
  *step_from(ends.indices, at, p.index_out.step) = (Index)index;
}

// How N neighbouring items are stored where they are aligned together: by the largest pieces that they fill. (What lanes store
// with gaps between them takes twice as long in shared memory, and several times in another block's.)
template <int N, class T> struct Pieces {
  static const int all = N * (int)sizeof(T), most = all % 16 == 0 ? 16 : all % 8 == 0 ? 8 : 4;
  static const int bytes = all % 4 == 0 && most > (int)sizeof(T) ? most : (int)sizeof(T);
  static const int items = bytes / (int)sizeof(T), words = bytes / 4;  // words: where there are several items
};

// Items as words.
template <int WORDS, class T> __device__ inline void pack(u32 (&words)[WORDS], const T* items) {
#pragma unroll
  for (int w = 0; w < WORDS; ++w) {
    if (sizeof(T) == 8) {
      words[w] = (u32)((u64)items[w / 2] >> (w % 2 * 32));
    } else {
      const int each = 4 / (int)(sizeof(T) < 4 ? sizeof(T) : 4), bits = 8 * (int)(sizeof(T) < 4 ? sizeof(T) : 4);
      words[w] = 0;
#pragma unroll
      for (int j = 0; j < each; ++j) words[w] |= ((u32)items[w * each + j] & (~0u >> (32 - bits))) << (bits * j % 32);
    }
  }
}

// Where items go. STREAMED is global memory that nobody reads soon, so it need not stay in L2.
enum Destination { SHARED_MEMORY, GLOBAL, STREAMED };

// A piece by one instruction: an assignment the compiler may take apart, and in shared memory neighbours then meet in the banks.
template <Destination TO, class T> __device__ inline void store_global(void* to, T x) {
  if (TO == STREAMED)
    __stcs((T*)to, x);
  else
    __stcg((T*)to, x);
}
template <Destination TO> __device__ inline void store_words(void* to, const u32 (&words)[4]) {
#ifdef __CUDA_ARCH__
  if (TO == SHARED_MEMORY) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"((u32)__cvta_generic_to_shared(to)), "r"(words[0]), "r"(words[1]),
                 "r"(words[2]), "r"(words[3])
                 : "memory");
    return;
  }
#endif
  store_global<TO>(to, make_uint4(words[0], words[1], words[2], words[3]));
}
template <Destination TO> __device__ inline void store_words(void* to, const u32 (&words)[2]) {
#ifdef __CUDA_ARCH__
  if (TO == SHARED_MEMORY) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"((u32)__cvta_generic_to_shared(to)), "r"(words[0]), "r"(words[1]) : "memory");
    return;
  }
#endif
  store_global<TO>(to, make_uint2(words[0], words[1]));
}
template <Destination TO> __device__ inline void store_words(void* to, const u32 (&words)[1]) {
  if (TO == SHARED_MEMORY)
    *(u32*)to = words[0];
  else
    store_global<TO>(to, words[0]);
}

template <Destination TO, int N, class T> __device__ inline void store(T* to, const T (&items)[N]) {
  typedef Pieces<N, T> P;
#pragma unroll
  for (int i = 0; i < N; i += P::items) {
    if constexpr (P::items == 1) {
      to[i] = items[i];
    } else {
      u32 words[P::words];
      pack(words, items + i);
      store_words<TO>(to + i, words);
    }
  }
}
