"""From a request and a configuration to kernel launches, with names in place of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from approxtopk import Request

from . import policy
from .layout import Layout
from .policy import MOST_THREADS, Config, Device, ceil_pow2, direct, floor_pow2, stored

OUTPUT = ("values", "indices")
UNORDERED = ("unordered values", "unordered indices")

#: One byte a row.
EXACT = "exact"

#: Candidates that `select_kernel` holds in one tensor, and `long_row_kernel` reads at a time.
SELECTED, READ_AGAIN = 2048, 4096

#: Results, or elements of flagged buckets, that `certify_kernel` looks at at a time.
CERTIFIED = 1024

#: Registers of a multiprocessor.
REGISTERS = 65536

Constants = dict[str, int | bool]


@dataclass(frozen=True)
class Launch:
    """One kernel launch.

    Its arrays are the input "x", the output, which is `UNORDERED` where it is still to be sorted,
    `EXACT`, and workspaces. A pointer that the kernel won't follow is "x" too.
    """

    kernel: str  #: "bucket", "merge", "fused", "narrow", "select", "long", "certify" or "order"
    arrays: tuple[str, ...]
    programs: int
    warps: int
    constants: Mapping[str, int | bool]
    numbers: Mapping[str, int] = field(default_factory=dict)  #: where not the request's
    creates: tuple[str, int] | None = None  #: the workspace that it fills, and how many bytes
    registers: int | None = None  #: the most a thread may have, for compilers that can be told


def launches(
    request: Request, layout: Layout, device: Device, config: Config
) -> tuple[Launch, ...]:
    """The launches of a request, in order."""
    if request.empty:
        return ()
    found: list[Launch] = []
    if request.b == request.n and not direct(request):
        found += _selection(request, layout, device, "x")
    elif config.fused:
        found.append(_fused(request, layout, device, config))
    else:
        found.append(_bucket(request, layout, device, config))
        if config.splits > 1:
            found.append(_merge(request, layout, device, config))
        if not direct(request):
            found += _selection(request, layout, device, "merged" if config.splits > 1 else "parts")
    if not request.lossless and (request.exact or request.certificate):
        found.append(_certify(request, layout, device))
    if _ordered(request):
        found.append(_order(request))
    return tuple(found)


def _ordered(request: Request) -> bool:
    """Whether winners are sorted in a launch of its own."""
    return request.sorted and request.k > 1


def _out(request: Request) -> tuple[str, str]:
    return UNORDERED if _ordered(request) else OUTPUT


def _bytes(request: Request, candidates: int, coded: bool = False) -> int:
    """Keys of so many candidates a row, and indices if those don't tell them."""
    return request.rows * candidates * (4 * policy.key_words(request) + (0 if coded else 4))


def _stored(request: Request, splits: int = 1) -> int:
    """Bytes of what stage 1 stores."""
    return _bytes(request, splits * stored(request), policy.code(request) > 0)


def _shared(request: Request, layout: Layout) -> Constants:
    return {"LARGEST": request.largest, "WIDE": layout.wide(request.n)}


def _queues(request: Request, layout: Layout, config: Config) -> Constants:
    """Constants of stage 1."""
    return {
        "KB": request.kb,
        "U": config.loads,
        "INTERLEAVED": request.interleaved,
        "STEP_BITS": policy.step_bits(request),
        **_shared(request, layout),
    }


def _bucket(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    R, B, S = policy.lanes(request, layout, device, config)
    finished = direct(request) and config.splits == 1
    constants: Constants = {
        **_queues(request, layout, config),
        "R": R,
        "B": B,
        "S": S,
        "SPLITS": config.splits,
        "MERGE": False,
        "DIRECT": finished,
        "ROWS_FIRST": layout.rows_adjacent,
    }
    return Launch(
        "bucket",
        ("x", *_out(request), "x", "x" if finished else "parts"),
        policy.groups(request, layout, R) * -(-request.b // B) * config.splits,
        config.warps,
        constants,
        creates=None if finished else ("parts", _stored(request, config.splits)),
    )


def _merge(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    # Eight buckets are a 32-byte sector of keys: no fewer, and more only where programs abound.
    B = 8 if request.rows * request.b < 32 * 4 * device.processors else 32
    B = min(B, ceil_pow2(request.b))
    warps = 8
    constants: Constants = {
        **_queues(request, layout, config),
        "U": 1,
        "R": 1,
        "B": B,
        "S": min(config.splits, 4 * warps * device.warp_size // B),
        "SPLITS": config.splits,
        "MERGE": True,
        "DIRECT": direct(request),
        "ROWS_FIRST": False,
    }
    return Launch(
        "merge",
        ("x", *_out(request), "parts", "x" if direct(request) else "merged"),
        request.rows * -(-request.b // B),
        warps,
        constants,
        creates=None if direct(request) else ("merged", _stored(request)),
    )


def _fused(request: Request, layout: Layout, device: Device, config: Config) -> Launch:
    B = ceil_pow2(request.b)
    lanes = config.warps * device.warp_size * policy.vector(request)
    constants: Constants = {
        **_queues(request, layout, config),
        "B": B,
        "S": max(1, min(floor_pow2(policy.steps(request)), lanes // B)),
    }
    return Launch("fused", ("x", *_out(request)), request.rows, config.warps, constants)


def _selection(request: Request, layout: Layout, device: Device, source: str) -> list[Launch]:
    """Stage 2 alone, of stored candidates or of the row itself ("x").

    Where candidates are too many for one program, a tournament: each round keeps the top k of
    every chunk. Where k is too large for that, one program reads them again and again.
    """
    found: list[Launch] = []
    most = MOST_THREADS // device.warp_size
    shared = {"CODE": 0 if source == "x" else policy.code(request), **_shared(request, layout)}
    count, chunk = stored(request), policy.chunk(request)
    while count > policy.resident(request) and 2 * request.k <= chunk:
        chunks = -(-count // chunk)
        target = f"round {len(found) + 1}"
        found.append(
            Launch(
                "narrow",
                ("x", source, target),
                request.rows * chunks,
                most,
                {"CHUNK": chunk, "SOURCE": _source(request, source), **shared},
                {"b": count, "chunks": chunks},
                creates=(target, _bytes(request, chunks * request.k)),
            )
        )
        count, source = chunks * request.k, target
    arrays = ("x", *_out(request), source)
    if count > policy.resident(request):
        again = {"CHUNK": READ_AGAIN, "SOURCE": _source(request, source), **shared}
        found.append(Launch("long", arrays, request.rows, most // 2, again, {"b": count}))
        return found
    lanes = min(SELECTED, ceil_pow2(count))
    constants: Constants = {
        "CHUNK": lanes,
        "CHUNKS": -(-count // lanes),
        "SOURCE": _source(request, source),
        **shared,
    }
    warps = max(1, lanes // (4 * device.warp_size))
    # Left alone, the compiler takes so many that a multiprocessor holds one program only.
    registers = min(255, REGISTERS // (2 * warps * device.warp_size))
    found.append(
        Launch("select", arrays, request.rows, warps, constants, {"b": count}, registers=registers)
    )
    return found


def _source(request: Request, source: str) -> int:
    """How `load_chunk` finds candidates: in the row, by keys and indices, or by keys alone."""
    if source == "x":
        return 0
    if not policy.code(request) or source.startswith("round"):
        return 1
    return 1 + request.kb


def _certify(request: Request, layout: Layout, device: Device) -> Launch:
    share = policy.THREADS_PER_PROCESSOR * 2 * device.processors // request.rows
    lanes = max(8 * device.warp_size, ceil_pow2(request.k), floor_pow2(share))
    lanes = min(CERTIFIED, lanes)
    list_length = policy.repaired(request) if request.exact else 0
    constants: Constants = {
        "KB": request.kb,
        "LANES": lanes,
        "GROUP": max(1, lanes // ceil_pow2(policy.steps(request))),
        "LIST": list_length,
        "INTERLEAVED": request.interleaved,
        **_shared(request, layout),
    }
    counts = 4 * request.rows * (request.b + request.k // request.kb)
    return Launch(
        "certify",
        ("x", *_out(request), "x" if request.exact else EXACT, "notes"),
        request.rows,
        max(1, max(lanes, list_length // 2) // (4 * device.warp_size)),
        constants,
        creates=("notes", _bytes(request, list_length) + counts),
    )


def _order(request: Request) -> Launch:
    M = min(128, ceil_pow2(request.k))
    constants: Constants = {
        "M": M,
        "CHUNK": min(32, ceil_pow2(request.k)),
        "LARGEST": request.largest,
    }
    programs = request.rows * -(-request.k // M)
    return Launch("order", (*UNORDERED, *OUTPUT), programs, 4, constants)
