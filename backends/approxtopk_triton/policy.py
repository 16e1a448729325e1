"""Which configuration a request is served with: pure arithmetic, no arrays, no device asked.

`default` picks without measuring; `configurations` lists the few that measuring may choose from.
`schedule` turns one into launches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from approxtopk import Request
from approxtopk.exactness import flagged_if_missed, hides_more, read_again

from .layout import Layout

#: Rows, and elements in each: numbers rounded up to what programs take at a time stay below 2^31.
MOST_NUMBERED = 2**31 - 2**16

#: Longer queues spill: they are other backends' business.
LONGEST_QUEUE = 8

#: Candidates of 32-bit keys that one program keeps in registers, with their indices.
RESIDENT = 16384

#: Candidates of which one program finds the top k in a round of the tournament.
CHUNK = 8192

#: Candidates of a row that one program selects from by reading them once for each bit of a key:
#: what is left where k is too large for a tournament.
MOST_READ_AGAIN = (1 << 20) - 1

#: Winners that are put in order by counting, for each, those before it.
MOST_SORTED = 1 << 14

#: Threads that keep a multiprocessor's memory requests in flight.
THREADS_PER_PROCESSOR = 1024

#: The most threads in a program, and in one that owns a row: there more wait for each other.
MOST_THREADS, MOST_FUSED = 1024, 512


@dataclass(frozen=True)
class Device:
    """What the policy needs to know of a device."""

    processors: int
    warp_size: int


@dataclass(frozen=True)
class Config:
    """What may be tuned: one launch or two, threads of a program, loads in flight per thread."""

    fused: bool
    warps: int
    loads: int
    splits: int = 1  #: programs that share a bucket


def refusal(request: Request) -> str | None:
    """One sentence on why the kernels can't serve a request, or None."""
    if request.empty:
        return None
    request = served(request)
    if max(request.n, request.rows) > MOST_NUMBERED:
        return f"serves at most 2**31 - 2**16 rows and elements in each, not {request.shape}"
    if request.b < request.n and request.kb > LONGEST_QUEUE:
        return f"keeps at most kb={LONGEST_QUEUE} elements per bucket, not {request.kb}"
    too_many = stored(request) > MOST_READ_AGAIN and 2 * request.k > chunk(request)
    if too_many and not direct(request):
        return f"selects k={request.k} from at most {MOST_READ_AGAIN} candidates"
    if request.sorted and request.k > MOST_SORTED:
        return f"sorts at most {MOST_SORTED} elements, not k={request.k}"
    return None


def default(request: Request, layout: Layout, device: Device) -> Config:
    """The configuration to use where nothing was measured."""
    if can_fuse(request, layout) and 3 * request.rows >= device.processors:
        share = THREADS_PER_PROCESSOR * 2 * device.processors // request.rows
        fewest = ceil_pow2(-(-ceil_pow2(request.b) * request.kb // 16))
        threads = min(max(floor_pow2(share), fewest, device.warp_size), MOST_FUSED)
        threads = min(threads, max(device.warp_size, ceil_pow2(request.n) // 4))
        return Config(True, max(1, threads // device.warp_size), loads(request))
    return _two_stages(request, layout, device)


def configurations(request: Request, layout: Layout, device: Device) -> tuple[Config, ...]:
    """The few configurations that measuring may choose from, the default first."""
    first = default(request, layout, device)
    found = [first]
    for warps in (first.warps // 2, first.warps * 2):
        if warps >= 1 and warps * device.warp_size <= MOST_THREADS:
            found.append(replace(first, warps=warps))
    if first.loads > 2:
        found.append(replace(first, loads=first.loads // 2))
    if first.fused:
        found.append(_two_stages(request, layout, device))
    elif can_fuse(request, layout):
        found.append(Config(True, MOST_FUSED // device.warp_size, loads(request)))
    return tuple(found)


def served(request: Request) -> Request:
    """The request to serve instead: exactly, where results can't be repaired, by whole rows."""
    return request.by_whole_rows() if request.repairs and not repaired(request) else request


def repaired(request: Request) -> int:
    """Results and hidden elements from which one program selects anew; 0 where it can't.

    Twice as many as results, so that each of them may have hidden another.  A row with more is
    read by its one program again and again, so a row must not be too long.
    """
    length = max(256, ceil_pow2(2 * request.k))
    return length if length <= chunk(request) and request.n <= MOST_READ_AGAIN else 0


def elements_read_again(request: Request) -> float:
    """Elements of a row that are expected to be read again for a certificate, or an exact answer.

    Those of flagged buckets, and where these hide any, once more to gather it. Where that is too
    much for one program's registers the row is read instead, for each two bits of a key at most.
    """
    request = served(request)
    if request.lossless or not (request.exact or request.certificate):
        return 0.0
    plan = request.n, request.k, request.b, request.kb
    again = read_again(*plan)
    if request.exact:
        more = hides_more(*plan, repaired(request) - request.k)
        again += (1.0 - more) * flagged_if_missed(*plan)
        again += more * request.n * (4 * request.itemsize + 1)
    return again


def direct(request: Request) -> bool:
    """Whether stage 1 finds exactly the winners."""
    return request.candidates == request.k


def stored(request: Request) -> int:
    """Candidates of a row as they are stored, the places that short buckets leave empty too."""
    return request.b * request.kb


def key_words(request: Request) -> int:
    """32-bit registers of a key."""
    return max(1, request.itemsize // 4)


def resident(request: Request) -> int:
    """Candidates that one program keeps in registers."""
    return RESIDENT // key_words(request)


def chunk(request: Request) -> int:
    """Candidates of a program in a round of the tournament."""
    return CHUNK // key_words(request)


def steps(request: Request) -> int:
    """Elements of the longest bucket."""
    return -(-request.n // request.b)


def step_bits(request: Request) -> int:
    """Width of the code of a step that a key holds beside it: 0 where it has no room for one."""
    bits = steps(request).bit_length()
    return bits if bits <= 16 and request.itemsize <= 2 else 0


def code(request: Request) -> int:
    """Width of the code in a candidate's key: there where it orders equal ones by their indices."""
    return step_bits(request) if request.interleaved else 0


def can_fuse(request: Request, layout: Layout) -> bool:
    """Whether one program can own a row: contiguous buckets would be read in small pieces."""
    queues = ceil_pow2(request.b) * request.kb
    possible = request.interleaved and not layout.rows_adjacent and request.b < request.n
    return possible and not direct(request) and queues <= resident(request) // 2


def loads(request: Request) -> int:
    """Loads in flight per thread: 128 bytes of them where they are of 16."""
    return min(8, floor_pow2(steps(request)))


def vector(request: Request) -> int:
    """Elements of a 16-byte load, at most 8."""
    return min(8, 16 // request.itemsize)


def lanes(request: Request, layout: Layout, device: Device, config: Config) -> tuple[int, int, int]:
    """(rows, buckets, lanes sharing a bucket) of a program: powers of two."""
    total = config.warps * device.warp_size * vector(request)
    longest = floor_pow2(steps(request))
    buckets, rows = ceil_pow2(request.b), ceil_pow2(request.rows)
    if layout.rows_adjacent:
        R = min(ceil_pow2(layout.inner), 32 * vector(request), total)
        B = min(buckets, total // R)
        return R, B, min(longest, total // (R * B))
    if request.interleaved:
        B = min(buckets, total)
        S = min(longest, total // B)
    else:
        S = min(longest, total)
        B = min(buckets, total // S)
    return min(rows, total // (B * S)), B, S


def groups(request: Request, layout: Layout, R: int) -> int:
    """Programs that the rows are divided among; those that lie first share an outer number."""
    if layout.rows_adjacent:
        return request.rows // layout.inner * -(-layout.inner // R)
    return -(-request.rows // R)


def _two_stages(request: Request, layout: Layout, device: Device) -> Config:
    """Programs that share a bucket are enough to fill the device, few enough to merge at once."""
    config = Config(False, 4, loads(request))
    R, B, S = lanes(request, layout, device, config)
    programs = groups(request, layout, R) * -(-request.b // B)
    wanted = device.processors * THREADS_PER_PROCESSOR // (config.warps * device.warp_size)
    by_work = steps(request) // (S * config.loads)
    by_traffic = request.n // (32 * stored(request))
    splits = max(1, floor_pow2(min(wanted // programs, by_work, by_traffic)))
    return replace(config, splits=splits)


def ceil_pow2(number: int) -> int:
    """The least power of two that is no less."""
    return 1 << (number - 1).bit_length()


def floor_pow2(number: int) -> int:
    """The greatest power of two that is no greater; 0 for 0."""
    return 1 << (number.bit_length() - 1) if number > 0 else 0
