// A short list of candidates in shared memory, ranked by comparing all pairs.

// A candidate as it is listed. A 32-bit key and the index are one integer, so that to count who is
// better takes three instructions.
__device__ inline u64 listed(u32 key, u32 index) { return (u64)key << 32 | ~index; }
__device__ inline u32 key_of(u64 entry) { return (u32)(entry >> 32); }
__device__ inline u32 index_of(u64 entry) { return ~(u32)entry; }
__device__ inline void count_better(u32& count, u64 a, u64 b) {
#ifdef __CUDA_ARCH__
  asm("{.reg .pred p; setp.gt.u64 p, %1, %2; @p add.u32 %0, %0, 1;}" : "+r"(count) : "l"(a), "l"(b));
#else
  count += a > b;
#endif
}

__device__ inline Entry<u64> listed(u64 key, u32 index) {
  const Entry<u64> entry = {key, index};
  return entry;
}
__device__ inline u64 key_of(const Entry<u64>& entry) { return entry.key; }
__device__ inline u32 index_of(const Entry<u64>& entry) { return entry.index; }
__device__ inline void count_better(u32& count, const Entry<u64>& a, const Entry<u64>& b) { count += better(a, b); }

template <class K> struct ListedType { typedef Entry<u64> type; };
template <> struct ListedType<u32> { typedef u64 type; };
typedef ListedType<Key>::type Listed;

#if RESIDENT || REREAD
// A 16-bit element of a row of at most 65,536: key and index are a word, and two instructions tell who is better.
__device__ inline u32 key_of(u32 entry) { return entry >> 16 << KEY_SHIFT; }
__device__ inline u32 index_of(u32 entry) { return ~entry & 0xFFFFu; }
__device__ inline void count_better(u32& count, u32 a, u32 b) { count += a > b; }

// What is listed of rows that stay in shared memory, or are read again; `key` is the element's.
typedef Either<sizeof(Bits) == 2, u32, Listed>::type Compact;
__device__ inline void compact(u32& entry, Key key, u32 index) { entry = key << 16 | (~index & 0xFFFFu); }
__device__ inline void compact(u64& entry, Key key, u32 index) { entry = listed(key, index); }
__device__ inline Compact compact(Key key, u32 index) {
  Compact entry;
  return compact(entry, key, index), entry;
}
#endif

// Worse than anything.
template <class T> __device__ inline T nothing() { return 0; }
template <> __device__ inline Entry<u64> nothing<Entry<u64> >() { return listed((u64)0, NOWHERE); }

// A list with room for ROOM candidates, and behind them for a batch of comparisons.
template <int ROOM, class T = Listed> struct List {
  static const u32 room = ROOM;
  __align__(16) T entries[ROOM + 32];
  u32 length;

  // A barrier must follow.
  template <class Team> __device__ void clear() {
#pragma unroll 1
    for (u32 i = Team::rank(); i < ROOM + 32; i += Team::size) entries[i] = nothing<T>();
    if (Team::rank() == 0) length = 0;
  }

  // Threads that share an entry's comparisons; warps without an entry have nothing to issue.
  template <class Team> __device__ static constexpr u32 sharing() {
    return Team::size < 256 ? 1 : sizeof(T) > 4 && (Team::size < 512 || sizeof(Key) == 8) ? 4 : 2;
  }

  // How many of the first `count` are ahead of an entry, to all threads that share it.
  template <class Team> __device__ u32 ahead_of(const T& entry, u32 count) const {
    const u32 shared_by = sharing<Team>(), batch = sizeof(Key) == 8 ? 4 : 8;
    u32 even = 0, odd = 0;
    const T* others = entries + Team::rank() % shared_by * batch;  // neighbours are loaded together
#pragma unroll 1
    for (u32 j = 0; j < count; j += batch * shared_by, others += batch * shared_by) {  // behind the list nothing is ahead
      T other[batch];
#pragma unroll
      for (u32 e = 0; e < batch; ++e) other[e] = others[e];
#pragma unroll
      for (u32 e = 0; e < batch; ++e) count_better(e % 2 ? odd : even, other[e], entry);
    }
    u32 ahead = even + odd;
#pragma unroll
    for (u32 d = 1; d < shared_by; d *= 2) ahead += __shfl_xor_sync(~0u, ahead, d);
    return ahead;
  }

  // Gives the `want` best to sink(first + rank, key, index). Barriers must have passed since the
  // list was cleared and written.
  template <class Team, class Sink> __device__ void rank(u32 count, u32 want, u32 first, const Sink& sink) const {
    rank_entries<Team>(count, want, [&](u32 place, const T& entry) { sink(first + place, key_of(entry), index_of(entry)); });
  }
  // The same to take(rank, entry).
  template <class Team, class Take> __device__ void rank_entries(u32 count, u32 want, const Take& take) const {
    const u32 shared_by = sharing<Team>();
#pragma unroll 1
    for (u32 base = Team::warp() * 32 / shared_by; base < count; base += Team::size / shared_by) {
      const u32 i = base + Team::lane() / shared_by;
      const T entry = entries[i < count ? i : base];
      const u32 ahead = ahead_of<Team>(entry, count);
      if (Team::rank() % shared_by == 0 && i < count && ahead < want) take(ahead, entry);
    }
  }
};
