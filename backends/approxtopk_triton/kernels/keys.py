"""Order-preserving integer keys in Triton, and back: no kernel computes with floats.

A key is unsigned, and greater for an element to be selected earlier: uint64 for 64-bit elements,
else uint32 with the key in its upper bits; the lower bits of a short one are free, for a code
that orders equal elements.  A float's key is its magnitude with its sign, counted from -inf,
which has 1; so both zeros are one, and all that lies beyond +inf, where negative NaNs arrive by
wrapping around, is cut to one key for NaN.  None is 0, in either direction.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Step or index of an element that isn't there; its key is 0.
NONE = tl.constexpr(0x7FFFFFFF)


@triton.constexpr_function
def bits_type(TYPE):
    """The unsigned integer as wide as an element."""
    return tl.core.get_int_dtype(TYPE.primitive_bitwidth, signed=False)


@triton.constexpr_function
def key_type(TYPE, signed=False):
    """The integer that holds a key."""
    return tl.core.get_int_dtype(max(TYPE.primitive_bitwidth, 32), signed=signed)


@triton.constexpr_function
def key_bits(TYPE):
    """Width of a key."""
    return max(TYPE.primitive_bitwidth, 32)


@triton.constexpr_function
def shift(TYPE):
    """How far an element's bits are moved up in its key."""
    return max(0, 32 - TYPE.primitive_bitwidth)


@triton.constexpr_function
def infinity(TYPE):
    """Bits of +inf."""
    mantissa = TYPE.fp_mantissa_width
    return ((1 << (TYPE.primitive_bitwidth - 1 - mantissa)) - 1) << mantissa


@triton.constexpr_function
def zero_key(TYPE):
    """Key of 0.0, unshifted: -inf has 1."""
    return infinity(TYPE) + 1


@triton.constexpr_function
def nan_key(TYPE):
    """Key of every NaN, unshifted: one more than that of +inf."""
    return 2 * infinity(TYPE) + 2


@triton.constexpr_function
def is_float(TYPE):
    """Whether elements are floats."""
    return TYPE.is_floating()


@triton.constexpr_function
def is_signed(TYPE):
    """Whether elements are signed integers."""
    return TYPE.is_int_signed()


@triton.jit
def as_bits(pointer):
    """The same addresses, read and written as unsigned integers."""
    TYPE: tl.constexpr = pointer.dtype.element_ty
    return pointer.to(tl.pointer_type(bits_type(TYPE)), bitcast=True)


@triton.jit
def order_key(bits, TYPE: tl.constexpr, LARGEST: tl.constexpr, code=0):
    """Keys of elements given as bits: -inf < finite < +inf < NaN, and -0.0 equals 0.0.

    `code` is put into the bits that are free, which it must fit.
    """
    TOP: tl.constexpr = 1 << (key_bits(TYPE) - 1)
    bits = bits.to(key_type(TYPE)) << shift(TYPE)
    if is_float(TYPE):
        ZERO: tl.constexpr = zero_key(TYPE) << shift(TYPE)
        NAN: tl.constexpr = nan_key(TYPE) << shift(TYPE)
        magnitude = bits & (TOP - 1)
        if key_bits(TYPE) == 32:  # by the multiplier, which is idle: comparing is all the rest
            key = magnitude * (1 - 2 * tl.umulhi(bits, 2)) + (ZERO + code)
        else:
            sign = bits.to(key_type(TYPE, signed=True), bitcast=True) >> (key_bits(TYPE) - 1)
            sign = sign.to(key_type(TYPE), bitcast=True)
            key = (magnitude ^ sign) - sign + (ZERO + code)
        key = tl.minimum(key, NAN + code)
    elif is_signed(TYPE):
        key = (bits ^ TOP) | code
    else:
        key = bits | code
    ALL: tl.constexpr = 2 * TOP - (1 << shift(TYPE))
    return key if LARGEST else key ^ ALL


@triton.jit
def without_code(key, TYPE: tl.constexpr):
    """The key alone."""
    return (key >> shift(TYPE)) << shift(TYPE)


@triton.jit
def restore(key, pointers, mask, TYPE: tl.constexpr, LARGEST: tl.constexpr):
    """Bits of the elements with these keys, exactly.

    NaNs share a key and so do the zeros: these alone are read again, at `pointers`.
    """
    TOP: tl.constexpr = 1 << (TYPE.primitive_bitwidth - 1)
    key = ((key if LARGEST else ~key) >> shift(TYPE)).to(bits_type(TYPE))
    if is_float(TYPE):
        ZERO: tl.constexpr = zero_key(TYPE)
        ambiguous = mask & ((key == ZERO) | (key == nan_key(TYPE)))
        bits = tl.where(key >= ZERO, key - ZERO, (ZERO - key) | TOP)
        bits = tl.where(ambiguous, tl.load(pointers, mask=ambiguous, other=0), bits)
    elif is_signed(TYPE):
        bits = key ^ TOP
    else:
        bits = key
    return bits
