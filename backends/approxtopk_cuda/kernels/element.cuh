// Elements and their keys: one total order for every dtype, by bit operations alone.
//
// A key is an unsigned integer, greater for an element to be selected earlier. For floats
// -inf < finite < +inf < NaN, -0.0 ties with 0.0 and all NaNs tie; selecting the smallest
// complements the key. No header is needed, 16-bit floats included.
//
// ELEMENT (F16, BF16, F32, F64, I8, I16, I32, I64, U8) and LARGEST (0, 1) come from the command line.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

static const u32 NOWHERE = 0xFFFFFFFFu;  // the index of an empty place in a queue

template <int BYTES> struct UInt;
template <> struct UInt<1> { typedef u8 type; };
template <> struct UInt<2> { typedef u16 type; };
template <> struct UInt<4> { typedef u32 type; };
template <> struct UInt<8> { typedef u64 type; };

template <bool, class A, class> struct Either { typedef A type; };
template <class A, class B> struct Either<false, A, B> { typedef B type; };

enum Kind { FLOATING, SIGNED, UNSIGNED };

// One is 1.0 in a float's bits, Infinity is +inf.
template <int BYTES, Kind KIND, u64 ONE = 0, u64 INFINITY_BITS = 0> struct ElementType {
  static const int bytes = BYTES;
  static const Kind kind = KIND;
  static const u64 one = ONE;
  static const u64 infinity = INFINITY_BITS;
  typedef typename UInt<BYTES>::type Bits;                   // as stored
  typedef typename UInt<(BYTES == 8 ? 8 : 4)>::type Word;    // as loaded: 1, 2 or 4 elements
  typedef Word Key;                                          // 8- and 16-bit keys are widened
  static const int per_word = BYTES >= 4 ? 1 : 4 / BYTES;
};

struct F16 : ElementType<2, FLOATING, 0x3C00, 0x7C00> {};
struct BF16 : ElementType<2, FLOATING, 0x3F80, 0x7F80> {};
struct F32 : ElementType<4, FLOATING, 0x3F800000, 0x7F800000> {};
struct F64 : ElementType<8, FLOATING, 0x3FF0000000000000, 0x7FF0000000000000> {};
struct I8 : ElementType<1, SIGNED> {};
struct I16 : ElementType<2, SIGNED> {};
struct I32 : ElementType<4, SIGNED> {};
struct I64 : ElementType<8, SIGNED> {};
struct U8 : ElementType<1, UNSIGNED> {};

typedef ELEMENT Element;
typedef Element::Bits Bits;
typedef Element::Word Word;
typedef Element::Key Key;

// ---- canonical bits: +0.0 for both zeros, one positive NaN for all --------------------------

// In any word without an arithmetic unit for it: 64-bit floats, and the host's tests.
template <class E> __device__ inline typename E::Bits canonical_by_bits(typename E::Bits x) {
  typedef typename E::Bits B;
  const B top = B(B(1) << (8 * E::bytes - 1));
  const B magnitude = B(x & B(top - 1));
  if (magnitude == 0) return 0;
  return magnitude > B(E::infinity) ? B(top - 1) : x;
}

// Adding +0.0 makes -0.0 into 0.0 and every NaN into the one with all bits but the sign set: the
// adder does in one operation, off the integer pipe, what bit operations do in five.
template <class E> __device__ inline typename E::Word canonical(typename E::Word x) {
#ifdef __CUDA_ARCH__
  if (E::bytes == 4) {
    asm("add.rn.f32 %0, %0, 0f00000000;" : "+r"(*(u32*)&x));
    return x;
  }
  if (E::bytes == 2) {
    const u32 ones = u32(E::one) * 0x10001u;
    if (E::infinity == 0x7C00)
      asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(*(u32*)&x) : "r"(ones), "r"(0));
    else
      asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(*(u32*)&x) : "r"(ones), "r"(0));
    return x;
  }
#endif
  if (E::bytes == 2) {
    const u32 low = canonical_by_bits<E>(typename E::Bits(x));
    return low | (u32)canonical_by_bits<E>(typename E::Bits(u64(x) >> 16)) << 16;
  }
  return canonical_by_bits<E>(typename E::Bits(x));
}

// ---- keys -------------------------------------------------------------------------------------

// The sign bit of each element in a word.
template <class E> __device__ inline typename E::Word tops() {
  return E::bytes == 1   ? (typename E::Word)0x80808080u
         : E::bytes == 2 ? (typename E::Word)0x80008000u
                         : (typename E::Word)(1ull << (8 * E::bytes - 1));
}

// The bits to flip in integers for their keys.
template <class E, bool largest> __device__ inline typename E::Word flips() {
  const typename E::Word top = E::kind == SIGNED ? tops<E>() : 0;
  return largest ? top : ~top;
}

// All bits of each element set to its sign bit.
template <class E> __device__ inline typename E::Word signs(typename E::Word x) {
  if (E::bytes == 8) return (typename E::Word)((i64)x >> 63);
  if (E::bytes == 4) return (typename E::Word)((int)x >> 31);
  return (typename E::Word)(((u32)x >> 15 & 0x00010001u) * 0xFFFFu);
}

#ifdef __CUDA_ARCH__
// A shift, by the multiplier: the integer unit beside it is what bounds a walk.
template <> __device__ inline u32 signs<F32>(u32 x) {
  u32 spread;
  asm("mul.hi.s32 %0, %1, 2;" : "=r"(spread) : "r"(x));
  return spread;
}
// A byte permutation can spread the signs of bytes 1 and 3.
__device__ inline u32 half_signs(u32 x) {
  u32 spread;
  asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(spread) : "r"(x));
  return spread;
}
template <> __device__ inline u32 signs<F16>(u32 x) { return half_signs(x); }
template <> __device__ inline u32 signs<BF16>(u32 x) { return half_signs(x); }
#endif

// Keys of the elements in a word, in their places.
template <class E, bool largest> __device__ inline typename E::Word order(typename E::Word x) {
  if (E::kind != FLOATING) return x ^ flips<E, largest>();
  x = canonical<E>(x);
  const typename E::Word keys = x ^ (signs<E>(x) | tops<E>());  // negative numbers fall as their bits rise
  return largest ? keys : ~keys;
}

// The key at a place of a word of keys.
template <class E> __device__ inline typename E::Key key_at(typename E::Word keys, int place) {
  if (E::per_word == 1) return keys;
  return (typename E::Key)(keys >> (8 * E::bytes * place)) & ((1u << (8 * E::bytes % 32)) - 1u);
}

__device__ inline Key element_key(Bits element) {
  return key_at<Element>(order<Element, LARGEST>((Word)element), 0);
}

// Whether elements of different bits have this key: zeros and NaNs.
template <class E, bool largest> __device__ inline bool ambiguous(typename E::Key key);

// Bits of the (canonical) element with this key.
template <class E, bool largest> __device__ inline typename E::Bits unorder(typename E::Key key) {
  typedef typename E::Bits B;
  const B top = B(B(1) << (8 * E::bytes - 1));
  const B x = B(largest ? key : ~key);
  if (E::kind == UNSIGNED) return x;
  if (E::kind == SIGNED) return x ^ top;
  return x & top ? B(x ^ top) : B(~x);
}

template <class E, bool largest> __device__ inline bool ambiguous(typename E::Key key) {
  if (E::kind != FLOATING) return false;
  typedef typename E::Bits B;
  const B bits = unorder<E, largest>(key);
  return bits == 0 || B(bits & B(B(1) << (8 * E::bytes - 1)) - 1) > B(E::infinity);
}
