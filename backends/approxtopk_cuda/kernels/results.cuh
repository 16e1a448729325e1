// A row's results, once they are out: the worst of them, and looking at them again.
//
// From the command line: KEY_SHIFT.

// A team's memory for it.
struct ResultSpace {
  static const int warps = per_warp(THREADS);
  Key keys[warps];
  u32 positions[warps];
  u32 sums[REPAIR && SORTED ? 32 : warps];  // also of each hidden element; see hidden.cuh
};

// Results as the caller gets them.
struct WrittenResults {
  const Params& p;
  const RowEnds& ends;
  __device__ Entry<Key> get(u32 i) const {
    const Entry<Key> entry = {element_key(ends.values[i * p.out.step]), index(i)};
    return entry;
  }
  __device__ u32 index(u32 i) const { return (u32)ends.indices[i * p.index_out.step]; }
};

// To the output; `key` is an element's.
struct RepairedSink {
  const Params& p;
  const RowEnds& ends;
  __device__ void begin(Key) const {}
  __device__ const RepairedSink& above() const { return *this; }
  __device__ void operator()(u32 place, Key key, u32 index) const { put(p, ends, place, key << KEY_SHIFT, index); }
};

// The worst of all threads' entries; space.keys and positions are free after the next barrier.
template <class Team> __device__ inline Entry<Key> worst(ResultSpace& space, Entry<Key> entry) {
  Entry<Key> found;
  found.key = warp_min(entry.key);
  found.index = warp_max(entry.key == found.key ? entry.index : 0);
  if (Team::is_warp) return found;
  if (Team::lane() == 0) space.keys[Team::warp()] = found.key, space.positions[Team::warp()] = found.index;
  Team::sync();
  entry.key = space.keys[Team::lane() % Team::warps], entry.index = space.positions[Team::lane() % Team::warps];
  found.key = warp_min(entry.key);
  found.index = warp_max(entry.key == found.key ? entry.index : 0);
  return found;
}

// Sum over the threads before this one, and over all; space.sums is free after the next barrier.
template <class Team> __device__ inline u32 scan(ResultSpace& space, u32 own, u32& total) {
  const u32 up_to = warp_scan(own);
  u32 before = 0;
  if (Team::is_warp) {
    total = __shfl_sync(~0u, up_to, 31);
  } else {
    if (Team::lane() == 31) space.sums[Team::warp()] = up_to;
    Team::sync();
    const u32 sum = Team::lane() < Team::warps ? space.sums[Team::lane()] : 0;
    before = __reduce_add_sync(~0u, Team::lane() < Team::warp() ? sum : 0);
    total = __reduce_add_sync(~0u, sum);
  }
  return before + up_to - own;
}
