// Blocks of a cluster: each other's shared memory, and barriers.
//
// CLUSTER (1 and up), from the command line: blocks in a cluster.

// Of a kernel. If it does not say so itself, each barrier asks whether it was launched in clusters.
#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(CLUSTER, 1, 1)
#else
#define IN_CLUSTERS
#endif

#if CLUSTER > 1
__device__ inline u32 cluster_rank() { return blockIdx.x % CLUSTER; }

#ifdef __CUDA_ARCH__  // else whoever compiles this for a host has these
// Where the block of a rank has what this one has at `local`.
__device__ inline u32 remote(const void* local, u32 rank) {
  u32 address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"((u32)__cvta_generic_to_shared(local)), "r"(rank));
  return address;
}

__device__ inline void store_remote(u32 to, u32 x) { asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(to), "r"(x) : "memory"); }
__device__ inline void store_remote(u32 to, u64 x) { asm volatile("st.shared::cluster.u64 [%0], %1;" ::"r"(to), "l"(x) : "memory"); }
__device__ inline void store_remote_if(bool does, u32 to, u64 x) {
  asm volatile("{.reg .pred p; setp.ne.u32 p, %1, 0; @p st.shared::cluster.u64 [%0], %2;}" ::"r"(to), "r"((u32)does), "l"(x) : "memory");
}
__device__ inline void store_remote_words(u32 to, const u32 (&words)[4]) {
  asm volatile("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}
__device__ inline void store_remote_words(u32 to, const u32 (&words)[2]) {
  asm volatile("st.shared::cluster.v2.u32 [%0], {%1, %2};" ::"r"(to), "r"(words[0]), "r"(words[1]) : "memory");
}

__device__ inline void load_remote(u32& x, u32 from) { asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(x) : "r"(from) : "memory"); }
__device__ inline void load_remote(u64& x, u32 from) { asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(x) : "r"(from) : "memory"); }

// Adds x and returns what was there.
__device__ inline u32 add_remote(u32 to, u32 x) {
  u32 before;
  asm volatile("atom.shared::cluster.add.u32 %0, [%1], %2;" : "=r"(before) : "r"(to), "r"(x) : "memory");
  return before;
}

// Adds x, and waits for nothing.
__device__ inline void add_only_remote(u32 to, u32 x) { asm volatile("red.shared::cluster.add.u32 [%0], %1;" ::"r"(to), "r"(x) : "memory"); }
// Adds 1 and returns what was there; see count_shared().
__device__ inline u32 count_remote(u32 to) {
  u32 before;
  asm volatile("atom.shared::cluster.inc.u32 %0, [%1], 0x7fffffff;" : "=r"(before) : "r"(to) : "memory");
  return before;
}
// Makes it the greater of itself and x.
__device__ inline void max_remote(u32 to, u32 x) { asm volatile("red.shared::cluster.max.u32 [%0], %1;" ::"r"(to), "r"(x) : "memory"); }

// A barrier of a block's shared memory that waits for as many bytes as it is told to expect, which other blocks send there: without
// the fence that a barrier of the cluster needs, which takes as long as three quarters of all that way.
//
// By one thread, before other blocks know that this one runs; then by one thread, once in a launch, before or after bytes have
// come; by all that look at these.
__device__ inline void begin_arrivals(u64* barrier) {
  asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"((u32)__cvta_generic_to_shared(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void expect_arrivals(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"((u32)__cvta_generic_to_shared(barrier)), "r"(bytes) : "memory");
}
__device__ inline void await_arrivals(u64* barrier) {
  asm volatile("{.reg .pred p; AGAIN: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0; @p bra DONE; bra AGAIN; DONE:}" ::"r"(
                   (u32)__cvta_generic_to_shared(barrier))
               : "memory");
}
__device__ inline void send(u32 to, u32 barrier, const u32 (&words)[1]) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(to), "r"(words[0]), "r"(barrier) : "memory");
}
__device__ inline void send(u32 to, u32 barrier, const u32 (&words)[2]) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.u32 [%0], {%1, %2}, [%3];" ::"r"(to), "r"(words[0]), "r"(words[1]),
               "r"(barrier)
               : "memory");
}
__device__ inline void send(u32 to, u32 barrier, const u32 (&words)[4]) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.u32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3]), "r"(barrier)
               : "memory");
}

__device__ inline void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
// Orders nothing but the blocks themselves.
__device__ inline void cluster_arrive_only() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
#endif

// N neighbouring items by pieces; see output.cuh.
template <int N, class T> __device__ inline void store_remote(u32 to, const T (&items)[N]) {
  typedef Pieces<N, T> P;
#pragma unroll
  for (int i = 0; i < N; i += P::items) {
    const u32 at = to + i * (u32)sizeof(T);
    if constexpr (P::items == 1) {
      store_remote(at, items[i]);
    } else {
      u32 words[P::words];
      pack(words, items + i);
      store_remote_words(at, words);
    }
  }
}

// N items, of which 4, 8 or 16 bytes go together.
template <int N, class T> __device__ inline void send_items(u32 to, u32 barrier, const T (&items)[N]) {
  const int bytes = N * (int)sizeof(T), each = bytes % 16 ? bytes : 16;
  const u32* const words = (const u32*)items;
#pragma unroll
  for (int i = 0; i < bytes; i += each) {
    u32 piece[each / 4];
#pragma unroll
    for (int w = 0; w < each / 4; ++w) piece[w] = words[i / 4 + w];
    send(to + i, barrier, piece);
  }
}

// In the first block's memory, where it has what this one has at `at`.
template <class T> __device__ inline void store_in_first(T* at, T x) { store_remote(remote(at, 0), x); }
__device__ inline u32 load_from_first(const u32* at) {
  if (cluster_rank() == 0) return *at;
  u32 x;
  load_remote(x, remote(at, 0));
  return x;
}
__device__ inline u32 count_in_first(u32* at) { return count_remote(remote(at, 0)); }
__device__ inline void max_in_first(u32* at, u32 x) { max_remote(remote(at, 0), x); }
#else
template <class T> __device__ inline void store_in_first(T* at, T x) { *at = x; }
__device__ inline u32 load_from_first(const u32* at) { return *at; }
__device__ inline u32 count_in_first(u32* at) { return count_shared(at); }
__device__ inline void max_in_first(u32* at, u32 x) { max_shared(at, x); }
__device__ inline u32 cluster_rank() { return 0; }
__device__ inline void cluster_arrive() {}
__device__ inline void cluster_arrive_only() {}
__device__ inline void cluster_wait() {}
#endif
