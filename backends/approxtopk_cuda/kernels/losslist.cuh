// Groups of buckets that may hide something, as quick selection comes by them.
//
// Its bound is no better than tau, the k-th of the candidates: what is better than tau reaches it. So a
// group whose best lost key does not reach the bound hides nothing, and of nearly all rows nearly all
// groups are of that kind. The others are listed while candidates are, in the memory of the first block of
// a cluster, with the last candidate of each of their buckets: what a bucket dropped is worse than that.
//
// From the command line: WINNERS, HELD, V, KB. GROUP is V where candidates are held.

#if WINNERS && HELD
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
  Key most;  // the best key lost of those that are listed

  // What a thread knows of it.
  struct Known {
    u32 length;
    Key most;  // in the first block

    // Whether there was room for all.
    __device__ bool complete() const { return length <= room; }
  };
  // Behind a barrier, for any block of the cluster.
  __device__ Known known() const {
    const Known now = {load_from_first(&length), most};
    return now;
  }

  // By one thread; a barrier must follow.
  __device__ void clear() { length = 0, most = 0; }

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
    max_in_first(&most, queues.lost_key());
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
#endif
