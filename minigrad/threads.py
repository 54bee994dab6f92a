"""How many threads the fused loops and their products use."""

from __future__ import annotations

from . import _backend


def set_num_threads(n: int) -> None:
    """Use at most n threads, an int >= 1, where there is enough to do for them.

    It holds for the whole process. The results are the same to the last bit for any n.
    Raises ArgumentError for what is no such number.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    """
    _backend.loop.set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads: by default, of the cores that this process may use."""
    n: int = _backend.loop.get_num_threads()
    return n
