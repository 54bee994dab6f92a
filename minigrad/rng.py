"""Where randomness comes from: an explicit generator, or the library's own."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np

from .errors import ArgumentError
from .mode import refuse_in_step

Seed: TypeAlias = "np.random.Generator | int | None"
"""What an argument called `generator` may be."""


@cache
def _default() -> np.random.Generator:
    """Made when it is asked for: numpy.random takes 8 ms to import."""
    return np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the library's default generator from `seed`, and return it.

    The generator is restarted in place, so whoever holds it sees the new stream.
    Raises ArgumentError unless seed is an int >= 0.

    >>> a = manual_seed(0).random()
    >>> a == manual_seed(0).random()
    True
    """
    _default().bit_generator.state = _seeded(seed).bit_generator.state
    return _default()


def generator(g: Seed = None) -> np.random.Generator:
    """Resolve what a `generator` argument may be to a numpy Generator.

    A Generator is returned as it is; an int >= 0 seeds a new one; None means the
    library's default generator, which `manual_seed` restarts. Anything else raises
    ArgumentError.

    >>> generator(7).random() == generator(7).random()
    True
    """
    refuse_in_step("a random number", "draw all of them before, and scan over them")
    if g is None:
        return _default()
    return g if isinstance(g, np.random.Generator) else _seeded(g)


def _seeded(seed: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(
            f"expected a numpy.random.Generator or an int seed >= 0, got {seed!r}; "
            "make one with numpy.random.default_rng(seed)"
        )
    return np.random.default_rng(seed)
