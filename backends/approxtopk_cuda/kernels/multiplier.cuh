// Additions by the multiplier.
//
// Comparisons, selections and extrema share a pipe that issues every other cycle, and bound a walk over elements;
// the multiplier's is beside it, nearly idle.

// One, but the assembler must not know, or it makes something else of products.
__device__ inline u32 unknown_one() {
#ifdef __CUDA_ARCH__
  u32 one;
  asm("mov.u32 %0, %%nctaid.y;" : "=r"(one));
  return one;
#else
  return 1;
#endif
}

// Adds y to x, without a branch.
__device__ inline void add_if(bool does, u32& x, u32 y) {
#ifdef __CUDA_ARCH__
  asm("{.reg .pred p; setp.ne.u32 p, %1, 0; @p mad.lo.u32 %0, %2, %3, %0;}" : "+r"(x) : "r"((u32)does), "r"(unknown_one()), "r"(y));
#else
  if (does) x += y;
#endif
}

// x + y and x - y.
__device__ inline u32 sum(u32 x, u32 y) {
#ifdef __CUDA_ARCH__
  u32 result;
  asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(y), "r"(unknown_one()), "r"(x));
  return result;
#else
  return x + y;
#endif
}
__device__ inline u32 difference(u32 x, u32 y) {
#ifdef __CUDA_ARCH__
  u32 result;
  asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(y), "r"(0u - unknown_one()), "r"(x));
  return result;
#else
  return x - y;
#endif
}
