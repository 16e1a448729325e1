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
};

__device__ inline u32 warp_max(u32 x) { return __reduce_max_sync(~0u, x); }
__device__ inline u32 warp_min(u32 x) { return __reduce_min_sync(~0u, x); }

__device__ inline u64 warp_max(u64 x) {
#pragma unroll
  for (int d = 16; d; d /= 2) {
    const u64 other = __shfl_xor_sync(~0u, x, d);
    x = other > x ? other : x;
  }
  return x;
}
__device__ inline u64 warp_min(u64 x) { return ~warp_max(~x); }

// Sum over the lanes up to this one.
__device__ inline u32 warp_scan(u32 x) {
#pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    const u32 other = __shfl_up_sync(~0u, x, d);
    if (threadIdx.x % 32 >= d) x += other;
  }
  return x;
}

__device__ inline u32 bit_length(u32 x) { return 32 - __clz(x); }
__device__ inline u32 bit_length(u64 x) { return 64 - __clzll(x); }
