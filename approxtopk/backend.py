"""What a backend is: the words that the core and a plug-in exchange.

A plug-in *declares* a `BackendSpec` (cheap, imports no framework); the core *loads* the
`Backend` behind it when an array of a declared type turns up, and sends it `Request` objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from .exactness import read_again

__all__ = ["ArrayInfo", "Backend", "BackendSpec", "Request"]

#: Types that can be selected from, by the names that NumPy, torch and CuPy share.
SUPPORTED_DTYPES = (
    *("float16", "bfloat16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8"),
)
INDEX_DTYPES = ("int64", "int32")


class ArrayInfo(NamedTuple):
    """What the core must know of an array, in words that every framework shares."""

    shape: tuple[int, ...]
    dtype: str  #: "float32", "bfloat16", … as in `SUPPORTED_DTYPES`, or another name
    device: str  #: "cpu", "cuda:0", …: a device kind, and an ordinal where there can be several


@dataclass(frozen=True)
class Request:
    """One validated call without its array. A backend trusts every field.

    ``1 <= b <= n`` and ``1 <= kb <= ceil(n / b)`` hold and the candidates suffice for `k`, unless
    the request is `empty`; then there is nothing to select, only the output's shape matters, and
    every row is exact.
    """

    shape: tuple[int, ...]
    dtype: str
    device: str
    axis: int  #: 0 <= axis < len(shape)
    k: int
    b: int
    kb: int
    largest: bool = True
    sorted: bool = False
    interleaved: bool = True
    index_dtype: str = "int64"
    exact: bool = False  #: ``recall=1.0``: the answer is to be the true top-k, for every input
    certificate: bool = False  #: a third array is wanted, see `Backend.topk`

    def __hash__(self) -> int:
        return self._hash  # backends keep what they know of a request in dictionaries

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(self.__getstate__().values()))

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: another process hashes strings otherwise."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def n(self) -> int:
        """Length of the selection axis."""
        return self.shape[self.axis]

    @cached_property
    def rows(self) -> int:
        """Number of 1-D slices along the selection axis."""
        rows = 1
        for axis, length in enumerate(self.shape):
            rows *= length if axis != self.axis else 1
        return rows

    @cached_property
    def candidates(self) -> int:
        """How many elements of a row stage 1 keeps."""
        return count_candidates(self.n, self.b, self.kb)

    @cached_property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return itemsize_of(self.dtype)

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of values and indices."""
        return (*self.shape[: self.axis], self.k, *self.shape[self.axis + 1 :])

    @cached_property
    def rows_shape(self) -> tuple[int, ...]:
        """Shape of a certificate: one boolean per row."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :])

    @cached_property
    def empty(self) -> bool:
        """Whether there is nothing to select: ``k == 0`` or no rows."""
        return self.k == 0 or self.rows == 0

    @cached_property
    def lossless(self) -> bool:
        """Whether no bucket can drop one of the true top-k, so that any answer is exact."""
        return is_lossless(self.n, self.k, self.b, self.kb)

    @cached_property
    def repairs(self) -> bool:
        """Whether an exact answer is asked for that stages 1 and 2 alone may miss."""
        return self.exact and not self.lossless

    @cached_property
    def judged(self) -> bool:
        """Whether answers that stages 1 and 2 alone may miss are to be exact, or certified."""
        return (self.exact or self.certificate) and not (self.empty or self.lossless)

    def by_whole_rows(self) -> Request:
        """The same request by exact selection of whole rows: every element is a candidate."""
        return replace(self, b=self.n, kb=1)

    @cached_property
    def device_kind(self) -> str:
        """The device without its ordinal."""
        return self.device.partition(":")[0]


@cache
def itemsize_of(dtype: str) -> int:
    """Bytes of an element, by the number in its dtype's name."""
    return int("".join(filter(str.isdigit, dtype))) // 8


def count_candidates(n: int, b: int, kb: int) -> int:
    """Sum over the buckets of min(kb, bucket size)."""
    if n == 0:
        return 0
    short, longer = divmod(n, b)
    return (b - longer) * min(kb, short) + longer * min(kb, short + 1)


def is_lossless(n: int, k: int, b: int, kb: int) -> bool:
    """Whether no bucket can drop one of the true top-k: `kb` holds them, or the whole bucket."""
    return k == 0 or kb >= min(k, -(-n // b))


class Backend:
    """Base class of backends: what is below is the whole contract.

    Only `topk` must be written; the rest suits any array with ``shape``, ``dtype`` and
    ``__array__`` in the computer's main memory.
    """

    #: Whether `topk` heeds `Request.exact` and `Request.certificate`. A backend that doesn't gets
    #: neither: not a request for a certificate, nor an exact one with a plan that may lose some.
    certifies = False

    def describe(self, arr: Any) -> ArrayInfo | None:
        """Shape, dtype name and device of an array. Called on every call: keep it quick.

        None for an array whose shape is not known yet, because a compiler traces the call: then
        `trace` gets the call.
        """
        return ArrayInfo(tuple(arr.shape), str(arr.dtype), "cpu")

    def refuses(self, request: Request) -> str | None:
        """One sentence on why this request can't be served, or None if it can."""
        return None

    def topk(
        self, arr: Any, request: Request, out: tuple[Any, Any] | None = None
    ) -> tuple[Any, ...]:
        """Select; see `approxtopk.topk` for what is promised.

        Returns values and indices of ``request.out_shape``, written into `out` where given (the
        core has checked its shapes, dtypes and device, and that it overlaps nothing).

        For ``request.exact`` they are the true top-k of every row, ties to the lower index: found
        by stages 1 and 2, certificate and repair, or by exact selection of whole rows, see
        `Request.by_whole_rows`, whichever is the cheaper.

        For ``request.certificate`` a third array comes with them, booleans of
        ``request.rows_shape``, always a new one: True precisely for the rows whose indices are
        those of the true top-k. It changes nothing about the answer, but for the order of results
        that needn't be sorted.
        """
        raise NotImplementedError

    def trace(
        self,
        arr: Any,
        k: Any,
        b: Any,
        kb: Any,
        recall: Any,
        axis: Any,
        largest: Any,
        sorted: Any,
        interleaved: Any,
        index_dtype: Any,
        certificate: Any,
        backend: str | None,
        out: tuple[Any, Any] | None,
    ) -> tuple[Any, ...]:
        """Record a call to be planned when it runs. Only for arrays that `describe` can't.

        The arguments are those of `approxtopk.topk`, unchecked.
        """
        raise NotImplementedError

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether two arrays of this type share memory. Asked for ``out=`` only."""
        import numpy as np

        return np.may_share_memory(np.asarray(a), np.asarray(b))

    def writable(self, arr: Any) -> bool:
        """Whether an array may be written to. Asked for ``out=`` only."""
        return True

    def to_numpy(self, arr: Any) -> Any:
        """Exact copy or view as a NumPy array (bfloat16 widened to float32)."""
        import numpy as np

        return np.asarray(arr)

    def devices(self) -> tuple[str, ...]:
        """Devices that are there to be used, in words, for ``approxtopk info``; () if unknown."""
        return ()

    def kernel(self, request: Request) -> str:
        """What will run, in a few words, for `approxtopk.explain`."""
        return type(self).__name__

    def workspace(self, request: Request) -> int:
        """Bytes of extra memory that the request needs besides its output."""
        return 0

    def read_again(self, request: Request) -> float:
        """Bytes of all rows that its certificates or exact answers are expected to read again.

        Besides what it takes to select, on randomly ordered distinct values. Asked only for a
        request that is `judged`. By default it is the elements of flagged buckets, which are what
        has to be read where nothing is known of what was dropped.
        """
        again = read_again(request.n, request.k, request.b, request.kb)
        return request.rows * request.itemsize * again


@dataclass(frozen=True)
class BackendSpec:
    """Declaration of a backend, made without importing its framework.

    Parameters
    ----------
    name : str
        What users type as ``backend=name``.
    load : callable
        Returns the `Backend`. Raises ImportError where the framework is missing, or
        `approxtopk.BackendUnavailableError` with one sentence where it can't be used.
    array_types : tuple of str
        Qualified names (``"numpy.ndarray"``) of the array types served, subclasses included.
    protocols : tuple of str
        Attributes (``"__cuda_array_interface__"``) that make an array of any other type welcome.
    device_kinds : tuple of str
        ``("cpu",)``, ``("cuda",)``, …; ``("*",)`` is any.
    priority : int
        Among backends that declare the same class the greatest priority wins; one that declares
        a nearer class comes before them. Those built in have 0 (NumPy), 20, 40 and 50.
    extra : str
        The extra to install for it, as in ``pip install 'approxtopk[extra]'``.
    """

    name: str
    load: Callable[[], Backend]
    array_types: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    device_kinds: tuple[str, ...] = ("cpu",)
    priority: int = 10
    extra: str = ""

    def __post_init__(self) -> None:
        for name in ("array_types", "protocols", "device_kinds"):
            if isinstance(value := getattr(self, name), str):  # its letters would never match
                raise TypeError(f"{name} must be a tuple of strings, got the string {value!r}")
