"""Timing several subjects beside each other, so that their ratios mean something.

Whatever slows the machine for a while then slows every subject alike: they take turns,
and a ratio is taken within each round before the median is.
"""

import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

Subject = Callable[[], object]
Clock = Callable[[], float]


class Spread(NamedTuple):
    """A median between the first and the third quartile."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The quartiles of at least two values.

    >>> spread([5.0, 1.0, 2.0, 4.0, 3.0])
    Spread(low=2.0, median=3.0, high=4.0)
    """
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(times: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times as long as `others`, round by round.

    >>> ratio([6.0, 8.0], [2.0, 2.0]).median
    3.5
    """
    return spread([a / b for a, b in zip(times, others, strict=True)])


def measure(
    subjects: Mapping[str, Subject],
    *,
    rounds: int = 15,
    shortest: float = 0.02,
    clock: Clock = time.perf_counter,
    tick: Subject = lambda: None,
    rest: Subject = lambda: None,
) -> dict[str, list[float]]:
    """The seconds that one call takes, by subject: one number a round.

    Each subject is called often enough for its turn to last about `shortest` seconds
    or longer, and once before that if it is called more than once; `rest` is called,
    untimed, before each turn and `tick` after each round.
    """
    with _no_collection():
        calls = {name: calibrate(s, shortest, clock) for name, s in subjects.items()}
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(rounds):
            for name, subject in subjects.items():
                rest()
                # Before each turn: it is slower after a collection, for all alike.
                gc.collect()
                if calls[name] > 1:
                    # What others left in the caches must not count.
                    subject()
                elapsed = time_calls(subject, calls[name], clock)
                times[name].append(elapsed / calls[name])
            tick()
    return times


def calibrate(subject: Subject, shortest: float, clock: Clock) -> int:
    """How many calls last `shortest` seconds; the first call, often slower, is free."""
    subject()
    calls = 1
    while (elapsed := time_calls(subject, calls, clock)) < shortest:
        # A little more than needed, as turns vary; a hundred times as many at most, as
        # a short turn is measured badly, or as 0.
        elapsed = max(elapsed, shortest / 100)
        calls = math.ceil(1.1 * calls * shortest / elapsed)
    return calls


def time_calls(subject: Subject, calls: int, clock: Clock) -> float:
    """The seconds that so many calls take."""
    start = clock()
    for _ in itertools.repeat(None, calls):
        subject()
    return clock() - start


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage is collected between the turns only, and not in the middle of one."""
    enabled = gc.isenabled()
    gc.disable()
    # What is there now will stay: a collection then looks at what the turns leave. What
    # the subjects before left in cycles must not: frozen, it would stay for good.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
