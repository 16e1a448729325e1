// A team: the threads that work on one row together, a warp or a block.

template <int SIZE> struct TeamOf {
  static const int size = SIZE;
  static const int warps = SIZE / 32;
  static const bool is_warp = SIZE == 32;

  __device__ static u32 rank() { return is_warp ? threadIdx.x % 32 : threadIdx.x; }
  __device__ static u32 lane() { return threadIdx.x % 32; }
  __device__ static u32 warp() { return is_warp ? 0 : threadIdx.x / 32; }
  __device__ static void sync() {
    if (is_warp)
      __syncwarp();
    else
      __syncthreads();
  }
  // Whether any thread says so, as a barrier.
  __device__ static bool any(bool x) {
    if (!is_warp) return __syncthreads_or(x);
    __syncwarp();
    return __any_sync(~0u, x);
  }
  // How many threads of a block say so, as a barrier.
  __device__ static u32 count(bool x) { return __syncthreads_count(x); }
};

#ifdef __CUDA_ARCH__  // else whoever compiles this for a host has them
// A barrier of so many threads of a block, those of whole warps; and one of a warp alone, which waits for nothing, for the others:
// compute-sanitizer's racecheck counts barriers, and takes what is behind as many for what is at the same time.
__device__ inline void sync_some(u32 threads) { asm volatile("bar.sync 1, %0;" ::"r"(threads) : "memory"); }
__device__ inline void sync_alone() { asm volatile("bar.sync 2, 32;" ::: "memory"); }
#endif

__device__ inline u32 warp_max(u32 x) { return __reduce_max_sync(~0u, x); }
__device__ inline u32 warp_min(u32 x) { return __reduce_min_sync(~0u, x); }

__device__ inline u64 warp_max(u64 x) {
  const u32 high = warp_max((u32)(x >> 32));
  return (u64)high << 32 | warp_max((u32)(x >> 32) == high ? (u32)x : 0);
}
__device__ inline u64 warp_min(u64 x) { return ~warp_max(~x); }

// What the lane has whose number differs by these bits.
__device__ inline u32 from_lane_xor(u32 x, u32 bits) { return __shfl_xor_sync(~0u, x, bits); }
__device__ inline u64 from_lane_xor(u64 x, u32 bits) {
  return (u64)from_lane_xor((u32)(x >> 32), bits) << 32 | from_lane_xor((u32)x, bits);
}

// Sum over the lanes up to this one.
__device__ inline u32 warp_scan(u32 x) {
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
#ifdef __CUDA_ARCH__  // a shuffle says itself which lanes have none before them
    asm volatile("{.reg .pred p; .reg .u32 other; shfl.sync.up.b32 other|p, %0, %1, 0, 0xffffffff; @p add.u32 %0, %0, other;}" : "+r"(x) : "r"(d));
#else
    const u32 other = __shfl_up_sync(~0u, x, d);
    if (threadIdx.x % 32 >= d) x += other;
#endif
  }
  return x;
}

__device__ inline u32 bit_length(u32 x) { return 32 - __clz(x); }
__device__ inline u32 bit_length(u64 x) { return 64 - __clzll(x); }

// A launch may begin before the stream's last one has ended (sm_90 and later), so that its blocks are there
// by then: every kernel waits before it reads or writes global memory. Some let the next launch begin as soon
// as all their own blocks run, not when these have ended; see launch.py.
__device__ inline void let_next_launch_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ inline void await_launch_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ inline void prefetch(const void* at) {
#ifdef __CUDA_ARCH__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}

// Adds bits, without a branch.
__device__ inline void or_if(bool does, u32& x, u32 bits) {
#ifdef __CUDA_ARCH__
  asm("{.reg .pred p; setp.ne.u32 p, %1, 0; @p or.b32 %0, %0, %2;}" : "+r"(x) : "r"((u32)does), "r"(bits));
#else
  if (does) x |= bits;
#endif
}

// To shared memory, and without a branch, so that a thread has several of them in flight.
#ifdef __CUDA_ARCH__
__device__ inline void store_if(bool does, u32* at, u32 x) {
  asm volatile("{.reg .pred p; setp.ne.u32 p, %1, 0; @p st.shared.u32 [%0], %2;}" ::"r"((u32)__cvta_generic_to_shared(at)),
               "r"((u32)does), "r"(x)
               : "memory");
}
__device__ inline void store_if(bool does, u64* at, u64 x) {
  asm volatile("{.reg .pred p; setp.ne.u32 p, %1, 0; @p st.shared.u64 [%0], %2;}" ::"r"((u32)__cvta_generic_to_shared(at)),
               "r"((u32)does), "l"(x)
               : "memory");
}
#else
template <class T> __device__ inline void store_if(bool does, T* at, T x) {
  if (does) *at = x;
}
#endif

// Atomics of shared memory for few lanes of a warp. Of an addition of 1 the assembler makes one for all of them, and
// waits for it where it stands; this counts up to 2^31, and the answer, what was there, is waited for where it is used.
#ifdef __CUDA_ARCH__
__device__ inline u32 count_shared(u32* at) {
  u32 before;
  asm volatile("atom.shared.inc.u32 %0, [%1], 0x7fffffff;" : "=r"(before) : "r"((u32)__cvta_generic_to_shared(at)) : "memory");
  return before;
}
__device__ inline u32 add_shared(u32* at, u32 x) {
  u32 before;
  asm volatile("atom.shared.add.u32 %0, [%1], %2;" : "=r"(before) : "r"((u32)__cvta_generic_to_shared(at)), "r"(x) : "memory");
  return before;
}
__device__ inline void max_shared(u32* at, u32 x) {
  asm volatile("red.shared.max.u32 [%0], %1;" ::"r"((u32)__cvta_generic_to_shared(at)), "r"(x) : "memory");
}
__device__ inline void max_shared(u64* at, u64 x) {
  asm volatile("red.shared.max.u64 [%0], %1;" ::"r"((u32)__cvta_generic_to_shared(at)), "l"(x) : "memory");
}
#else
__device__ inline u32 count_shared(u32* at) { return (*at)++; }
__device__ inline u32 add_shared(u32* at, u32 x) {
  const u32 before = *at;
  *at += x;
  return before;
}
template <class T> __device__ inline void max_shared(T* at, T x) {
  if (*at < x) *at = x;
}
#endif
