"""A mode that stops at the first non-finite value, and says where it came from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import _backend
from ._backend import Node
from .errors import NonFiniteError, describe
from .mode import caller

Array = np.ndarray[Any, Any]

DETECT = 2
"""Look at values. 1, within a backward pass: only note where ops are called, as a VJP
may well compute what it then masks, and its result counts. 0: neither."""
PLACE: ContextVar[tuple[str, ...]] = ContextVar("place", default=())


@contextlib.contextmanager
def detect_anomaly() -> Iterator[None]:
    """Stop at the first NaN or infinity: `with detect_anomaly():`, or as a decorator.

    In the forward, the error names the op, its arguments' types and the line that
    called it; in a backward pass inside, the op whose VJP it was and the line that
    called the op, if that was inside, too. In a recurrent layer the line is one of the
    cell, and its layer, direction and step come before it. Slow; costs nothing when
    off. It holds for this thread.

    Raises NonFiniteError, at the first op or VJP whose result is not finite.

    >>> import minigrad as mg
    >>> with mg.detect_anomaly():
    ...     mg.tensor([1.0, 0.0]).log()
    Traceback (most recent call last):
    minigrad.errors.NonFiniteError: log(float32(2,)) gave -inf at index [1]; ...
    """
    before = _backend.get_watching()
    _backend.set_watching(DETECT)
    try:
        yield
    finally:
        _backend.set_watching(before)


class within:
    """A context: what runs inside is called in this place, as the errors say.

    >>> import minigrad as mg
    >>> with mg.detect_anomaly(), within("step 3"):
    ...     mg.zeros(1).log()
    Traceback (most recent call last):
    minigrad.errors.NonFiniteError: log(...) gave -inf ...; called at step 3, ...
    """

    __slots__ = ("place", "token")

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        self.token = PLACE.set((*PLACE.get(), self.place))

    def __exit__(self, *_: object) -> None:
        PLACE.reset(self.token)


def watch(op: Any, args: Sequence[Any], values: Sequence[Any], node: Any) -> None:
    """Called with every op that ran, unless the mode is off."""
    where = _caller()
    if node is not None:
        node.where = where
    if _backend.get_watching() != DETECT:
        return
    for value in values:
        found = _first(value)
        if found:
            given = "; an argument was not finite already" * any(map(_first, args))
            raise NonFiniteError(
                f"{_call(op, args)} gave {found}; called at {where}{given}"
            )


def check_vjp(node: Node, name: str, g: Any) -> None:
    """Raise if the cotangent that a VJP of the node gave is not finite."""
    found = _first(g._data)
    if found:
        where = node.where or "a line before detect_anomaly(): enter it earlier"
        raise NonFiniteError(
            f"the VJP of {node.op.name} by {name} gave {found}; the forward, "
            f"{_call(node.op, node.args)}, was called at {where}"
        )


def _first(value: Any) -> str:
    """The first non-finite element, and where it is; "" if there is none."""
    if not isinstance(value, np.ndarray | float):
        return ""
    bad = np.argwhere(~np.isfinite(value))
    if not len(bad):
        return ""
    index = tuple(map(int, bad[0]))
    return f"{np.asarray(value)[index]} at index {list(index)}"


def _call(op: Any, args: Sequence[Any]) -> str:
    return f"{op.name}({', '.join(map(describe, args))})"


def _caller() -> str:
    """The place, and the innermost line outside this package."""
    return ", ".join([*PLACE.get(), caller()])


_backend.set_watcher(watch)
