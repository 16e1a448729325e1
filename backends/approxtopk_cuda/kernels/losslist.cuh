// Groups of buckets that may hide something, as quick selection comes by them.
//
// Its bound is no better than tau, the k-th of the candidates: what is better than tau reaches it. So a
// group whose best lost key does not reach the bound hides nothing, and of nearly all rows nearly all
// groups are of that kind. The others are told while candidates are listed, in the memory of the first block of
// a cluster. GROUP is V where candidates are held, and each thread has a group.
//
// There is no maximum of 64 bits in another block's memory that is one operation, though a compiler accepts it: keys as
// wide are looked through.
//
// From the command line: WINNERS, REPAIR, HELD, V, KB, TEAM, CLUSTER.

#if WINNERS && HELD && REPAIR
// For repair they are listed with the last candidate of each of their buckets: what a bucket dropped is worse than that.
struct LossList {
  static const u32 room = 32;
  struct __align__(16) Group {  // so that a thread stores 16 bytes at once
    Key last_keys[V];
    u32 last_positions[V];
    Key lost;
    u32 group;
  };
  Group groups[room];
  u32 length;
  u32 most;  // the best key lost of those that are listed, where keys have 32 bits

  // What a thread knows of it.
  struct Known {
    u32 length;
    Key most;  // in the first block

    // Whether there was room for all.
    __device__ bool complete() const { return length <= room; }
  };
  // Behind a barrier, for any block of the cluster.
  __device__ Known known() const {
    Known now = {load_from_first(&length), most};
    if constexpr (sizeof(Key) == 8) {
      const u32 i = threadIdx.x % 32;
      now.most = warp_max(cluster_rank() == 0 && i < now.length ? groups[i].lost : 0);
    }
    return now;
  }

  // A barrier must follow.
  __device__ void clear() {
    if (threadIdx.x == 0) length = 0, most = 0;
  }

  // A place for one more; `room` or more if there is none.
  __device__ u32 reserve() { return count_in_first(&length); }
  __device__ void put(u32 at, const Queues& queues, const Place& place, u32 group) {
    Group& to = groups[at];
    Key last_keys[V];
    u32 last_positions[V];
#pragma unroll
    for (int u = 0; u < V; ++u) last_keys[u] = queues[u].key(KB - 1), last_positions[u] = index_at(queues[u], place, u, KB - 1);
#if CLUSTER > 1
    store_remote<V>(remote(to.last_keys, 0), last_keys);
    store_remote<V>(remote(to.last_positions, 0), last_positions);
#else
    store<SHARED_MEMORY>(to.last_keys, last_keys);
    store<SHARED_MEMORY>(to.last_positions, last_positions);
#endif
    store_in_first(&to.lost, queues.lost_key());
    if constexpr (sizeof(Key) == 4) max_in_first(&most, queues.lost_key());
    store_in_first(&to.group, group);
  }

  // Whether a bucket of the i-th group dropped this element.
  __device__ bool dropped(u32 i, u32 u, const Entry<Key>& entry) const {
    const Entry<Key> last = {groups[i].last_keys[u] >> KEY_SHIFT, groups[i].last_positions[u]};
    return better(last, entry);
  }
  // Whether the i-th group can hide something: its last candidates tell of ties.
  __device__ bool flagged(u32 i, const Entry<Key>& tau) const {
    if (groups[i].lost < tau.key) return false;
    bool any = false;
#pragma unroll
    for (int u = 0; u < V; ++u) {
      const Entry<Key> last = {groups[i].last_keys[u], groups[i].last_positions[u]};
      any |= better(last, tau);
    }
    return any;
  }
};
#elif WINNERS && HELD
// For a certificate a bit of each thread and the best of what was lost will do, and nobody waits for an answer.
struct LossMarks {
  static const u32 warps = TEAM / 32, words = CLUSTER * warps;
  u32 threads[words];  // a bit for each thread of each block
  u32 most;            // the best key lost of those that are marked, 0 if none is; where keys have 32 bits

  // A barrier must follow.
  __device__ void clear() {
    if (threadIdx.x < words) threads[threadIdx.x] = 0;
    if (threadIdx.x == 0) most = 0;
  }

  // Marks those threads of a warp whose groups lost something that reaches a key. Tells a thread whether it is one.
  __device__ bool mark(Key lost, Key least) {
    const bool reaches = lost >= least;
    const u32 all = __ballot_sync(~0u, reaches);
    if (!all) return false;
    if (threadIdx.x % 32 == 0) store_in_first(threads + cluster_rank() * warps + threadIdx.x / 32, all);
    if constexpr (sizeof(Key) == 4) {
      if (reaches) max_in_first(&most, lost);
    }
    return reaches;
  }

  // Behind a barrier, in the first block:

  // Whether a group's thread is marked; `walking` threads of each block have groups.
  __device__ bool has(u32 group, u32 walking) const {
    const u32 thread = group % walking;
    return threads[group / walking * warps + thread / 32] >> thread % 32 & 1;
  }
  // Calls f(group) for all such groups, by all threads of a warp.
  template <class F> __device__ void each(u32 walking, const F& f) const {
    for (u32 w = threadIdx.x % 32; w < words; w += 32) {
#pragma unroll 1
      for (u32 left = threads[w]; left; left &= left - 1) f(w / warps * walking + w % warps * 32 + __ffs(left) - 1);
    }
  }

  // The best of what they lost, `keys` having it of each group, to all threads of a warp. Only where results are ranked:
  // else other blocks have gone on, and store keys again.
  __device__ Key best(const Key* keys, u32 walking) const {
    Key found = 0;
    each(walking, [&](u32 group) { found = keys[group] > found ? keys[group] : found; });
    return warp_max(found);
  }
};
#endif
