// The best of elements, without its place: see resident.cuh, loaded.cuh and reread.cuh.
//
// From the command line: RESIDENT, LOADED, REREAD, V, LARGEST.

#if RESIDENT || LOADED || REREAD
#ifndef __CUDA_ARCH__
// What an operation gives for an element: of a NaN always the same bits.
inline Word canonical(Word element) {
  const Word other = ((Word)1 << (8 * Element::bytes - 1)) - 1;
  return Element::kind == FLOATING && (element & other) > Element::infinity ? other : element;
}
#endif

// The better of the elements in two words, in one operation. Of two zeros it may be either.
__device__ inline Word better_of(Word x, Word y) {
#ifdef __CUDA_ARCH__
#define BETTER(largest, smallest)                                  \
  if (LARGEST)                                                     \
    asm(largest " %0, %0, %1;" : "+r"(*(u32*)&x) : "r"((u32)y));   \
  else                                                             \
    asm(smallest " %0, %0, %1;" : "+r"(*(u32*)&x) : "r"((u32)y))
  if (Element::kind == FLOATING && Element::bytes == 4) {
    BETTER("max.NaN.f32", "min.f32");
  } else if (Element::kind == FLOATING && Element::infinity == 0x7C00) {
    BETTER("max.NaN.f16x2", "min.f16x2");
  } else if (Element::kind == FLOATING) {
    BETTER("max.NaN.bf16x2", "min.bf16x2");
  } else if (Element::bytes == 2) {
    BETTER("max.s16x2", "min.s16x2");
  } else {
    BETTER("max.s32", "min.s32");
  }
#undef BETTER
  return x;
#else
  const Word a = order<Element, LARGEST>(x), b = order<Element, LARGEST>(y), low = Element::per_word == 1 ? ~0u : 0xFFFFu;
  const Word both = ((a & low) < (b & low) ? y & low : x & low) | ((a & ~low) < (b & ~low) ? y & ~low : x & ~low);
  return Element::per_word == 1 ? canonical(both) : canonical(both & low) | canonical(both >> 16) << 16;
#endif
}

// The greatest of the keys in a word.
__device__ inline Key greatest_in(Word keys) {
  return Element::per_word == 1 ? keys : Wholes::greater(key_at<Element>(keys, 0), key_at<Element>(keys, 1));
}

// A word of elements that those with a key, or a greater one, are better than: two keys below, for next to that of zeros there is
// one that no element has. Below an infinity it is a NaN, which an operation gives other bits: then all elements seem to be better.
__device__ inline Word below_of(Key key) { return unorder<Element, LARGEST>(key - 2) * (Element::per_word == 1 ? 1u : 0x10001u); }

// A word of elements that no others are worse than.
__device__ inline Word worst_word() {
  const u64 top = 1ull << (8 * Element::bytes - 1);
  const Bits worst = Element::kind != FLOATING ? (LARGEST ? top : top - 1) : LARGEST ? Element::infinity | top : top - 1;
  return Element::per_word == 1 ? (Word)worst : worst * 0x10001u;
}

// A key that at least `wanted` of what threads know as the best of either half of theirs reach, and hardly any more; of both
// together if not HALVED. Ends with a barrier.
template <class Team, bool HALVED> __device__ inline Key bound_by_halving(SelectSpace<Team::size>& space, Key (&best)[2], u32 wanted) {
  if (!HALVED) best[0] = best[1] = Wholes::greater(best[0], best[1]);
  const Key low = warp_min(Wholes::less(best[0], best[1])), high = warp_max(Wholes::greater(best[0], best[1]));
  if (Team::lane() == 0) space.least[Team::warp()] = low, space.greatest[Team::warp()] = high;
  Team::sync();
  Key least = space.least[0], greatest = space.greatest[0];
#pragma unroll
  for (int warp = 1; warp < Team::warps; ++warp) {
    least = Wholes::less(least, space.least[warp]);
    greatest = Wholes::greater(greatest, space.greatest[warp]);
  }
  const u32 enough = wanted + wanted / 8;
#pragma unroll 1
  while (least < greatest) {
    const Key middle = least + (greatest - least) / 2 + 1;
    u32 count = __syncthreads_count(best[0] >= middle);
    if (HALVED) count += __syncthreads_count(best[1] >= middle);
    if (count < wanted) {
      greatest = middle - 1;
      continue;
    }
    least = middle;
    if (count <= enough) break;
  }
  return least;
}
#endif

#if RESIDENT
// The best of V neighbouring buckets.
struct Maxima {
  static const int words = Chunk::words;
  Word best[words];  // elements, later keys

  __device__ void clear() {
#pragma unroll
    for (int w = 0; w < words; ++w) best[w] = worst_word();
  }
  // N steps.
  template <int N> __device__ void insert(const Bits* at, u32 pitch) {
    Word loaded[N][words];
#pragma unroll
    for (int i = 0; i < N; ++i) get(at + i * pitch, loaded[i]);
#pragma unroll
    for (int i = 0; i < N; ++i) {
#pragma unroll
      for (int w = 0; w < words; ++w) best[w] = better_of(best[w], loaded[i][w]);
    }
  }
  // Of threads that have no buckets the least key there is.
  __device__ void become_keys(bool active) {
#pragma unroll
    for (int w = 0; w < words; ++w) best[w] = active ? order<Element, LARGEST>(best[w]) : 0;
  }
  // Another element, behind that.
  __device__ void insert_at(int u, Bits element) {
    Word& word = best[u / Element::per_word];
    word = greater(word, (Word)element_key(element) << (8 * Element::bytes * (u % Element::per_word) % 32));
  }

  __device__ Key key(int u) const { return key_at<Element>(best[u / Element::per_word], u % Element::per_word); }
  // The best of either half of the buckets; if there is but one, that and nothing.
  __device__ void most(Key (&halves)[2]) const {
    if (words > 1) {
      halves[0] = most_of(0, words / 2), halves[1] = most_of(words / 2, words);
    } else {
      halves[0] = key(0), halves[1] = Element::per_word > 1 ? key(1) : 0;
    }
  }

 private:
  __device__ Key most_of(int first, int last) const {
    Word all = best[first];
#pragma unroll
    for (int w = first + 1; w < last; ++w) all = greater(all, best[w]);
    return greatest_in(all);
  }
  __device__ static void get(const Bits* from, Word (&words)[4]) {
    const uint4 quad = *(const uint4*)from;
    words[0] = quad.x, words[1] = quad.y, words[2] = quad.z, words[3] = quad.w;
  }
  __device__ static void get(const Bits* from, Word (&words)[2]) {
    const u64 pair = *(const u64*)from;
    words[0] = (u32)pair, words[1] = (u32)(pair >> 32);
  }
  __device__ static void get(const Bits* from, Word (&words)[1]) { words[0] = *(const Word*)from; }
  __device__ static Word greater(Word x, Word y) { return Element::per_word == 1 ? Wholes::greater(x, y) : Halves::greater(x, y); }
};
#endif
