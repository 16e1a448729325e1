"""From a request to kernel launches: pure arithmetic, no arrays, no device asked.

`default` picks a configuration without measuring; `configurations` lists the few that a
measurement may choose from; `launches` turns one into kernels, their constants and grids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from approxtopk import Request

from .layout import Layout

#: Longer queues spill: they are other backends' business.
LONGEST_QUEUE = 8

#: Candidates of a row that one program keeps in registers, and with 64-bit keys.
RESIDENT, RESIDENT_64 = 16384, 8192

#: Candidates of a row that one program selects from by reading them once for each bit of a key.
MOST_CANDIDATES = 1 << 20

#: Winners that are put in order by counting, for each, those before it.
MOST_SORTED = 1 << 14

#: Threads that keep a multiprocessor's memory requests in flight.
THREADS_PER_PROCESSOR = 1024

#: Candidates that `long_row_kernel` reads at a time.
CHUNK = 4096

OUTPUT = ("values", "indices")
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
ITEMSIZE |= {"int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8}


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
    splits: int = 1


@dataclass(frozen=True)
class Launch:
    """One kernel launch, with names in place of its arrays.

    Arrays: the input "x"; the output "values" and "indices", or "unordered values" and "unordered
    indices" where they are still to be sorted; the workspaces "parts" and "candidates".
    """

    kernel: str  #: "bucket", "merge", "row", "long" or "order"
    arrays: tuple[str, ...]
    programs: int
    warps: int
    constants: Mapping[str, int | bool]


def refusal(request: Request) -> str | None:
    """One sentence on why the kernels can't serve a request, or None."""
    if request.empty:
        return None
    if request.n >= 2**31 or request.rows >= 2**31:
        return f"serves fewer than 2**31 rows and elements in each, not {request.shape}"
    if request.b < request.n and request.kb > LONGEST_QUEUE:
        return f"keeps at most kb={LONGEST_QUEUE} elements per bucket, not {request.kb}"
    if request.candidates != request.k and _stored(request) > MOST_CANDIDATES:
        return f"selects from at most {MOST_CANDIDATES} candidates, not {_stored(request)}"
    if request.sorted and request.k > MOST_SORTED:
        return f"sorts at most {MOST_SORTED} elements, not k={request.k}"
    return None


def default(request: Request, layout: Layout, device: Device) -> Config:
    """The configuration to use where nothing was measured."""
    fused = _can_fuse(request, layout) and 3 * request.rows >= device.processors
    if fused:
        share = THREADS_PER_PROCESSOR * 2 * device.processors // request.rows
        fewest = _ceil_pow2(request.b) * request.kb // 16
        threads = min(max(_floor_pow2(share), fewest, device.warp_size), 1024)
        threads = min(threads, max(device.warp_size, _ceil_pow2(request.n) // 4))
        return Config(True, max(1, threads // device.warp_size), _loads(request))
    config = Config(False, 4, _loads(request))
    return replace(config, splits=_splits(request, layout, device, config))


def configurations(request: Request, layout: Layout, device: Device) -> tuple[Config, ...]:
    """The few configurations that measuring may choose from, the default first."""
    first = default(request, layout, device)
    found = [first]
    for warps in (first.warps // 2, first.warps * 2):
        if warps >= 1 and warps * device.warp_size <= 1024:
            found.append(replace(first, warps=warps))
    if first.loads > 2:
        found.append(replace(first, loads=first.loads // 2))
    if first.fused:
        found.append(replace(Config(False, 4, _loads(request)), splits=1))
    elif _can_fuse(request, layout):
        found.append(Config(True, 1024 // device.warp_size, _loads(request)))
    return tuple(found)


def launches(
    request: Request, layout: Layout, device: Device, config: Config
) -> tuple[Launch, ...]:
    """The launches of a request, in order."""
    found: list[Launch] = []
    if request.b == request.n and not direct(request):
        found.append(_selection(request, layout, device, staged=False))
    elif config.fused:
        found.append(_fused(request, layout, device, config))
    else:
        found.append(_bucket(request, layout, device, config))
        if config.splits > 1:
            found.append(_merge(request, layout, device, config))
        if not direct(request):
            found.append(_selection(request, layout, device, staged=True))
    if _ordered(request):
        found.append(_order(request, device))
    return tuple(found)


def workspaces(request: Request, config: Config) -> dict[str, int]:
    """Bytes of each workspace: a key and an index for every candidate."""
    if config.fused or (request.b == request.n and not direct(request)):
        return {}
    bytes_each = max(4, ITEMSIZE[request.dtype]) + 4
    found = {}
    if config.splits > 1:
        found["parts"] = config.splits * request.rows * _stored(request) * bytes_each
    if not direct(request):
        found["candidates"] = request.rows * _stored(request) * bytes_each
    return found


def direct(request: Request) -> bool:
    """Whether stage 1 finds exactly the winners."""
    return request.candidates == request.k


def _ordered(request: Request) -> bool:
    """Whether winners are sorted in a launch of its own."""
    return request.sorted and request.k > 1


def _out(request: Request) -> tuple[str, str]:
    """Where winners are written before they are sorted, if they are."""
    return ("unordered values", "unordered indices") if _ordered(request) else OUTPUT


def _stored(request: Request) -> int:
    """Candidates of a row as they are stored, the places that short buckets leave empty too."""
    return request.b * request.kb


def _can_fuse(request: Request, layout: Layout) -> bool:
    in_registers = _ceil_pow2(request.b) * request.kb * _key_words(request)
    return (
        request.interleaved
        and not direct(request)
        and not layout.rows_adjacent
        and in_registers <= RESIDENT // 2
    )


def _key_words(request: Request) -> int:
    return max(1, ITEMSIZE[request.dtype] // 4)


def _loads(request: Request) -> int:
    """Loads in flight per thread: 128 bytes, or 64 where they widen to 32-bit keys."""
    most = 8 if ITEMSIZE[request.dtype] >= 4 else 4
    return min(most, _floor_pow2(_steps(request)))


def _steps(request: Request) -> int:
    return -(-request.n // request.b)


def _vector(request: Request) -> int:
    """Elements of a 16-byte load, at most 8."""
    return min(8, 16 // ITEMSIZE[request.dtype])


def _lanes(
    request: Request, layout: Layout, device: Device, config: Config
) -> tuple[int, int, int]:
    """(rows, buckets, lanes sharing a bucket) of a program: powers of two."""
    lanes = config.warps * device.warp_size * _vector(request)
    steps = _floor_pow2(_steps(request))
    buckets, rows = _ceil_pow2(request.b), _ceil_pow2(request.rows)
    if layout.rows_adjacent:
        R = min(_ceil_pow2(layout.inner), 32 * _vector(request), lanes)
        B = min(buckets, lanes // R)
        return R, B, min(steps, lanes // (R * B))
    if request.interleaved:
        B = min(buckets, lanes)
        S = min(steps, lanes // B)
    else:
        S = min(steps, lanes)
        B = min(buckets, lanes // S)
    return min(rows, lanes // (B * S)), B, S


def _groups(request: Request, layout: Layout, R: int) -> int:
    """Programs that the rows are divided among; those that lie first share an outer number."""
    if layout.rows_adjacent:
        return request.rows // layout.inner * -(-layout.inner // R)
    return -(-request.rows // R)


def _splits(request: Request, layout: Layout, device: Device, config: Config) -> int:
    """Programs that share a bucket: enough to fill the device, few enough to merge at once."""
    R, B, S = _lanes(request, layout, device, config)
    programs = _groups(request, layout, R) * -(-request.b // B)
    wanted = device.processors * THREADS_PER_PROCESSOR // (config.warps * device.warp_size)
    by_work = _steps(request) // (S * config.loads)
    by_traffic = request.n // (32 * _stored(request))
    return max(1, _floor_pow2(min(wanted // programs, by_work, by_traffic)))


def _shared(request: Request, layout: Layout) -> dict[str, int | bool]:
    return {"LARGEST": request.largest, "WIDE": layout.wide(request.n)}


def _queue_constants(request: Request, layout: Layout, config: Config) -> dict[str, int | bool]:
    packed = ITEMSIZE[request.dtype] <= 2 and _steps(request) < 65536
    return {
        "KB": request.kb,
        "U": config.loads,
        "INTERLEAVED": request.interleaved,
        "PACKED": packed,
        **_shared(request, layout),
    }


def _bucket(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    R, B, S = _lanes(request, layout, device, config)
    constants = {
        **_queue_constants(request, layout, config),
        "R": R,
        "B": B,
        "S": S,
        "SPLITS": config.splits,
        "MERGE": False,
        "DIRECT": direct(request) and config.splits == 1,
        "ROWS_FIRST": layout.rows_adjacent,
    }
    programs = _groups(request, layout, R) * -(-request.b // B) * config.splits
    # A pointer that a kernel doesn't follow gets the input.
    target = "parts" if config.splits > 1 else "x" if direct(request) else "candidates"
    arrays = ("x", *_out(request), "x", target)
    return Launch("bucket", arrays, programs, config.warps, constants)


def _merge(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    # Eight buckets are a 32-byte sector of keys: no fewer, and more only where programs abound.
    B = 8 if request.rows * request.b < 32 * 4 * device.processors else 32
    B = min(B, _ceil_pow2(request.b))
    warps = 8
    S = min(config.splits, 4 * warps * device.warp_size // B)
    constants = {
        **_queue_constants(request, layout, config),
        "U": 1,
        "R": 1,
        "B": B,
        "S": S,
        "SPLITS": config.splits,
        "MERGE": True,
        "DIRECT": direct(request),
        "ROWS_FIRST": False,
    }
    arrays = ("x", *_out(request), "parts", "x" if direct(request) else "candidates")
    return Launch("merge", arrays, request.rows * -(-request.b // B), warps, constants)


def _fused(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    B = _ceil_pow2(request.b)
    lanes = config.warps * device.warp_size * _vector(request)
    S = max(1, min(_floor_pow2(_steps(request)), lanes // B))
    constants = {
        **_queue_constants(request, layout, config),
        "B": B,
        "S": S,
        "STAGED": False,
    }
    return Launch("row", ("x", *_out(request), "x"), request.rows, config.warps, constants)


def _selection(request: Request, layout: Layout, device: Device, staged: bool) -> Launch:
    """Stage 2 alone, of staged candidates or of the row itself."""
    most = 1024 // device.warp_size
    arrays = ("x", *_out(request), "candidates" if staged else "x")
    if _stored(request) > (RESIDENT if _key_words(request) == 1 else RESIDENT_64):
        constants = {"CHUNK": CHUNK, "STAGED": staged, **_shared(request, layout)}
        return Launch("long", arrays, request.rows, most // 2, constants)
    lanes = _ceil_pow2(_stored(request))
    warps = min(most, max(1, lanes // (8 * device.warp_size)))
    constants = {
        **_shared(request, layout),
        "B": lanes,
        "S": 1,
        "U": 1,
        "KB": 1,
        "STAGED": staged,
        "INTERLEAVED": True,
        "PACKED": False,
    }
    return Launch("row", arrays, request.rows, warps, constants)


def _order(request: Request, device: Device) -> Launch:
    M = min(128, _ceil_pow2(request.k))
    constants = {"M": M, "CHUNK": min(32, _ceil_pow2(request.k)), "LARGEST": request.largest}
    arrays = ("unordered values", "unordered indices", *OUTPUT)
    return Launch("order", arrays, request.rows * -(-request.k // M), 4, constants)


def _ceil_pow2(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _floor_pow2(number: int) -> int:
    return 1 << (number.bit_length() - 1) if number > 0 else 0
