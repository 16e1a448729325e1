// Queues of key and step in one integer, for 8- and 16-bit elements; see queue.cuh.
//
// Integers differ then, so the order of insertion doesn't matter, and an insertion is maxima and
// minima: of a whole register, or of its 16-bit halves at once (sm_90 and later).
struct Wholes {
  template <class K> __device__ static K greater(K x, K y) { return x < y ? y : x; }
  template <class K> __device__ static K less(K x, K y) { return x < y ? x : y; }
};

struct Halves {
#ifdef __CUDA_ARCH__
  __device__ static u32 greater(u32 x, u32 y) {
    u32 result;
    asm("max.u16x2 %0, %1, %2;" : "=r"(result) : "r"(x), "r"(y));
    return result;
  }
  __device__ static u32 less(u32 x, u32 y) {
    u32 result;
    asm("min.u16x2 %0, %1, %2;" : "=r"(result) : "r"(x), "r"(y));
    return result;
  }
#else
  static const u32 low = 0xFFFFu, high = 0xFFFF0000u;
  static u32 greater(u32 x, u32 y) { return Wholes::greater(x & low, y & low) | Wholes::greater(x & high, y & high); }
  static u32 less(u32 x, u32 y) { return Wholes::less(x & low, y & low) | Wholes::less(x & high, y & high); }
#endif
};

// COARSE (from the command line): of dropped keys less is kept, which takes less. Of those of 64 bits it is the upper half; the
// lower one may be any.
typedef Either<COARSE && sizeof(Key) == 8, u32, Key>::type Dropped;
__device__ inline Dropped dropped_part(Key key) { return (Dropped)(key >> (8 * (sizeof(Key) - sizeof(Dropped)))); }
// The greatest key that one with this part may be.
__device__ inline Key most_of(Dropped part) {
  const int unknown = 8 * (sizeof(Key) - sizeof(Dropped));
  return (Key)part << unknown | (((Key)1 << unknown) - 1);
}

// The greatest of what all queues of a thread dropped, where that is asked for (LOST, from the command
// line): an operation or two for each element, and the proof that a row lost nothing that it needs.
// It is kept while WATCHED; of walks that are so late, see stage1.cuh.
template <class Lanes, class K> struct Lost {
#if LOST
  K best;
  __device__ void clear() { best = 0; }
  template <bool WATCHED> __device__ void add(K x) {
    if (WATCHED) best = Lanes::greater(best, x);
  }
#else
  static const K best = 0;
  __device__ void clear() {}
  template <bool> __device__ void add(K) {}
#endif
  __device__ Key most() const { return most_of(best); }
};

// The lesser of two integers, or of their halves, by the multiplier: what is left of their sum beside the greater.
__device__ inline u32 lesser_of(u32 x, u32 y, u32 greater) { return difference(sum(x, y), greater); }

// The N (2 or more) greatest of two falling sequences, N integers and two: the i-th is the greatest
// of a[i], min(a[i - 1], b[0]) and min(a[i - 2], b[1]). With maxima of three, which the assembler
// makes where there are such (sm_90 and later), two elements take 3 N - 1 operations, sorting them
// included, where two insertions take 4 N - 2; BY_SUMS the multiplier takes one of them. Returns the greatest that is
// left over.
template <class Lanes, int N, bool BY_SUMS> __device__ inline u32 merge_pair(u32 (&at)[N], u32 more, u32 less) {
  if constexpr (N == 2 && !BY_SUMS) {  // the second of four is the greater of these, the third the other one
    const u32 one = Lanes::less(at[0], more), other = Lanes::greater(at[1], less);
    at[0] = Lanes::greater(at[0], more);
    at[1] = Lanes::greater(one, other);
    return Lanes::less(one, other);
  }
  const u32 lost = Lanes::greater(Lanes::less(at[N - 2], less), Lanes::less(at[N - 1], more));
#pragma unroll
  for (int i = N - 1; i > 1; --i) {
    at[i] = Lanes::greater(at[i], Lanes::greater(Lanes::less(at[i - 2], less), Lanes::less(at[i - 1], more)));
  }
  u32 second = BY_SUMS ? sum(at[0], more) : Lanes::less(at[0], more);
  at[0] = Lanes::greater(at[0], more);  // in its register: nothing else will be read of it
  if (BY_SUMS) second = difference(second, at[0]);
  at[1] = Lanes::greater(at[1], Lanes::greater(second, less));
  return lost;
}

// The N greatest integers met, in falling order. What insertions return is the greatest they dropped.
template <class Lanes, int N> struct Ranking {
  u32 at[N];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) at[i] = 0;
  }

  __device__ u32 insert(u32 x) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const u32 less = Lanes::less(x, at[i]);
      at[i] = Lanes::greater(x, at[i]);
      x = less;
    }
    return x;
  }

  __device__ u32 insert_two(u32 x, u32 y) {
    const u32 more = Lanes::greater(x, y);
    if constexpr (N > 2) {  // the multiplier has time for two minima
      return merge_pair<Lanes, N, true>(at, more, lesser_of(x, y, more));
    } else if constexpr (N == 2) {
      return merge_pair<Lanes, N, false>(at, more, Lanes::less(x, y));
    } else {
      // What is dropped is all but what is kept and the least of all, by the multiplier, which has the time.
      const u32 dropped = difference(sum(sum(at[0], x), y), Lanes::less(Lanes::less(at[0], x), y));
      at[0] = Lanes::greater(Lanes::greater(at[0], x), y);
      return difference(dropped, at[0]);
    }
  }
};

// 8- and 16-bit elements, steps below 65535: 16 bits of key above 16 of step.
template <int N> struct PackedQueue {
  Ranking<Wholes, N> ranking;

  __device__ void clear() { ranking.clear(); }
  __device__ u32 insert(u32 x, int place, u32 step) { return ranking.insert(pack(x, place, step)); }
  __device__ u32 insert_two(u32 x, u32 y, int place, u32 step) {
    return ranking.insert_two(pack(x, place, step), pack(y, place, step - 1));
  }

  // What pack() takes: keys, but 16-bit integers as they are.
  __device__ static u32 prepare(u32 x) {
    return Element::bytes == 2 && Element::kind != FLOATING ? x : order<Element, LARGEST>(x);
  }

  __device__ static u32 pack(u32 x, int place, u32 step) {
    const u32 low = 0xFFFFu - step;
    if (Element::bytes == 2) {
      // One operation for flipping bits, moving and adding the step, by the multiplier where it
      // can: to flip the highest bit is to add it, to flip all is to subtract from them.
      const u32 flip = Element::kind == FLOATING ? 0 : flips<Element, LARGEST>() << 16;
      const u32 added = flip | low;
      return place ? (x & 0xFFFF0000u) ^ added : x * (flip & 0x10000u ? 0u - 0x10000u : 0x10000u) + added;
    }
#ifdef __CUDA_ARCH__  // one permutation; bytes 6 and 7 are zero
    return __byte_perm(x, low, 0x6054 | place << 8);
#else
    return (x >> 8 * place & 0xFFu) << 16 | low;
#endif
  }

  // Interleaved, a lower step is a lower index wherever the bucket: key and step together order
  // candidates, and more bits leave few ties to stage 2.
  __device__ static u32 key_of(u32 packed) { return packed >> (16 - KEY_SHIFT); }
  __device__ u32 key(int i) const { return key_of(ranking.at[i]); }
  __device__ bool empty(int i) const { return ranking.at[i] == 0; }
  __device__ u32 step(int i) const { return 0xFFFFu - (ranking.at[i] & 0xFFFFu); }
};

// COARSE: the greatest of what the packed queues of a thread dropped, of 16-bit elements, one kept of each bucket. Two elements
// of a word meet two queues at once, by maxima of halves, which take half of the time that those of whole registers do. Steps
// are left out: it may have any.
struct LostHalves {
  u32 halves;
  __device__ void clear() { halves = 0; }
  __device__ Key most() const { return Wholes::greater(halves, halves << 16) | 0xFFFFu; }

  // Before the queues of two buckets meet a word of keys x, or those in x and those in y.
  template <bool WATCHED> __device__ void add(const PackedQueue<1>* queues, u32 x) {
    if (WATCHED) halves = Halves::greater(halves, Halves::less(x, keys_of(queues)));
  }
  template <bool WATCHED> __device__ void add(const PackedQueue<1>* queues, u32 x, u32 y) {
    if (WATCHED) halves = Halves::greater(halves, Halves::less(x, y));
    add<WATCHED>(queues, Halves::greater(x, y));
  }
  // What one of them dropped.
  template <bool WATCHED> __device__ void add(u32 packed) {
    if (WATCHED) halves = Halves::greater(halves, packed >> 16);
  }

 private:
  __device__ static u32 keys_of(const PackedQueue<1>* queues) {
    const u32 low = queues[0].ranking.at[0], high = queues[1].ranking.at[0];
#ifdef __CUDA_ARCH__
    return __byte_perm(low, high, 0x7632);
#else
    return low >> 16 | (high & 0xFFFF0000u);
#endif
  }
};

// 8-bit elements, steps below 255: 8 bits of each, two buckets to a register, V at least 4.
template <class, int N> struct HalfQueues {
  static const int registers = (V + 1) / 2;
  Ranking<Halves, N> rankings[registers];  // of buckets 4 w and 4 w + 2, of 4 w + 1 and 4 w + 3
  Lost<Halves, u32> lost;

  struct View {
    const HalfQueues& all;
    const int u;
    __device__ u32 half(int i) const { return all.rankings[u / 4 * 2 + u % 2].at[i] >> (u % 4 / 2 * 16) & 0xFFFFu; }
    __device__ u32 key(int i) const { return half(i) >> (8 - KEY_SHIFT); }
    __device__ bool empty(int i) const { return half(i) == 0; }
    __device__ u32 step(int i) const { return 0xFFu - (half(i) & 0xFFu); }
  };

  __device__ View operator[](int u) const { return {*this, u}; }
  __device__ void clear() {
#pragma unroll
    for (int r = 0; r < registers; ++r) rankings[r].clear();
    lost.clear();
  }
  __device__ u32 lost_key() const {
    return Wholes::greater(lost.best >> 16, lost.best & 0xFFFFu) >> (8 - KEY_SHIFT);
  }
  template <bool WATCHED, int WORDS> __device__ void insert(const Word (&words)[WORDS], u32 step) {
#pragma unroll
    for (int r = 0; r < registers; ++r) lost.template add<WATCHED>(rankings[r].insert(pack(words[r / 2], r % 2, step)));
  }
  template <bool WATCHED, int WORDS> __device__ void insert_two(const Word (&a)[WORDS], const Word (&b)[WORDS], u32 step) {
#pragma unroll
    for (int r = 0; r < registers; ++r) {
      lost.template add<WATCHED>(rankings[r].insert_two(pack(a[r / 2], r % 2, step), pack(b[r / 2], r % 2, step - 1)));
    }
  }
  template <bool WATCHED> __device__ void insert_at(int u, Bits element, u32 step) {
    const u32 half = pack(element, 0, step) & 0xFFFFu;  // beside it the least: nothing happens there
    lost.template add<WATCHED>(rankings[u / 4 * 2 + u % 2].insert(u % 4 / 2 ? half << 16 : half));
  }

  // Bytes 0 and 2 of a word, or 1 and 3, as keys above steps.
  __device__ static u32 pack(u32 x, int odd, u32 step) {
    const u32 flip = flips<Element, LARGEST>() & 0xFF00FF00u;
    return ((odd ? x : x << 8) & 0xFF00FF00u) ^ (flip | (0xFFu - step) * 0x00010001u);
  }
};
