// 16 bytes that are not wanted in L1 again. Volatile, and not through the read-only path: a launch that begins early must not
// read before it has waited.
__device__ inline void load_streamed(u32* words, const void* at) {
#ifdef __CUDA_ARCH__
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
      : "l"(at));
#else
  if ((u64)at % 16) __builtin_trap();
  for (int w = 0; w < 4; ++w) words[w] = ((const u32*)at)[w];
#endif
}

// The same where that is so, without a branch; else the words stay what they are.
__device__ inline void load_streamed_if(bool does, u32* words, const void* at) {
#ifdef __CUDA_ARCH__
  asm volatile("{.reg .pred p; setp.ne.u32 p, %5, 0; @p ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];}"
      : "+r"(words[0]), "+r"(words[1]), "+r"(words[2]), "+r"(words[3])
      : "l"(at), "r"((u32)does));
#else
  if (does) load_streamed(words, at);
#endif
}

// V (from the command line) neighbouring elements in one load.
struct Chunk {
  static const int bytes = V * Element::bytes;
  static const int words = bytes > (int)sizeof(Word) ? bytes / (int)sizeof(Word) : 1;
  Word word[words];

  // Element u, of a word that is 0 there.
  __device__ void put(int u, Bits element) {
    const int each = Element::per_word;
    word[u / each] |= (Word)element << (8 * Element::bytes * (u % each));
  }

  __device__ Bits element(int u) const {
    const int each = Element::per_word;
    return (Bits)(word[u / each] >> (8 * Element::bytes * (u % each)));
  }

  // The elements from the lead-th on.
  __device__ void load_behind(const Bits* at, u32 lead) {
#pragma unroll
    for (int w = 0; w < words; ++w) word[w] = 0;
#pragma unroll
    for (int u = 1; u < V; ++u) {
      if (u >= lead) put(u, at[u]);
    }
  }

  // A streamed element is not wanted in L1 again, unless it is KEPT. Volatile, and not through the read-only
  // path: a launch that begins early must not read before it has waited.
  template <bool KEPT = false> __device__ void load(const Bits* at) {
#ifdef __CUDA_ARCH__
    if (bytes == 16 && KEPT) {
      u32* w = (u32*)word;
      asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]) : "l"(at));
    } else if (bytes == 16) {
      load_streamed((u32*)word, at);
    } else if (bytes == 8) {
      u32* w = (u32*)word;
      asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(at));
    } else if (bytes == 4) {
      asm volatile("ld.global.u32 %0, [%1];" : "=r"(*(u32*)word) : "l"(at));
    } else {
      word[0] = *at;
    }
#else
    if ((u64)at % bytes) __builtin_trap();
    word[0] = 0;
    for (int i = 0; i < V; ++i) ((Bits*)word)[i] = at[i];
#endif
  }
};
