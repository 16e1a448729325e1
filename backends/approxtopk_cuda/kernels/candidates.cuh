// What a thread keeps of its buckets in registers, once it has walked them, and their way to memory.
//
// From the command line: KB, V, MERGE, CLUSTER, SPREAD, WINNERS, INDICES (see indices.cuh).

#if MERGE
// Of one bucket, whose parts the thread merged last.
struct Candidates {
  static const int buckets = 1;
  Entry<Key> best[KB];
  Key lost;
  bool any;  // else the thread has no bucket

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < KB; ++i) best[i] = {0, NOWHERE};
    lost = 0, any = false;
  }
  __device__ Key key(int, int i) const { return best[i].key; }
  __device__ u32 index(int, int i) const { return best[i].index; }
  __device__ Key lost_key() const { return lost; }
  __device__ u32 word(int, int i) const { return best[i].index; }
};
#else
// Of V neighbouring ones.
struct Candidates {
  static const int buckets = V;
  const Queues& queues;
  const Place& place;
  bool any;

  __device__ Key key(int u, int i) const { return queues[u].key(i); }
  __device__ u32 index(int u, int i) const { return index_at(queues[u], place, u, i); }
  __device__ Key lost_key() const { return queues.lost_key(); }
  // What tells the i-th's index; see indices.cuh.
  __device__ u32 word(int u, int i) const {
#if INDICES == BY_STEPS
    return queues[u].steps[i / 4];
#else
    return index(u, i);
#endif
  }
};
#endif

// Candidates to the memory of the first block of a cluster, or what certificates need of them to the block's own.
struct CandidateSink {
  Key* keys;
  u32* words;
  u32 b, bucket0;
#if CLUSTER > 1
  u32 remote_keys, remote_words;
#endif
#if WINNERS && MERGE && !SPREAD
  Losses losses;
  Key* most_lost;  // of the thread's buckets
#endif

  // Those of neighbouring buckets, from this one on.
  __device__ void put(u32 bucket, const Candidates& candidates) const {
    const int n = Candidates::buckets;
#pragma unroll
    for (int i = 0; i < KB; ++i) {
      Key level[n];
      u32 level_words[n];
#pragma unroll
      for (int u = 0; u < n; ++u) level[u] = candidates.key(u, i), level_words[u] = candidates.word(u, i);
      put_keys(i * b + bucket, level);
      if (INDICES == STORED || (INDICES == BY_STEPS && i % 4 == 0)) put_words((INDICES == BY_STEPS ? i / 4 : i) * b + bucket, level_words);
    }
  }
#if SPREAD && WINNERS
  // The last of each, to the block's own memory.
  __device__ void put_last(u32 bucket, const Candidates& candidates) const {
    const int n = Candidates::buckets;
    Key last[n];
    u32 last_words[n];
#pragma unroll
    for (int u = 0; u < n; ++u) last[u] = candidates.key(u, KB - 1), last_words[u] = candidates.word(u, KB - 1);
    store<SHARED_MEMORY>(keys + (KB - 1) * b + bucket, last);
    if (INDICES != IN_KEYS) store<SHARED_MEMORY>(words + (INDICES == BY_STEPS ? (KB - 1) / 4 : KB - 1) * b + bucket, last_words);
  }
#endif

#if MERGE && !SPREAD
  __device__ void operator()(u32, u32 bucket, const Entry<Key> (&best)[KB], Key best_lost) const {
    if (bucket0 + bucket >= b) return;
#if WINNERS
    losses.set(bucket0 + bucket, best_lost);
    *most_lost = Wholes::greater(*most_lost, best_lost);
#endif
    Candidates merged;
#pragma unroll
    for (int i = 0; i < KB; ++i) merged.best[i] = best[i];
    put(bucket0 + bucket, merged);
  }
#endif

 private:
  template <int N> __device__ void put_keys(u32 at, const Key (&items)[N]) const {
#if CLUSTER > 1
    store_remote<N>(remote_keys + at * sizeof(Key), items);
#else
    store<SHARED_MEMORY>(keys + at, items);
#endif
  }
  template <int N> __device__ void put_words(u32 at, const u32 (&items)[N]) const {
#if CLUSTER > 1
    store_remote<N>(remote_words + at * 4, items);
#else
    store<SHARED_MEMORY>(words + at, items);
#endif
  }
};
