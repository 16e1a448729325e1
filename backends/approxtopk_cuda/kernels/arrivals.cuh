// Copies to shared memory by the engine for that (sm_90 and later).
//
// From the command line: RESIDENT (see resident.cuh).

#if RESIDENT
// A row's bytes on their way to shared memory in a few parts, and waiting for each.
struct Arrivals {
  static const int parts = 4;
  u64 barriers[parts];

#ifdef __CUDA_ARCH__
  __device__ u32 address(int part) const { return (u32)__cvta_generic_to_shared(barriers + part); }
  // By one thread, before a barrier.
  __device__ void begin() {
#pragma unroll
    for (int part = 0; part < parts; ++part) asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(address(part)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  // By the same thread. Both addresses and the number of bytes are multiples of 16.
  __device__ void send(int part, void* to, const void* from, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(address(part)), "r"(bytes) : "memory");
    if (bytes == 0) return;
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"((u32)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(bytes), "r"(address(part))
                 : "memory");
  }
  __device__ void await(int part) const {
    asm volatile("{.reg .pred p; AGAIN: mbarrier.try_wait.parity.shared.b64 p, [%0], 0; @p bra DONE; bra AGAIN; DONE:}" ::"r"(address(part))
                 : "memory");
  }
#else
  void begin() {}
  void send(int, void* to, const void* from, u32 bytes) {
    for (u32 i = 0; i < bytes; ++i) ((u8*)to)[i] = ((const u8*)from)[i];
  }
  void await(int) const {}
#endif
};
#endif
