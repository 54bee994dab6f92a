"""The logic of measuring, by a clock that only the subjects move."""

import gc
import weakref
from collections.abc import Callable

import pytest

from benchmarks.measure import calibrate, measure, ratio, spread


class Clock:
    """Stands still until somebody works; keeps who worked, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def subject(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes these times, call by call, and the last one for ever after."""
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_subjects_take_turns(clock: Clock) -> None:
    subjects = {name: clock.subject(name, 1.0) for name in "abc"}
    measure(subjects, rounds=3, shortest=1.0, clock=clock)
    assert "".join(clock.log[-9:]) == "abcabcabc"


def test_a_number_is_the_time_of_one_call(clock: Clock) -> None:
    subjects = {"slow": clock.subject("slow", 3.0), "fast": clock.subject("fast", 0.25)}
    times = measure(subjects, rounds=4, shortest=1.0, clock=clock)
    assert times == {"slow": [3.0] * 4, "fast": [0.25] * 4}


def test_rounds_keep_their_order(clock: Clock) -> None:
    drifting = clock.subject("drifting", 9.0, 9.0, 1.0, 2.0, 3.0)  # two to calibrate
    times = measure({"drifting": drifting}, rounds=3, shortest=0.5, clock=clock)
    assert times == {"drifting": [1.0, 2.0, 3.0]}


def test_tick_comes_after_each_round_and_is_not_timed(clock: Clock) -> None:
    times = measure(
        {"a": clock.subject("a", 1.0)},
        rounds=2,
        shortest=1.0,
        clock=clock,
        tick=clock.subject("tick", 50.0),
    )
    assert clock.log[-4:] == ["a", "tick", "a", "tick"]
    assert times == {"a": [1.0, 1.0]}


def test_rest_comes_before_each_turn_and_is_not_timed(clock: Clock) -> None:
    times = measure(
        {name: clock.subject(name, 1.0) for name in "ab"},
        rounds=2,
        shortest=1.0,
        clock=clock,
        rest=clock.subject("rest", 50.0),
    )
    assert clock.log[-8:] == ["rest", "a", "rest", "b"] * 2
    assert times == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_every_turn_starts_after_a_collection_and_warm(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the first of a round would be slower than the others."""
    monkeypatch.setattr(gc, "collect", clock.subject("collect", 50.0))
    subjects = {name: clock.subject(name, 0.6) for name in "ab"}
    times = measure(subjects, rounds=2, shortest=1.0, clock=clock)
    assert clock.log[-16:] == [*["collect", *"aaa"], *["collect", *"bbb"]] * 2
    assert times == {"a": [pytest.approx(0.6)] * 2, "b": [pytest.approx(0.6)] * 2}


@pytest.mark.parametrize("seconds", [1e-7, 3e-4, 0.009, 0.02, 5.0])
def test_a_turn_is_long_enough_and_not_much_longer(
    clock: Clock, seconds: float
) -> None:
    calls = calibrate(clock.subject("a", seconds), 0.02, clock)
    assert calls == 1 or 0.02 <= calls * seconds <= 0.03
    assert calls * seconds >= 0.02


def test_the_first_call_does_not_count(clock: Clock) -> None:
    warming = clock.subject("warming", 100.0, 0.125)
    assert calibrate(warming, 1.0, clock) >= 8


def test_a_clock_too_coarse_for_one_call(clock: Clock) -> None:
    calls = calibrate(clock.subject("a", 0.001), 1.0, lambda: float(int(clock.now)))
    assert calls >= 1000


def test_no_collection_while_timing(clock: Clock) -> None:
    enabled = []
    measure(
        {"a": clock.subject("a", 1.0), "b": lambda: enabled.append(gc.isenabled())},
        rounds=2,
        shortest=0.0,
        clock=clock,
    )
    assert set(enabled) == {False}
    assert gc.isenabled()


def test_what_was_left_before_is_let_go(clock: Clock) -> None:
    """Or each case would keep the arrays of all cases before it."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    try:
        left = weakref.ref(Cycle())
        assert left() is not None
        measure({"a": clock.subject("a", 1.0)}, rounds=2, clock=clock)
        assert left() is None
    finally:
        gc.enable()


def test_collection_is_back_after_an_error(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        measure({"a": lambda: 1 / 0}, clock=clock)
    assert gc.isenabled()


def test_collection_stays_off_if_it_was_off(clock: Clock) -> None:
    gc.disable()
    try:
        measure({"a": clock.subject("a", 1.0)}, rounds=2, clock=clock)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_spread_ignores_the_order_and_an_outlier() -> None:
    assert spread([4.0, 1000.0, 2.0, 3.0, 1.0]) == (2.0, 3.0, 4.0)


def test_ratio_is_taken_within_a_round() -> None:
    # The machine got three times slower on the way, for both.
    assert ratio([2.0, 6.0, 6.0], [1.0, 3.0, 3.0]) == (2.0, 2.0, 2.0)


def test_ratio_needs_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
