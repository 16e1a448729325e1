// Buckets' queues: the best KB elements of each met so far, best first, in registers.
//
// A thread meets a bucket's elements with falling steps (an element's step is its place in the
// bucket), so on a tie the newcomer has the lower index and goes ahead. An empty place has the
// least key of all: it yields to any newcomer, the least key included, and no element needs a
// test for emptiness.
//
// QUEUES (PackedQueues, HalfQueues, ByteQueues, PairQueues) comes from the command line, KB and V
// too. Queues holds those of V neighbouring buckets:
//   insert(words, step)         V elements of a step, as loaded
//   insert_two(a, b, step)      and those of the step below it, b
//   insert_at(u, element, step)
//   [u].key(i), [u].empty(i), [u].step(i)

// Where the newcomer belongs: before[i] says that it goes ahead of the element at place i.
template <class K, int N> struct KeyList {
  K keys[N];

  __device__ void insert(K x, bool (&before)[N]) {
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
  __device__ void insert(Word keys, int place, u32 step) {
    bool before[N];
    list.insert(key_at<Element>(keys, place), before);
#pragma unroll
    for (int i = N - 1; i > 0; --i) {
      steps[i] = before[i - 1] ? steps[i - 1] : before[i] ? step : steps[i];
    }
    steps[0] = before[0] ? step : steps[0];
  }
  __device__ void insert_two(Word x, Word y, int place, u32 step) {
    insert(x, place, step);
    insert(y, place, step - 1);
  }

  __device__ K key(int i) const { return list.keys[i]; }
  __device__ bool empty(int i) const { return steps[i] == NOWHERE; }
  __device__ u32 step(int i) const { return steps[i]; }
};

// Steps below 255: four steps in a register, moved by one byte permutation. For kb = 4 that is 15
// operations an element after the key, against 18, and a third fewer registers.
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
  __device__ void insert(Word keys, int place, u32 step) {
    bool before[N];
    list.insert(key_at<Element>(keys, place), before);
#pragma unroll
    for (int w = words - 1; w >= 0; --w) {
      // A newcomer ahead of this word pushes in the last step of the word before it.
      const u32 moved = w && before[w * 4 - 1] ? steps[w - 1] >> 24 : step;
      const int last = w * 4 + 3 < N ? w * 4 + 3 : N - 1;
      u32 selector = selector_of(last % 4);
#pragma unroll
      for (int i = last - 1; i >= w * 4; --i) {
        if (before[i]) selector = selector_of(i % 4);
      }
      if (before[last]) steps[w] = permute(steps[w], moved, selector);
    }
  }
  __device__ void insert_two(Word x, Word y, int place, u32 step) {
    insert(x, place, step);
    insert(y, place, step - 1);
  }

  // The permutation that puts byte 4, the newcomer, at a place and moves up what is behind it.
  __device__ static u32 selector_of(int place) {
    return place == 0 ? 0x2104 : place == 1 ? 0x2140 : place == 2 ? 0x2410 : 0x4210;
  }

  __device__ static u32 permute(u32 word, u32 newcomer, u32 selector) {
#ifdef __CUDA_ARCH__
    return __byte_perm(word, newcomer, selector);
#else
    u32 result = 0;
    for (int i = 0; i < 4; ++i) {
      const u32 from = selector >> (4 * i) & 7;
      result |= (from < 4 ? word >> (8 * from) & 0xFF : newcomer >> (8 * (from - 4)) & 0xFF) << (8 * i);
    }
    return result;
#endif
  }

  __device__ K key(int i) const { return list.keys[i]; }
  __device__ u32 step(int i) const { return steps[i / 4] >> (8 * (i % 4)) & 0xFFu; }
  __device__ bool empty(int i) const { return step(i) == 0xFFu; }
};

// A queue of its own for each bucket.
template <class Queue> struct QueueEach {
  Queue queues[V];

  __device__ const Queue& operator[](int u) const { return queues[u]; }
  __device__ void clear() {
#pragma unroll
    for (int u = 0; u < V; ++u) queues[u].clear();
  }
  template <int WORDS> __device__ void insert(const Word (&words)[WORDS], u32 step) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) {
      const Word x = Queue::prepare(words[w]);
#pragma unroll
      for (int e = 0; e < Element::per_word; ++e) {
        const int u = w * Element::per_word + e;
        if (u < V) queues[u].insert(x, e, step);
      }
    }
  }
  template <int WORDS> __device__ void insert_two(const Word (&a)[WORDS], const Word (&b)[WORDS], u32 step) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) {
      const Word x = Queue::prepare(a[w]), y = Queue::prepare(b[w]);
#pragma unroll
      for (int e = 0; e < Element::per_word; ++e) {
        const int u = w * Element::per_word + e;
        if (u < V) queues[u].insert_two(x, y, e, step);
      }
    }
  }
  __device__ void insert_at(int u, Bits element, u32 step) { queues[u].insert(Queue::prepare(element), 0, step); }
};

template <class, int N> using PackedQueues = QueueEach<PackedQueue<N>>;
template <class K, int N> using PairQueues = QueueEach<PairQueue<K, N>>;
template <class K, int N> using ByteQueues = QueueEach<ByteQueue<K, N>>;
typedef QUEUES<Key, KB> Queues;
