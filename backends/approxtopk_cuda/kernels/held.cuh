// Candidates of a thread in its registers, for quick selection; see quick.cuh.
//
// From the command line: HELD (0, 1), KB, V, WINNERS, REPAIR.

#if HELD
struct HeldCandidates {
  const Queues& queues;
  const Place& place;
#if WINNERS
  u32 group;  // the thread's
#if REPAIR
  LossList& list;
  LossList::Known& known;
#else
  const Losses& losses;
  u32 walking;  // threads of a block that have groups
  LossMarks& marks;
  Verdict& verdict;
#endif
#endif

  // How many reach a key, which no empty place does.
  __device__ u32 count(Key least) const {
    u32 own = 0;
#pragma unroll
    for (int u = 0; u < V; ++u) {
#pragma unroll
      for (int i = 0; i < KB; ++i) own += queues[u].key(i) >= least;
    }
    return own;
  }
  // Calls f(whether it does, key, index).
  template <class F> __device__ void each(Key least, const F& f) const {
#pragma unroll
    for (int u = 0; u < V; ++u) {
#pragma unroll
      for (int i = 0; i < KB; ++i) f(queues[u].key(i) >= least, queues[u].key(i), index_in(queues[u], place, u, i));
    }
  }

  // Tells what the thread's buckets lost, where that may matter: what is worse than `least` does not. By all threads of
  // a warp. For repair that has two steps, since the answer to the first takes long.
  __device__ u32 tell_losses([[maybe_unused]] Key least) const {
#if WINNERS && REPAIR
    if (queues.lost_key() >= least) return list.reserve();
#elif WINNERS
    if (marks.mark(queues.lost_key(), least)) losses.set(group, queues.lost_key());
#endif
    return NOWHERE;
  }
  __device__ void list_losses([[maybe_unused]] u32 at) const {
#if WINNERS && REPAIR
    if (at < LossList::room) list.put(at, queues, place, group);
#endif
  }
  // Behind a barrier.
  __device__ void learn_losses() const {
#if WINNERS && REPAIR
    known = list.known();
#elif WINNERS
    verdict.most = marks.most;
#endif
  }
  // In the first block, once it is known that results will be ranked.
  __device__ void look_at_losses() const {
#if WINNERS && !REPAIR
    if constexpr (sizeof(Key) == 8) verdict.most = marks.best(losses.keys, walking);
#endif
  }
};
#endif
