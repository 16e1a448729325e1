// Buckets' queues: the best KB elements of each met so far, best first, in registers.
//
// A thread meets a bucket's elements with falling steps (an element's step is its place in the
// bucket), so on a tie the newcomer has the lower index and goes ahead. An empty place has the
// least key of all: it yields to any newcomer, the least key included, and no element needs a
// test for emptiness.
//
// QUEUES (PackedQueues, HalfQueues, ByteQueues, PairQueues) comes from the command line, KB and V
// too. Queues holds those of V neighbouring buckets:
//   insert<WATCHED>(words, step)     V elements of a step, as loaded
//   insert_two<WATCHED>(a, b, step)  and those of the step below it, b
//   insert_at<WATCHED>(u, element, step)
//   [u].key(i), [u].empty(i), [u].step(i)
//   lost_key()                       the best key that they dropped while WATCHED, with LOST; see ranking.cuh
// A queue's own insertions return the greatest key that they dropped.

// Where the newcomer belongs: before[i] says that it goes ahead of the element at place i.
template <class K, int N> struct KeyList {
  K keys[N];

  __device__ Dropped insert(K x, bool (&before)[N]) {
    const Dropped lost = Wholes::less(dropped_part(x), dropped_part(keys[N - 1]));
#pragma unroll
    for (int i = 0; i < N; ++i) before[i] = x >= keys[i];
#pragma unroll
    for (int i = N - 1; i > 0; --i) {
      if (sizeof(K) == 4) {
        const K less = x < keys[i - 1] ? x : keys[i - 1];
        keys[i] = less > keys[i] ? less : keys[i];
      } else {
        keys[i] = before[i - 1] ? keys[i - 1] : before[i] ? x : keys[i];
      }
    }
    keys[0] = before[0] ? x : keys[0];
    return lost;
  }
};

// Any element, any number of steps.
template <class K, int N> struct PairQueue {
  KeyList<K, N> list;
  u32 steps[N];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) list.keys[i] = 0, steps[i] = NOWHERE;
  }

  __device__ static Word prepare(Word x) { return order<Element, LARGEST>(x); }
  __device__ Dropped insert(Word x, int place, u32 step) {
    bool before[N];
    const Dropped lost = list.insert(key_at<Element>(x, place), before);
#pragma unroll
    for (int i = N - 1; i > 0; --i) {
      steps[i] = before[i - 1] ? steps[i - 1] : before[i] ? step : steps[i];
    }
    steps[0] = before[0] ? step : steps[0];
    return lost;
  }
  __device__ Dropped insert_two(Word x, Word y, int place, u32 step) {
    const Dropped lost = insert(x, place, step);
    return Wholes::greater(lost, insert(y, place, step - 1));
  }

  __device__ static K key_of(K key) { return key; }
  __device__ K key(int i) const { return list.keys[i]; }
  __device__ bool empty(int i) const { return steps[i] == NOWHERE; }
  __device__ u32 step(int i) const { return steps[i]; }
};

// Steps below 255: four steps in a register, moved by one byte permutation. A permutation's selector
// has a digit for each place, the byte to come there: an old place, or a newcomer (4 and 5). It is
// put together by additions under conditions, where one can be at work on many at once.
template <class K, int N> struct ByteQueue {
  static const int words = (N + 3) / 4;
  KeyList<K, N> list;
  u32 steps[words];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) list.keys[i] = 0;
#pragma unroll
    for (int w = 0; w < words; ++w) steps[w] = 0xFFFFFFFFu;
  }

  __device__ static Word prepare(Word x) { return order<Element, LARGEST>(x); }
  __device__ Dropped insert(Word x, int place, u32 step) {
    bool before[N];
    const Dropped lost = list.insert(key_at<Element>(x, place), before);
#pragma unroll
    for (int w = words - 1; w >= 0; --w) {
      // A newcomer ahead of this word pushes in the last step of the word before it.
      const u32 moved = w && before[w * 4 - 1] ? steps[w - 1] >> 24 : step;
      const int last = w * 4 + 3 < N ? w * 4 + 3 : N - 1;
      // The upper 16 bits do not matter. An element in them makes it no constant: between constants the
      // assembler would select, by the pipe that these additions keep clear of.
      u32 selector = (u32)x * (unknown_one() * 0x30000u) + one_at(last % 4, last % 4 + 1);
#pragma unroll
      for (int i = last - 1; i >= w * 4; --i) {
        add_if(before[i], selector, one_at(i % 4, last % 4 + 1) - one_at(i % 4 + 1, last % 4 + 1));
      }
      permute_if(before[last], steps[w], moved, selector);
    }
    return lost;
  }

  // Both at once, which is a quarter less work: they are put in order, and their lists merged.
  __device__ Dropped insert_two(Word x, Word y, int place, u32 step) {
    if constexpr (!PAIRS || N > 4 || sizeof(K) > 4) {
      const Dropped lost = insert(x, place, step);
      return Wholes::greater(lost, insert(y, place, step - 1));
    } else {
      return insert_pair(x, y, step);
    }
  }
  __device__ K insert_pair(K x, K y, u32 step) {
    const bool later = y >= x;  // on a tie y has the lower index
    const u32 newcomers = later ? (step - 1) | step << 8 : step | (step - 1) << 8;
    const K (&keys)[N] = list.keys;
    const K more = later ? y : x, less = later ? x : y;
    u32 selector = one_at(N, N);
#pragma unroll
    for (int i = N - 1; i >= 0; --i) {
      add_if(more >= keys[i], selector, one_at(i, N) - one_at(i + 1, N));
    }
#pragma unroll
    for (int i = N - 2; i >= 0; --i) {
      add_if(less >= keys[i], selector, other_after(i, N) - other_after(i + 1, N));
    }
    permute_if(true, steps[0], newcomers, selector);
    return merge_pair<Wholes, N, false>(list.keys, more, less);
  }

  // The selector for byte 4 at a place of n, what is behind it moved up; place n: for no change.
  __device__ static u32 one_at(int place, int n) {
    u32 selector = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) selector |= (u32)(i == place && i < n ? 4 : i > place && i < n ? i - 1 : i) << 4 * i;
    return selector;
  }
  // What to add to it for byte 5, behind byte 4 and the first `count` of the others.
  __device__ static u32 other_after(int count, int n) {
    u32 more = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < n && i > count) more += (u32)(i == count + 1 ? 6 - i : -1) << 4 * i;
    }
    return more;
  }

  // Not the intrinsic, which cuts a selector's digits to three bits by one more operation.
  __device__ static void permute_if(bool condition, u32& word, u32 newcomers, u32 selector) {
#ifdef __CUDA_ARCH__
    asm("{.reg .pred p; setp.ne.u32 p, %1, 0; @p prmt.b32 %0, %0, %2, %3;}" : "+r"(word) : "r"((u32)condition), "r"(newcomers), "r"(selector));
#else
    if (!condition) return;
    u32 result = 0;
    for (int i = 0; i < 4; ++i) {
      const u32 from = selector >> (4 * i) & 7;
      result |= (from < 4 ? word >> (8 * from) & 0xFF : newcomers >> (8 * (from - 4)) & 0xFF) << (8 * i);
    }
    word = result;
#endif
  }

  __device__ static K key_of(K key) { return key; }
  __device__ K key(int i) const { return list.keys[i]; }
  __device__ u32 step(int i) const {
#ifdef __CUDA_ARCH__
    return __byte_perm(steps[i / 4], 0, 0x4440 | i % 4);
#else
    return steps[i / 4] >> (8 * (i % 4)) & 0xFFu;
#endif
  }
  __device__ bool empty(int i) const { return step(i) == 0xFFu; }
};

// A queue of its own for each bucket.
template <class Queue> struct QueueEach {
  static const int each = Element::per_word;
  static const bool by_halves = COARSE && Element::bytes == 2;  // then V is even
  Queue queues[V];
  typename Either<by_halves, LostHalves, Lost<Wholes, Dropped>>::type lost;

  __device__ const Queue& operator[](int u) const { return queues[u]; }
  __device__ Key lost_key() const { return Queue::key_of(lost.most()); }
  __device__ void clear() {
#pragma unroll
    for (int u = 0; u < V; ++u) queues[u].clear();
    lost.clear();
  }
  template <bool WATCHED, int WORDS> __device__ void insert(const Word (&words)[WORDS], u32 step) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) {
      const Word x = Queue::prepare(words[w]);
      if constexpr (by_halves) lost.template add<WATCHED>(queues + w * each, keys_in(x));
#pragma unroll
      for (int e = 0; e < each && w * each + e < V; ++e) {
        const auto dropped = queues[w * each + e].insert(x, e, step);
        if constexpr (!by_halves) lost.template add<WATCHED>(dropped);
      }
    }
  }
  template <bool WATCHED, int WORDS> __device__ void insert_two(const Word (&a)[WORDS], const Word (&b)[WORDS], u32 step) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) {
      const Word x = Queue::prepare(a[w]), y = Queue::prepare(b[w]);
      if constexpr (by_halves) lost.template add<WATCHED>(queues + w * each, keys_in(x), keys_in(y));
#pragma unroll
      for (int e = 0; e < each && w * each + e < V; ++e) {
        const auto dropped = queues[w * each + e].insert_two(x, y, e, step);
        if constexpr (!by_halves) lost.template add<WATCHED>(dropped);
      }
    }
  }
  template <bool WATCHED> __device__ void insert_at(int u, Bits element, u32 step) {
    lost.template add<WATCHED>(queues[u].insert(Queue::prepare(element), 0, step));
  }

 private:
  // 16-bit keys of a prepared word: only floats' are made already.
  __device__ static Word keys_in(Word x) { return Element::kind == FLOATING ? x : order<Element, LARGEST>(x); }
};

template <class, int N> using PackedQueues = QueueEach<PackedQueue<N>>;
template <class K, int N> using PairQueues = QueueEach<PairQueue<K, N>>;
template <class K, int N> using ByteQueues = QueueEach<ByteQueue<K, N>>;
typedef QUEUES<Key, KB> Queues;
