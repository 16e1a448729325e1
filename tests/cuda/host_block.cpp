// A whole kernel compiled for the host: one block, a host thread for each of its threads. Exchanges
// within a warp wait for all its lanes, so a lane that stays away shows as a hang.
// The kernel's own sources follow, with `extern __shared__` made `extern`.

#include <pthread.h>
#include <cstring>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))

struct uint4 { unsigned x, y, z, w; };
struct Dim { unsigned x; };
static uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static void __stcs(uint4* to, uint4 x) { *to = x; }
static int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
static int __clzll(unsigned long long x) { return x ? __builtin_clzll(x) : 64; }

static thread_local Dim threadIdx;
static const Dim blockIdx = {0}, gridDim = {1};
static pthread_barrier_t block_barrier, warp_barriers[THREADS / 32];
static unsigned long long slots[THREADS];

static void __syncthreads() { pthread_barrier_wait(&block_barrier); }
static void __syncwarp() { pthread_barrier_wait(&warp_barriers[threadIdx.x / 32]); }

// What each lane gives, by a function of all 32.
template <class T, class F> static T exchange(T x, const F& result) {
  const unsigned first = threadIdx.x / 32 * 32;
  slots[threadIdx.x] = x;
  __syncwarp();
  const T found = result(slots + first);
  __syncwarp();
  return found;
}
template <class T> static T __shfl_sync(unsigned, T x, int lane) {
  return exchange(x, [&](const unsigned long long* all) { return (T)all[lane]; });
}
template <class T> static T __shfl_xor_sync(unsigned, T x, int bits) { return __shfl_sync(~0u, x, (threadIdx.x % 32) ^ bits); }
template <class T> static T __shfl_up_sync(unsigned, T x, int by) {
  const int lane = threadIdx.x % 32;
  return __shfl_sync(~0u, x, lane >= by ? lane - by : lane);
}
template <class F> static unsigned reduce(unsigned x, const F& best) {
  return exchange(x, [&](const unsigned long long* all) {
    unsigned found = (unsigned)all[0];
    for (int lane = 1; lane < 32; ++lane) found = best(found, (unsigned)all[lane]);
    return found;
  });
}
static unsigned __reduce_max_sync(unsigned, unsigned x) { return reduce(x, [](unsigned a, unsigned b) { return a > b ? a : b; }); }
static unsigned __reduce_min_sync(unsigned, unsigned x) { return reduce(x, [](unsigned a, unsigned b) { return a < b ? a : b; }); }
static bool __all_sync(unsigned, bool x) { return __reduce_min_sync(~0u, x) != 0; }

#include KERNEL_SOURCES

unsigned char shared[256 * 1024] __attribute__((aligned(16)));

extern "C" unsigned size_of_params() { return sizeof(Params); }

extern "C" void run(const void* bytes) {
  Params p;
  memcpy(&p, bytes, sizeof p);
  pthread_barrier_init(&block_barrier, nullptr, THREADS);
  for (auto& barrier : warp_barriers) pthread_barrier_init(&barrier, nullptr, 32);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < THREADS; ++t) {
    threads.emplace_back([&p, t] {
      threadIdx.x = t;
      stage1(p);
    });
  }
  for (auto& thread : threads) thread.join();
}
