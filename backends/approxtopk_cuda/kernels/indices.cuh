// Indices of the candidates that a team has in its memory: the i-th best of a bucket has the place i * b + bucket there.
//
// An interleaved bucket that is not in parts has index and step in step, so that a candidate's place and step tell its index.
// INDICES, from the command line, is where steps are:
//   STORED (0)    nowhere; there is a list of indices, of whatever candidates
//   IN_KEYS (1)   in packed keys: no memory, and no way to another block's
//   BY_STEPS (2)  as ByteQueues have them, those of four candidates of a bucket in a word
//
// From the command line, too: KB, KEY_SHIFT.

#define STORED 0
#define IN_KEYS 1
#define BY_STEPS 2

struct Indices {
  u32* words;       // indices (STORED), or steps; IN_KEYS: none
  const Key* keys;  // of the candidates
  u32 b;
  u32 first;        // the index of bucket 0's step 0, once it is known; what is in front of a row wraps

  // How many words those of `entries` candidates are.
  __device__ static u32 count(u32 entries, [[maybe_unused]] u32 b) {
    return INDICES == STORED ? entries : INDICES == IN_KEYS ? 0 : (KB + 3) / 4 * b;
  }

  // Of a bucket's i-th, where its word is; and its index by that and its key, NOWHERE where there is none.
  __device__ u32 word_of(u32 i, u32 bucket) const { return (INDICES == BY_STEPS ? i / 4 : i) * b + bucket; }
  __device__ u32 index_by(u32 i, u32 bucket, [[maybe_unused]] Key key, [[maybe_unused]] u32 word) const {
#if INDICES == STORED
    return word;
#else
    const u32 none = INDICES == IN_KEYS ? (1u << KEY_SHIFT) - 1 : 0xFF;
    const u32 step = INDICES == IN_KEYS ? none - ((u32)key & none) : word >> i % 4 * 8 & none;
    return step == none ? NOWHERE : first + bucket + step * b;
#endif
  }
  __device__ u32 at(u32 i, u32 bucket) const {
    return index_by(i, bucket, INDICES == IN_KEYS ? keys[i * b + bucket] : 0, INDICES == IN_KEYS ? 0 : words[word_of(i, bucket)]);
  }

  __device__ u32 operator[](u32 place) const {
    if (INDICES == STORED) return words[place];
    u32 i = 0, bucket = place;
    if (KB > 8) {
      i = place / b, bucket -= i * b;
    } else {
#pragma unroll
      for (int before = 1; before < KB; ++before) {
        if (bucket >= b) bucket -= b, ++i;
      }
    }
    return at(i, bucket);
  }
};
