// Merging the lists of a bucket's parts in shared memory.
//
// From the command line: LOST (0, 1), whether to keep the best key that a list dropped; see ranking.cuh.
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
  K* lost;  // with LOST: of each list

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

// The best KB of two lists, best first. With LOST it returns the best key that isn't among them.
template <class K, int N> __device__ inline K merge_two(const Lists<K>& lists, u32 a, u32 b, Entry<K> (&best)[N]) {
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
#if LOST
  // The list that gave the last of them goes on behind it.
  const bool from_b = best[N - 1].index == y.index && best[N - 1].key == y.key;
  const u32 next = from_b ? next_b : next_a;
  const K behind = next < N ? lists.get(from_b ? b : a, next).key : 0, other = from_b ? x.key : y.key;
  const K more = lists.lost[a] > lists.lost[b] ? lists.lost[a] : lists.lost[b];
  const K left = behind > other ? behind : other;
  return left > more ? left : more;
#else
  return 0;
#endif
}

// Merges the lists of `rows` rows, `parts` parts (at least 2), `tile` buckets, and gives each
// bucket's list to sink(row, bucket, entries, best key lost). All threads of the team call it, after writing
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
      const K lost = merge_two<K, N>(lists, a, a + half * tile, best);
      if (half == 1) {
        sink(row, pair, best, lost);
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) lists.set(a, i, best[i]);
        if (LOST) lists.lost[a] = lost;
      }
    }
    parts = half;
  }
}
