"""A step is traced anew when what it refers to may have changed, or its batch has."""

import builtins
import functools
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import ArgumentError
from minigrad.fused.lift import Lifted

T, B, N = 4, 3, 2


def draw(*shape, seed=0):
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def check(step, batch, scanned=None):
    """What is scanned gives what the step does, by single ops."""
    xs, h_0 = draw(T, batch, N), draw(batch, N, seed=1)
    found = mg.scan(scanned or step, h_0, xs)[0]
    with mg.eager_loops():
        expected = mg.scan(step, h_0, xs)[0]
    assert relative_error(found, expected) <= FLOAT64_RTOL


HALF, TWICE = 0.5, 2.0
numbers = types.ModuleType("numbers")
numbers.factor = 2.0


def test_a_step_is_looked_at_again_for_all_that_it_refers_to(monkeypatch):
    def step(h, x):
        return h * HALF + abs(x) * TWICE * numbers.factor, h

    def is_current(change):
        lifted = Lifted(step)
        assert lifted.is_current()
        with monkeypatch.context() as patch:
            change(patch)
            return lifted.is_current()

    assert not is_current(lambda m: m.setitem(globals(), "HALF", 1.0))
    assert not is_current(lambda m: m.setitem(globals(), "TWICE", 1.0))
    assert not is_current(lambda m: m.setattr(numbers, "factor", 1.0))
    assert not is_current(lambda m: m.setitem(globals(), "abs", mg.sigmoid))
    assert not is_current(lambda m: m.setattr(builtins, "abs", mg.sigmoid))
    assert is_current(lambda m: m.setattr(numbers, "other", 1.0, raising=False))


def test_so_are_names_that_stand_inside_a_function_of_the_step(monkeypatch):
    def step(h, x):
        def half(y):
            return (lambda z: z * HALF)(y) + numbers.factor

        return half(h) + x, h

    lifted = Lifted(step)
    for change in ("HALF", "factor"):
        with monkeypatch.context() as patch:
            patch.setitem(globals() if change == "HALF" else vars(numbers), change, 9.0)
            assert not lifted.is_current()
    assert lifted.is_current()


def settable(h, factor=2.0, *, other=2.0):
    return h * factor * other


def test_so_is_what_can_be_set_on_a_function(monkeypatch):
    def step(h, x):
        return settable(h) + x, h

    lifted = Lifted(step)
    assert lifted.is_current()
    for name, value in {
        "__code__": (lambda h, factor, *, other: h).__code__,
        "__defaults__": (3.0,),
        "__kwdefaults__": {"other": 3.0},
        "factor": 3.0,
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(settable, name, value, raising=False)
            assert not lifted.is_current()


def test_so_is_what_a_module_does_not_have_yet(monkeypatch):
    def step(h, x):
        try:
            return h * numbers.late, h
        except AttributeError:
            return h, h

    lifted = Lifted(step)
    assert lifted.is_current()
    monkeypatch.setattr(numbers, "late", 3.0, raising=False)
    assert not lifted.is_current()


@pytest.mark.parametrize("value", [[2.0], {2.0}, {"a": 2.0}], ids=str)
def test_what_can_change_in_its_place_is_never_current(value):
    def step(h, x, value=value):
        return h + len(value) * x, h

    assert not Lifted(step).is_current()
    assert not Lifted(lambda h, x: (h + len(value) * x, h)).is_current()
    factor = 2.0
    assert not Lifted(lambda h, x: (h + factor * x, h)).is_current()


class Settings:
    factor = 2.0


def scaled(h):
    return h * scaled.factor


scaled.factor = 2.0
FACTORS = {"factor": 2.0}
look_up = FACTORS.get
frozen = nn.Linear(N, N, bias=False, dtype=mg.float64, generator=0)
frozen.requires_grad_(False)


def by_twice(h):
    return h * TWICE


@functools.wraps(by_twice)
def instead(h):
    return h


def of_module(h, m):
    return h * m.factor


def importing(h):
    import numbers_of_the_test as m

    return h * m.factor


def importing_a_name(h):
    from numbers_of_the_test import factor

    return h * factor


@functools.wraps(mg.softplus)  # which gives it a name of minigrad's
def wrapped(h):
    return h * TWICE


partial = functools.partial(of_module)
partial.factor = 2.0
all_names, evaluate = globals, eval
itself = [2.0]
itself.append(itself)
around = {"factor": 2.0, "me": itself}
itself.append(around)
KEYS = {1: 2.0}


def kind_of_key(h):
    return h * (3.0 if type(next(iter(KEYS))) is bool else 2.0)


def count_up():
    numbers.factor += 1


@pytest.fixture(autouse=True)
def numbers_of_the_test(monkeypatch):
    limit = sys.getrecursionlimit()
    monkeypatch.setitem(sys.modules, "numbers_of_the_test", numbers)
    monkeypatch.setattr(numbers, "factor", 2.0)
    monkeypatch.setitem(globals(), "TWICE", 2.0)
    monkeypatch.setattr(builtins, "abs", abs)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("reads", "change"),
    [
        (lambda h: h * Settings.factor, lambda: setattr(Settings, "factor", 3.0)),
        (scaled, lambda: setattr(scaled, "factor", 3.0)),
        (lambda h: h * look_up("factor"), lambda: FACTORS.update(factor=3.0)),
        (lambda h: frozen(h), lambda: frozen.weight.assign(np.eye(N))),
        (lambda h, m=numbers: h * m.factor, count_up),
        (lambda h: of_module(h, numbers), count_up),
        (lambda h: h * getattr(numbers, "factor"), count_up),  # noqa: B009
        (lambda h: h * vars(numbers)["factor"], count_up),
        (importing, count_up),
        (importing_a_name, count_up),
        (lambda h: h * globals()["TWICE"], lambda: globals().update(TWICE=3.0)),
        (lambda h: h * eval("TWICE"), lambda: globals().update(TWICE=3.0)),
        (lambda h: h * all_names()["TWICE"], lambda: globals().update(TWICE=3.0)),
        (lambda h: h * evaluate("TWICE"), lambda: globals().update(TWICE=3.0)),
        (
            lambda h: h * of_module.__globals__["TWICE"],
            lambda: globals().update(TWICE=3.0),
        ),
        (
            lambda h: h * sys._getframe().f_globals["TWICE"],
            lambda: globals().update(TWICE=3.0),
        ),
        (
            lambda h: h * sys.getrecursionlimit(),
            lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
        ),
        (lambda h: instead.__wrapped__(h), lambda: globals().update(TWICE=3.0)),
        (wrapped, lambda: globals().update(TWICE=3.0)),
        (lambda h: h * partial.factor, lambda: setattr(partial, "factor", 3.0)),
        (lambda h: h * itself[0], lambda: itself.__setitem__(0, 3.0)),
        (lambda h: h * around["factor"], lambda: around.update(factor=3.0)),
        (kind_of_key, lambda: globals().update(KEYS={True: 2.0})),
        (lambda h: abs(h), lambda: setattr(builtins, "abs", mg.exp)),
    ],
    ids=[
        "class",
        "function",
        "method",
        "layer",
        "module",
        "handed-on",
        "getattr",
        "vars",
        "import",
        "from-import",
        "globals",
        "eval",
        "globals-by-another-name",
        "eval-by-another-name",
        "globals-of-a-function",
        "frame",
        "function-of-another-module",
        "wrapped",
        "wraps",
        "partial",
        "list-in-itself",
        "dict-in-a-list-in-itself",
        "kind-of-a-key",
        "builtin",
    ],
)
def test_what_changes_where_it_cannot_be_seen_is_read_at_each_call(reads, change):
    def step(h, x):
        h = reads(h) + x
        return h, h

    xs, h_0 = mg.ones(T, B, N, dtype=mg.float64), mg.ones(B, N, dtype=mg.float64)
    before = mg.scan(step, h_0, xs)[0]
    change()
    found = mg.scan(step, h_0, xs)[0]
    with mg.eager_loops():
        expected = mg.scan(step, h_0, xs)[0]
    assert relative_error(found, expected) <= FLOAT64_RTOL
    assert relative_error(found, before) > FLOAT64_RTOL


@pytest.mark.parametrize("order", [(1, 4, 12, 1, 4), (12, 4, 1, 12), (4, 1, 12, 11)])
def test_a_step_may_ask_how_many_examples_there_are(order):
    def step(h, x):
        h = h + (2 * x if x.shape[0] == 1 else 3 * x if x.shape[0] > 10 else x)
        return h, h

    for batch in order:
        found = mg.scan(step, mg.zeros(batch, N), mg.ones(T, batch, N))[0]
        factor = 2 if batch == 1 else 3 if batch > 10 else 1
        assert found.tolist() == [[T * factor] * N] * batch


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("other", [5, 12])
@pytest.mark.parametrize(
    ("usual", "special"),
    [
        (lambda h, x: h + x, lambda h, x: h - x),
        (lambda h, x: h - x, lambda h, x: x - h),
        (lambda h, x: h * 0.5 + x, lambda h, x: h * 0.25 + x),
        (lambda h, x: h + x, lambda h, x: h + x + x),
        (
            lambda h, x: h + x * mg.tensor(2.0, mg.float64),
            lambda h, x: h + x * mg.tensor(3.0, mg.float64),
        ),
    ],
    ids=["op", "operands", "number", "lines", "constant"],
)
def test_a_step_does_what_it_does_with_so_many_examples(usual, special, other, kept):
    def step(h, x):
        h = special(h, x) if x.shape[0] == other else usual(h, x)
        return h, h

    scanned = Lifted(step) if kept else step
    for batch in (4, 4, 5, 12, 4, 5):
        check(step, batch, scanned)


def test_a_step_may_refuse_a_number_of_examples():
    def step(h, x):
        if x.shape[0] == 4:
            raise ArgumentError("not four")
        return h + x, h

    for batch in (3, 5, 3):
        check(step, batch)
        with pytest.raises(ArgumentError, match="not four"):
            mg.scan(step, draw(4, N), draw(T, 4, N))
