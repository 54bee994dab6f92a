"""Sample inputs, as the op table states them: an op's domain, shapes and kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Shape = tuple[int, ...]
# A string, as numpy.random takes 8 ms to import.
Fill: TypeAlias = (
    "Callable[[np.random.Generator, np.dtype[Any], Shape], np.ndarray[Any, Any]]"
)


# No dataclasses here: they would be a tenth of the time of `import minigrad`.
class Drawn:
    """An array that is drawn anew for each seed and dtype, here or of another shape."""

    def __init__(self, kind: str, shape: Shape, fill: Fill) -> None:
        self.kind, self.shape, self.fill = kind, shape, fill

    def draw(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> Any:
        """The array."""
        return self.fill(rng, dtype, self.shape)

    def __repr__(self) -> str:
        return f"{self.kind}{self.shape}"


class Sample:
    """One call of an op. At a kink, the first gradient is a convention."""

    def __init__(
        self, args: tuple[Any, ...], params: dict[str, Any], kink: bool = False
    ) -> None:
        self.args, self.params, self.kink = args, params, kink

    def make(
        self, rng: np.random.Generator, dtype: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with arrays in place of draws."""
        args = tuple(_realise(a, rng, np.dtype(dtype)) for a in self.args)
        params = {k: _realise(v, rng, np.dtype(dtype)) for k, v in self.params.items()}
        return args, params


class BadSample(Sample):
    """A call that must raise `error`, with `match` in its message."""

    def __init__(
        self,
        args: tuple[Any, ...],
        params: dict[str, Any],
        error: type[Exception],
        match: str,
    ) -> None:
        super().__init__(args, params)
        self.error, self.match = error, match


def floats(*shape: int, low: float = -2.0, high: float = 2.0, at: Any = ()) -> Drawn:
    """Uniform floats in [low, high), with the values `at` planted first."""

    def fill(rng: np.random.Generator, dtype: np.dtype[Any], shape: Shape) -> Any:
        values = np.asarray(rng.uniform(low, high, shape)).astype(dtype)
        values.reshape(-1)[: len(at)] = at
        return values

    return Drawn("floats", shape, fill)


def ints(*shape: int, low: int = 0, high: int = 3) -> Drawn:
    """Uniform int64 in [low, high)."""
    return Drawn(
        "ints", shape, lambda rng, _, shape: np.asarray(rng.integers(low, high, shape))
    )


def bools(*shape: int) -> Drawn:
    """Fair coins."""
    return Drawn(
        "bools", shape, lambda rng, _, shape: np.asarray(rng.random(shape) < 0.5)
    )


def sample(*args: Any, kink: bool = False, **params: Any) -> Sample:
    """A call that the op must get right."""
    return Sample(args, params, kink)


def bad(*args: Any, error: type[Exception], match: str, **params: Any) -> BadSample:
    """A call that the op must refuse."""
    return BadSample(args, params, error, match)


def _realise(value: Any, rng: np.random.Generator, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, Drawn):
        return value.draw(rng, dtype)
    if isinstance(value, list):
        return [_realise(v, rng, dtype) for v in value]
    return value
