"""Run laws, edge cases and promises, and tell the smallest case that breaks one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import approxtopk
from approxtopk.errors import NoBackendError

from .adversaries import adversaries
from .case import Case, Select
from .cases import EDGE_CASES, EdgeCase, permutations
from .dtypes import Array
from .laws import LAWS, PLANS, Law, law_h_mean
from .layouts import LAYOUTS
from .promises import PROMISES
from .subject import Subject


def check_backend(
    name: str,
    *,
    to_array: Callable[[Array], Any] | None = None,
    to_numpy: Callable[[Any], Array] | None = None,
    dtypes: Sequence[str] | None = None,
    max_examples: int = 200,
) -> None:
    """Run every law, edge case and promise against an installed backend.

    Parameters
    ----------
    name : str
        As in `approxtopk.backends`.
    to_array, to_numpy : callable, optional
        From a NumPy array to one of the backend's kind and back, bits kept; nothing is done by
        default. `to_array` raises NotImplementedError for memory layouts that its arrays can't
        have. bfloat16 is that of `ml_dtypes`, and is left out where it isn't installed.
    dtypes : sequence of str, optional
        What the backend must serve; by default everything that approxtopk does.
    max_examples : int, default 200
        Generated cases for each law.

    Raises
    ------
    AssertionError
        A law is broken: which one, the smallest counterexample, and what is wrong there.
    ValueError
        No such backend, or it can't be used here.

    Examples
    --------
    >>> from approxtopk.testing import check_backend
    >>> check_backend("numpy", dtypes=["int8"], max_examples=10)
    """
    known = {status.name: status for status in approxtopk.backends()}
    if name not in known or not known[name].usable:
        reason = known[name].reason if name in known else f"there are {', '.join(known)}"
        raise ValueError(f"no usable backend {name!r}: {reason}")
    given: dict[str, Any] = {"to_array": to_array, "to_numpy": to_numpy, "dtypes": dtypes}
    subject = Subject(name, **{key: value for key, value in given.items() if value is not None})
    for letter in LAWS:
        check_law(
            *(letter, subject),
            dtypes=subject.dtypes,
            layouts=subject.layouts,
            max_examples=max_examples,
        )
    for dtype in subject.dtypes:
        for case in permutations(dtype):
            _apply("h'", law_h_mean, subject, case)
        for edge in EDGE_CASES:
            if edge.suits(dtype) and (edge.name not in LAYOUTS or edge.name in subject.layouts):
                check_edge_case(edge, subject, dtype)
        for case in adversaries(dtype):
            for letter in "rstu":
                _apply(letter, LAWS[letter], subject, case)
        for promise in PROMISES:
            try:
                promise(subject, dtype)
            except AssertionError as error:
                statement = (promise.__doc__ or "").partition("\n")[0]
                raise AssertionError(f"for {dtype} not kept: {statement}\n  {error}") from error
        if not subject.served[dtype]:
            raise AssertionError(f"backend {name!r} has refused every array of {dtype}")


def check_law(
    letter: str,
    select: Select,
    *,
    dtypes: Sequence[str] | None = None,
    layouts: Sequence[str] = tuple(LAYOUTS),
    max_examples: int = 200,
    shrink: bool = True,
) -> None:
    """Try to break a law with generated cases.

    Parameters
    ----------
    letter : str
        A key of `LAWS`.
    select : callable
        A selection with `approxtopk.topk`'s signature on NumPy arrays.
    dtypes, layouts : sequence of str, optional
        What to generate; everything by default.
    max_examples : int
        How many cases; always the same ones.
    shrink : bool
        Whether to look for the smallest counterexample.

    Raises
    ------
    AssertionError
        The law is broken: its text, the counterexample, and what is wrong there.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings

        from .strategies import cases
    except ImportError as error:
        raise ImportError(f"{error}; pip install 'approxtopk[testing]'") from error

    law = LAWS[letter]
    tried: list[Case] = []

    @settings(
        max_examples=max_examples,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(dtypes, layouts, PLANS.get(letter, "any")))
    def holds(case: Case) -> None:
        tried[:] = [case]
        _allowing_refusal(law, select, case)

    try:
        holds()
    except Exception as error:
        if not tried:
            raise  # the strategy failed, not the selection
        raise _broken(letter, law, tried[0], error) from error  # the last tried is the smallest


def check_edge_case(edge: EdgeCase, select: Select, dtype: str) -> None:
    """Check an edge case in one dtype, by every law that the size of its arrays permits.

    Raises
    ------
    AssertionError
        As from `check_law`.
    """
    for case in edge.make(dtype):
        remembered = _Remembered(select, case.array)
        for letter in _suitable_laws(case):
            _apply(letter, LAWS[letter], select if letter == "p" else remembered, case)


def _suitable_laws(case: Case) -> Iterator[str]:
    """Laws that need no plan of their own: the more, the smaller the array."""
    yield from "abcdq"
    if case.array.size <= 1 << 20:
        yield "o"
    if case.array.size <= 1 << 9:
        yield from "ehjprstu"
    if 0 < case.array.size <= 1 << 8:
        yield from "gikn"


class _Remembered:
    """A selection that selects from one array once per set of arguments."""

    def __init__(self, select: Select, array: Array) -> None:
        self._select = select
        self._array = array
        self._known: dict[Any, tuple[Array, ...]] = {}

    def __call__(self, array: Array, k: int, **arguments: Any) -> tuple[Array, ...]:
        if array is not self._array:
            return self._select(array, k, **arguments)
        key = (k, *sorted(arguments.items()))
        if key not in self._known:
            self._known[key] = self._select(array, k, **arguments)
        return self._known[key]


def _apply(letter: str, law: Law, select: Select, case: Case) -> None:
    try:
        _allowing_refusal(law, select, case)
    except Exception as error:
        raise _broken(letter, law, case, error) from error


def _allowing_refusal(law: Law, select: Select, case: Case) -> None:
    """Apply a law; a backend may leave a request to another one."""
    try:
        law(select, case)
    except NoBackendError:
        return


def _broken(letter: str, law: Law, case: Case, error: Exception) -> AssertionError:
    statement = (law.__doc__ or "").partition("\n")[0]
    what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return AssertionError(f"law {letter} is broken: {statement}\n  {case}\n  {what}")
