// Merging the lists of a bucket's parts in shared memory.
//
// List l of a block holds KB entries (key, index), best first, at keys[i * lists + l] and
// positions[i * lists + l]. An empty entry (least key, NOWHERE) is worse than any element.

template <class K> struct Entry {
  K key;
  u32 index;
};

// Whether a is selected before b: the greater key, on a tie the lower index.
template <class K> __device__ inline bool better(const Entry<K>& a, const Entry<K>& b) {
  return a.key > b.key || (a.key == b.key && a.index < b.index);
}

template <class K> struct Lists {
  K* keys;
  u32* positions;
  u32 lists;

  __device__ Entry<K> get(u32 list, u32 i) const {
    Entry<K> entry;
    entry.key = keys[i * lists + list];
    entry.index = positions[i * lists + list];
    return entry;
  }
  __device__ void set(u32 list, u32 i, const Entry<K>& entry) const {
    keys[i * lists + list] = entry.key;
    positions[i * lists + list] = entry.index;
  }
};

// The best KB of two lists, best first.
template <class K, int N> __device__ inline void merge_two(const Lists<K>& lists, u32 a, u32 b, Entry<K> (&best)[N]) {
  u32 next_a = 1, next_b = 1;
  Entry<K> x = lists.get(a, 0), y = lists.get(b, 0);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (better(y, x)) {
      best[i] = y;
      if (i + 1 < N) y = lists.get(b, next_b++);
    } else {
      best[i] = x;
      if (i + 1 < N) x = lists.get(a, next_a++);
    }
  }
}

// Merges the lists of `rows` rows, `parts` parts (at least 2), `tile` buckets, and gives each
// bucket's list to sink(row, bucket, entries). All threads of the team call it, after writing
// their lists; it begins with a barrier and ends without.
template <class Team, class K, int N, class Sink>
__device__ inline void merge_parts(const Lists<K>& lists, u32 rows, u32 parts, u32 tile, const Sink& sink) {
  const u32 row_lists = parts * tile;
  while (parts > 1) {
    const u32 half = (parts + 1) / 2;
    const u32 pairs = (parts - half) * tile;  // the odd part waits, but at the end there is none
    Team::sync();
    for (u32 x = Team::rank(); x < rows * pairs; x += Team::size) {
      const u32 row = rows == 1 ? 0 : x / pairs;
      const u32 pair = x - row * pairs;
      const u32 a = row * row_lists + pair;
      Entry<K> best[N];
      merge_two<K, N>(lists, a, a + half * tile, best);
      if (half == 1) {
        sink(row, pair, best);
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) lists.set(a, i, best[i]);
      }
    }
    parts = half;
  }
}
