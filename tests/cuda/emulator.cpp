// Runs whole kernels on the host: a block's threads are fibers that take turns at barriers and at what
// warps do together, in rising order in one block and in falling order in the next. It needs no GPU; what
// depends on the order of threads between two barriers shows as a difference between blocks.

// Of the library it needs C's headers alone: containers took half of a kernel's compilation.

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __restrict__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__

namespace emulator {

struct Meeting {  // a barrier
  unsigned arrived = 0, round = 0;
};

static const unsigned STACK = 64 * 1024;

struct Fiber {
  ucontext_t context;  // to begin with; jumps, which ask nothing of the system, do the rest
  jmp_buf left;
  bool begun, done;
};

static Fiber fibers[THREADS];
static char (*stacks)[STACK];
static Meeting warps[THREADS / 32];
static uint64_t slots[THREADS];  // what lanes show each other
static Meeting block;
static unsigned alive, current;
static unsigned alive_in_warp[THREADS / 32];
static jmp_buf scheduler;

__attribute__((noinline)) static void yield() {
  if (!_setjmp(fibers[current].left)) _longjmp(scheduler, 1);
}
__attribute__((noinline)) static void resume(Fiber& fiber) {
  if (_setjmp(scheduler)) return;
  if (fiber.begun) _longjmp(fiber.left, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

inline void meet(Meeting& meeting, const unsigned& members) {
  const unsigned round = meeting.round;
  ++meeting.arrived;
  while (meeting.round == round) {
    if (meeting.arrived >= members) {
      meeting.arrived = 0;
      ++meeting.round;
    } else {
      yield();
    }
  }
}

inline void meet_warp() { meet(warps[current / 32], alive_in_warp[current / 32]); }

// Shows x to the warp and returns what f makes of all lanes' values.
template <class T, class F> inline auto together(T x, F f) {
  uint64_t* const warp = &slots[current / 32 * 32];
  memcpy(warp + current % 32, &x, sizeof(T));
  meet_warp();
  T values[32];
  for (int lane = 0; lane < 32; ++lane) memcpy(values + lane, warp + lane, sizeof(T));
  const auto result = f(values);
  meet_warp();
  return result;
}

}  // namespace emulator

struct Dimension {
  unsigned x;
};
static Dimension threadIdx, blockIdx, gridDim;
struct __attribute__((aligned(16))) uint4 {
  unsigned x, y, z, w;
};
struct __attribute__((aligned(8))) uint2 {
  unsigned x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
template <class T> inline void __stcs(T* to, T value) { *to = value; }
template <class T> inline void __stcg(T* to, T value) { *to = value; }

inline void __syncthreads() { emulator::meet(emulator::block, emulator::alive); }
inline void sync_some(unsigned threads) {  // see team.cuh
  static emulator::Meeting some;
  emulator::meet(some, threads);
}
inline void sync_alone() {}
inline void __syncwarp() { emulator::meet_warp(); }
inline int __syncthreads_count(int x) {
  static int count;
  __syncthreads();
  count = 0;
  __syncthreads();
  count += x != 0;
  __syncthreads();
  return count;
}
inline int __syncthreads_or(int x) { return __syncthreads_count(x) != 0; }

#define EACH_LANE for (int lane = 0; lane < 32; ++lane)
template <class T> inline T __shfl_sync(unsigned, T x, int from) {
  return emulator::together(x, [=](const T* all) { return all[from & 31]; });
}
template <class T> inline T __shfl_up_sync(unsigned, T x, unsigned d) {
  const unsigned me = threadIdx.x % 32;
  return emulator::together(x, [=](const T* all) { return me >= d ? all[me - d] : all[me]; });
}
template <class T> inline T __shfl_down_sync(unsigned, T x, unsigned d) {
  const unsigned me = threadIdx.x % 32;
  return emulator::together(x, [=](const T* all) { return me + d < 32 ? all[me + d] : all[me]; });
}
template <class T> inline T __shfl_xor_sync(unsigned, T x, int d) {
  const unsigned me = threadIdx.x % 32;
  return emulator::together(x, [=](const T* all) { return all[me ^ d]; });
}
inline unsigned __ballot_sync(unsigned, int x) {
  return emulator::together(x, [](const int* all) {
    unsigned bits = 0;
    EACH_LANE bits |= unsigned(all[lane] != 0) << lane;
    return bits;
  });
}
inline int __any_sync(unsigned mask, int x) { return __ballot_sync(mask, x) != 0; }
inline int __all_sync(unsigned mask, int x) { return __ballot_sync(mask, x) == ~0u; }
inline unsigned __match_any_sync(unsigned, unsigned x) {
  return emulator::together(x, [=](const unsigned* all) {
    unsigned bits = 0;
    EACH_LANE bits |= unsigned(all[lane] == x) << lane;
    return bits;
  });
}
inline unsigned __reduce_max_sync(unsigned, unsigned x) {
  return emulator::together(x, [](const unsigned* all) {
    unsigned found = 0;
    EACH_LANE found = all[lane] > found ? all[lane] : found;
    return found;
  });
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned x) { return ~__reduce_max_sync(mask, ~x); }
inline unsigned __reduce_add_sync(unsigned, unsigned x) {
  return emulator::together(x, [](const unsigned* all) {
    unsigned sum = 0;
    EACH_LANE sum += all[lane];
    return sum;
  });
}
inline unsigned atomicExch(unsigned* at, unsigned x) {
  const unsigned before = *at;
  *at = x;
  return before;
}
inline unsigned atomicAdd(unsigned* at, unsigned x) {
  const unsigned before = *at;
  *at += x;
  return before;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(uint64_t x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
inline unsigned __vcmpeq4(unsigned a, unsigned b) {
  unsigned equal = 0;
  for (int i = 0; i < 32; i += 8) equal |= ((a ^ b) >> i & 0xFF) == 0 ? 0xFFu << i : 0;
  return equal;
}

// Dynamic shared memory; kernels declare it without `static`.
__attribute__((aligned(16))) unsigned char shared[256 * 1024];

#if CLUSTER > 1
// Each block of a cluster runs in a copy of this library, whose variables are its shared memory. An
// address in a block's memory is its distance from `shared`, with the block's rank in the upper bits.
struct Cluster {
  unsigned char* shared[16];
  unsigned arrived, round;
};
static Cluster* cluster;

inline unsigned remote(const void* local, unsigned rank) {
  return rank << 28 | unsigned((const unsigned char*)local - shared + (1 << 27));
}
template <class T> inline T& at_remote(unsigned address) {
  return *(T*)(cluster->shared[address >> 28] + (address & 0xFFFFFFF) - (1 << 27));
}
inline void store_remote(unsigned to, unsigned x) { at_remote<unsigned>(to) = x; }
inline void store_remote(unsigned to, unsigned long long x) { at_remote<unsigned long long>(to) = x; }
inline void store_remote_if(bool does, unsigned to, unsigned long long x) {
  if (does) store_remote(to, x);
}
template <int N> inline void store_remote_words(unsigned to, const unsigned (&words)[N]) {
  if (to % (4 * N)) __builtin_trap();
  memcpy(&at_remote<char>(to), words, 4 * N);
}
inline void begin_arrivals(unsigned long long* barrier) { *barrier = 1ull << 32; }
inline void expect_arrivals(unsigned long long* barrier, unsigned bytes) { *barrier += bytes - (1ull << 32); }
inline void await_arrivals(volatile unsigned long long* barrier) {
  while (*barrier) emulator::yield();
}
template <int N> inline void send(unsigned to, unsigned barrier, const unsigned (&words)[N]) {
  store_remote_words(to, words);
  at_remote<unsigned long long>(barrier) -= 4 * N;
}
template <class T> inline void load_remote(T& x, unsigned from) { x = at_remote<T>(from); }
inline unsigned add_remote(unsigned to, unsigned x) { return atomicAdd(&at_remote<unsigned>(to), x); }
inline void add_only_remote(unsigned to, unsigned x) { add_remote(to, x); }
inline unsigned count_remote(unsigned to) { return add_remote(to, 1); }
inline void max_remote(unsigned to, unsigned x) {
  if (at_remote<unsigned>(to) < x) at_remote<unsigned>(to) = x;
}

static unsigned round_arrived_in[THREADS];
inline void cluster_arrive() {
  round_arrived_in[threadIdx.x] = cluster->round;
  if (++cluster->arrived == CLUSTER * THREADS) cluster->arrived = 0, ++cluster->round;
}
inline void cluster_arrive_only() { cluster_arrive(); }
inline void cluster_wait() {
  while (cluster->round == round_arrived_in[threadIdx.x]) emulator::yield();
}
#endif

#include KERNEL_SOURCES

static const Params* parameters;

static void thread_main() {
  ENTRY(*parameters);
  emulator::Fiber& fiber = emulator::fibers[emulator::current];
  fiber.done = true;
  --emulator::alive;
  --emulator::alive_in_warp[emulator::current / 32];
  _longjmp(emulator::scheduler, 1);
}

extern "C" void begin(const void* params, unsigned grid, unsigned b, void* shared_by_cluster) {
  using namespace emulator;
  parameters = (const Params*)params;
  gridDim.x = grid;
  blockIdx.x = b;
#if CLUSTER > 1
  cluster = (Cluster*)shared_by_cluster;
  cluster->shared[b % CLUSTER] = shared;
  for (unsigned& round : round_arrived_in) round = 0;
#endif
  if (!stacks) stacks = (char (*)[STACK])malloc(sizeof(*stacks) * THREADS);
  for (uint64_t& slot : slots) slot = 0;
  for (Meeting& warp : warps) warp = Meeting();
  for (unsigned& threads : alive_in_warp) threads = 32;
  block = Meeting();
  alive = THREADS;
  for (unsigned thread = 0; thread < THREADS; ++thread) {
    Fiber& fiber = fibers[thread];
    fiber.begun = fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks[thread];
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, thread_main, 0);
  }
}

static void end() {  // stacks take up to 64 MB
  free(emulator::stacks);
  emulator::stacks = nullptr;
}

// Gives each thread a turn, until it waits for others; tells how many are not done.
extern "C" unsigned turn() {
  using namespace emulator;
  for (current = 0; current < THREADS; ++current) {
    if (fibers[current].done) continue;
    threadIdx.x = current;
    resume(fibers[current]);
  }
#if CLUSTER > 1
  if (!alive) end();
#endif
  return alive;
}

extern "C" void run(const void* params, unsigned grid) {
  for (unsigned b = 0; b < grid; ++b) {
    begin(params, grid, b, nullptr);
    while (turn()) continue;
  }
  end();
}
