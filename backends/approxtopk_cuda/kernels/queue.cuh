// A bucket's queue: the best KB elements met so far, best first, in registers.
//
// A thread meets a bucket's elements with falling steps (an element's step is its place in the
// bucket), so on a tie the newcomer has the lower index and goes ahead. An empty place has the
// least key of all: it yields to any newcomer, the least key included, and no element needs a
// test for emptiness.

// 8- and 16-bit elements, steps below 65535: key and step in one integer, so an insertion is a
// maximum and a minimum per place. Integers differ, so the order of insertion doesn't matter.
template <class, int N> struct PackedQueue {
  static const u32 max_steps = 65535;
  u32 packed[N];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) packed[i] = 0;
  }

  template <class E> __device__ void insert(typename E::Word keys, int place, u32 step) {
    u32 x;
#ifdef __CUDA_ARCH__  // one permutation; bytes 6 and 7 are zero
    x = __byte_perm(keys, 0xFFFFu - step, E::bytes == 2 ? (place ? 0x3254 : 0x1054) : 0x6054 | place << 8);
#else
    x = (u32)key_at<E>(keys, place) << 16 | (0xFFFFu - step);
#endif
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const u32 less = x < packed[i] ? x : packed[i];
      packed[i] = x < packed[i] ? packed[i] : x;
      x = less;
    }
  }

  // Interleaved, a lower step is a lower index wherever the bucket: key and step together order
  // candidates, and 16 more bits leave few ties to stage 2.
  __device__ u32 key(int i) const { return packed[i] >> (16 - KEY_SHIFT); }
  __device__ bool empty(int i) const { return packed[i] == 0; }
  __device__ u32 step(int i) const { return 0xFFFFu - (packed[i] & 0xFFFFu); }
};

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
  static const u32 max_steps = 0xFFFFFFFEu;
  KeyList<K, N> list;
  u32 steps[N];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) list.keys[i] = 0, steps[i] = NOWHERE;
  }

  template <class E> __device__ void insert(typename E::Word keys, int place, u32 step) {
    bool before[N];
    list.insert(key_at<E>(keys, place), before);
#pragma unroll
    for (int i = N - 1; i > 0; --i) {
      steps[i] = before[i - 1] ? steps[i - 1] : before[i] ? step : steps[i];
    }
    steps[0] = before[0] ? step : steps[0];
  }

  __device__ K key(int i) const { return list.keys[i]; }
  __device__ bool empty(int i) const { return steps[i] == NOWHERE; }
  __device__ u32 step(int i) const { return steps[i]; }
};

// Steps below 255: four steps in a register, moved by one byte permutation. For kb = 4 that is 15
// operations an element after the key, against 18, and a third fewer registers.
template <class K, int N> struct ByteQueue {
  static const u32 max_steps = 255;
  static const int words = (N + 3) / 4;
  KeyList<K, N> list;
  u32 steps[words];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < N; ++i) list.keys[i] = 0;
#pragma unroll
    for (int w = 0; w < words; ++w) steps[w] = 0xFFFFFFFFu;
  }

  template <class E> __device__ void insert(typename E::Word keys, int place, u32 step) {
    bool before[N];
    list.insert(key_at<E>(keys, place), before);
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
