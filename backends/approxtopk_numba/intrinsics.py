"""The few instructions that Numba has no words for: keys and queues at the elements' own width.

Numba widens small integers to 64 bits in arithmetic and checks indices for the sign; both would
keep LLVM from turning the loops of `kernels` into SIMD.  So these are written in LLVM's terms.
"""

# mypy: ignore-errors

from __future__ import annotations

from functools import reduce

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

INDEX = ir.IntType(64)

#: `marks` looks at that many elements: the bits of a word.
PACE = 64

#: Of 32- and 64-bit elements that are compared at once.
REGISTER_BITS = 256


@intrinsic
def order_key(typingctx, bits, infinity, flip):
    """The element with these bits as an unsigned key: greater is selected earlier, ties are equal.

    Parameters
    ----------
    bits : unsigned integer of the element's width
    infinity : the same type, or None
        For floats the bits of +inf. None is for integers.
    flip : the same type
        Exclusive-ored into the key: all ones to select the smallest first. For signed integers
        the sign bit on top of that.

    Notes
    -----
    A float is read as sign and magnitude, so that -0.0 and 0.0 are one number. Added to infinity,
    -inf .. +inf becomes 0 .. 2 * infinity; a positive NaN lies above that, and a negative NaN
    wraps around to lie above it too. Cut off at 2 * infinity + 1, every NaN is one greatest key.
    """

    def codegen(context, builder, signature, args):
        return _order_key(builder, *args, signature.args[1])

    return bits(bits, infinity, flip), codegen


@intrinsic
def marks(typingctx, array, index, floor, infinity, flip):
    """Which of the PACE elements from `index` on have keys that reach `floor`: a bit for each."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        kind = signature.args[3]
        if kind is types.none or args[2].type.width < 32:
            return _marks_by_keys(builder, pointer, *args[2:], kind)
        bar, as_it_is = _bar(builder, *args[2:])
        with builder.if_else(as_it_is) as (then, otherwise):
            with then:
                below, after_floats = _floats_below(builder, pointer, bar), builder.block
                is_largest = builder.icmp_unsigned("==", args[4], bar.type(0))
                reach = builder.xor(below, builder.sext(is_largest, below.type))
            with otherwise:
                by_keys = _marks_by_keys(builder, pointer, *args[2:], kind)
                after_keys = builder.block
        found = builder.phi(reach.type)
        found.add_incoming(reach, after_floats)
        found.add_incoming(by_keys, after_keys)
        return found

    return types.uint64(array, types.int64, floor, infinity, flip), codegen


def _marks_by_keys(builder, pointer, floor, infinity, flip, kind):
    width = floor.type.width
    lanes = REGISTER_BITS // width if width >= 32 else PACE
    floor, infinity, flip = (_splat(builder, value, lanes) for value in (floor, infinity, flip))

    def reach(some):
        return builder.icmp_unsigned(">=", _order_key(builder, some, infinity, flip, kind), floor)

    return _bits_of(builder, pointer, floor.type, width // 8, reach)


def _bits_of(builder, pointer, vector, size, condition):
    """A bit for each of PACE elements of `size` bytes, from `condition` of some at a time.

    That is a register of 32- or 64-bit elements: of a mask of more LLVM makes long code.
    """
    vectors, lanes = builder.bitcast(pointer, vector.as_pointer()), vector.count
    word = ir.IntType(PACE)
    found = word(0)
    for at in range(PACE // lanes):
        some = builder.load(builder.gep(vectors, [INDEX(at)]), align=size)
        bits = builder.bitcast(condition(some), ir.IntType(lanes))
        if lanes < PACE:
            bits = builder.shl(builder.zext(bits, word), word(at * lanes))
        found = builder.or_(found, bits)
    return found


def _bar(builder, floor, infinity, flip):
    """What floats are below of whose keys `floor` tells, by its bits, and whether they are.

    The largest reach a floor unless they are below the number that has that key, the smallest if
    they are below the next. NaN is below nothing, which is right for both. Subnormal numbers may
    count for zero, as a processor can be told: nothing is compared with these, nor with zero.
    """
    kind = floor.type
    following = builder.and_(flip, kind(1))
    ordered = builder.add(builder.xor(floor, flip), following)
    above = builder.sub(ordered, infinity)
    below = builder.add(builder.sub(infinity, ordered), kind(2 ** (kind.width - 1)))
    is_above = builder.icmp_unsigned(">=", ordered, infinity)
    size = builder.select(is_above, above, builder.sub(infinity, ordered))
    least = builder.and_(infinity, builder.neg(infinity))  # of normal numbers
    conditions = (
        builder.icmp_unsigned("<=", size, infinity),
        builder.icmp_unsigned(">=", size, least),
        builder.icmp_unsigned(">=", ordered, following),  # there is a next one
    )
    return builder.select(is_above, above, below), reduce(builder.and_, conditions)


def _floats_below(builder, pointer, bar):
    """A bit for each of PACE floats, by a fourth of the instructions of comparing keys."""
    width = bar.type.width
    real = ir.FloatType() if width == 32 else ir.DoubleType()
    bars = _splat(builder, builder.bitcast(bar, real), REGISTER_BITS // width)

    def below(some):
        return builder.fcmp_ordered("<", some, bars)

    return _bits_of(builder, pointer, bars.type, width // 8, below)


@intrinsic
def lowest_bit(typingctx, mask):
    """Place of the lowest bit set; there is one."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


def _order_key(builder, bits, infinity, flip, kind):
    """Instructions of `order_key`, for one element or a vector."""
    if kind is types.none:
        return builder.xor(bits, flip)
    width = getattr(bits.type, "element", bits.type).width
    one, sign = _splat_like(bits, 1), _splat_like(bits, 2 ** (width - 1))
    below = builder.sub(builder.add(infinity, sign), bits)
    above = builder.add(infinity, bits)
    negative = builder.icmp_signed("<", bits, _splat_like(bits, 0))
    ordered = builder.select(negative, below, above)
    nan = builder.add(builder.shl(infinity, one), one)
    key = builder.select(builder.icmp_unsigned("<", ordered, nan), ordered, nan)
    return builder.xor(key, flip)


def _splat(builder, value, count):
    """That many copies of a number; what stands for None stays."""
    if not isinstance(value.type, ir.IntType | ir.FloatType | ir.DoubleType):
        return value
    vector = ir.VectorType(value.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, INDEX(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), places)


def _splat_like(bits, number):
    """A constant of the type of `bits`, which may be a vector."""
    element = getattr(bits.type, "element", None)
    return bits.type(number) if element is None else bits.type([number] * bits.type.count)


@intrinsic
def tally(typingctx, count, key, floor):
    """``count + (key >= floor)``, in the type of the keys: for up to 255 of them at a time."""

    def codegen(context, builder, signature, args):
        count, key, floor = args
        return builder.add(count, builder.zext(builder.icmp_unsigned(">=", key, floor), count.type))

    return key(key, key, key), codegen


@intrinsic
def load(typingctx, array, index):
    """``array[index]`` of a contiguous array, for an index that is not negative."""

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(context, builder, signature, args))

    return array.dtype(array, types.int64), codegen


@intrinsic
def store(typingctx, array, index, value):
    """``array[index] = value`` of a contiguous array, for an index that is not negative."""

    def codegen(context, builder, signature, args):
        value = context.cast(builder, args[2], signature.args[2], array.dtype)
        builder.store(value, _pointer(context, builder, signature, args))
        return context.get_dummy_value()

    return types.none(array, types.int64, value), codegen


@intrinsic
def load_queue(typingctx, keys, start, pitch, levels):
    """A queue, best first: a tuple as long as `levels`, every `pitch`-th key from `start` on."""
    queue = types.UniTuple(keys.dtype, len(levels))

    def codegen(context, builder, signature, args):
        value = ir.Constant(context.get_value_type(queue), ir.Undefined)
        for level, pointer in enumerate(_slots(context, builder, signature, args, len(levels))):
            value = builder.insert_value(value, builder.load(pointer), level)
        return value

    return queue(keys, types.int64, types.int64, levels), codegen


@intrinsic
def store_queue(typingctx, keys, start, pitch, queue):
    """Put a queue back where `load_queue` had it from."""

    def codegen(context, builder, signature, args):
        for level, pointer in enumerate(_slots(context, builder, signature, args, len(queue))):
            builder.store(builder.extract_value(args[3], level), pointer)
        return context.get_dummy_value()

    return types.none(keys, types.int64, types.int64, queue), codegen


@intrinsic
def insert(typingctx, queue, key):
    """The queue after `key` was pushed into its place and the worst fell out."""

    def codegen(context, builder, signature, args):
        queue, key = args
        for level in range(len(signature.args[0])):
            kept = builder.extract_value(queue, level)
            better = builder.icmp_unsigned(">", key, kept)
            queue = builder.insert_value(queue, builder.select(better, key, kept), level)
            key = builder.select(better, kept, key)
        return queue

    return queue(queue, key), codegen


def _slots(context, builder, signature, args, levels):
    """Where each level is kept, for ``args == (keys, start, pitch, ...)``."""
    keys, start, pitch = args[:3]
    for level in range(levels):
        slot = builder.add(start, builder.mul(pitch, INDEX(level)))
        yield _pointer(context, builder, signature, (keys, slot))


def _pointer(context, builder, signature, args):
    array, index = args[:2]
    data = context.make_array(signature.args[0])(context, builder, array).data
    return builder.gep(data, [index])
