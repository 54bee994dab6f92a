"""A step is traced once for all steps like it, and again when anything has changed."""

import functools
import threading
import types

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import _backend
from minigrad.fused import call
from minigrad.fused import plan as plans
from minigrad.fused.lift import Lifted
from minigrad.fused.plan import Cache

from .traced_steps import B, N, T, check, draw

pytestmark = pytest.mark.usefixtures("traces")

FACTOR = 2.0
WEIGHT = mg.tensor(np.eye(N) / 2, requires_grad=True)
module = types.ModuleType("constants")
module.FACTOR = 3.0


def helper(x):
    return x * 2.0


def other_helper(x):
    return x * 5.0


# -- the same trace --------------------------------------------------------------------


def weighted(h, x):
    h = (h @ WEIGHT + helper(x)).tanh()
    return h, h * FACTOR


def test_other_values_and_other_sizes_need_no_new_trace(traces):
    for options in (
        {},
        {"seed": 5},
        {"batch": 7},
        {"batch": 1},
        {"n_steps": 1},
        {"n_steps": 30, "batch": 2},
        {"reverse": True},
        {"lengths": [1, 4, 2]},
    ):
        check(weighted, leaves=[WEIGHT], **options)
    assert len(traces) == 1


def test_a_step_that_is_defined_anew_is_the_same_step(traces):
    for seed in range(4):
        w = draw(N, N, seed=seed).requires_grad_()
        check(lambda h, x: ((h @ w + x).tanh(), h), leaves=[w])  # noqa: B023
    assert len(traces) == 1


def test_weights_that_were_assigned_are_read(traces):
    w = mg.nn.Parameter(draw(N, N))

    def step(h, x):
        return (h @ w + x).tanh(), h

    for seed in range(3):
        check(step, leaves=[w])
        w.assign(draw(N, N, seed=seed))
    assert len(traces) == 1


def test_each_closure_gets_its_own_gradients(traces):
    a, b = (draw(N, N, seed=i).requires_grad_() for i in (1, 2))

    def make(w):
        return lambda h, x: ((h @ w + x).tanh(), h)

    for w in (a, b, a):
        check(make(w), leaves=[w])
    assert len(traces) == 1
    x, h = draw(T, B, N), draw(B, N)
    first, _ = mg.scan(make(a), h, x)
    second, _ = mg.scan(make(b), first, x)
    slopes = mg.grad(second.sum(), [a, b])
    with mg.eager_loops():
        expected, _ = mg.scan(make(b), mg.scan(make(a), h, x)[0], x)
        for found, g in zip(slopes, mg.grad(expected.sum(), [a, b]), strict=True):
            assert relative_error(found, g) <= FLOAT64_RTOL


def test_one_tensor_in_two_places_is_not_two_tensors(traces):
    a, b = (draw(N, N, seed=i).requires_grad_() for i in (1, 2))

    def make(v, w):
        return lambda h, x: ((h @ v + x @ w).tanh(), h)

    check(make(a, b), leaves=[a, b])
    check(make(a, a), leaves=[a])
    check(make(b, a), leaves=[a, b])
    assert len(traces) == 2


SHARED = mg.tensor(np.ones(N))


def scaled(h):
    return h * SHARED


def shifted(h):
    return h + SHARED


def scaled_twice(h):
    return scaled(scaled(h))


def scaled_often(h, n=3):
    return scaled_often(h * SHARED, n - 1) if n else h


@pytest.mark.parametrize("other", [shifted, scaled_twice, scaled_often])
def test_a_tensor_that_several_functions_read(other, traces, monkeypatch):
    def step(h, x):
        return (scaled(h) + other(x)).tanh(), h

    for seed in range(3):
        value = draw(N, seed=seed)
        for shared in (value, value.detach().requires_grad_()):
            monkeypatch.setitem(globals(), "SHARED", shared)
            check(step, leaves=[shared] if shared.requires_grad else [])
    assert len(traces) == 1


# -- another trace ---------------------------------------------------------------------


def test_other_types_need_another_trace(traces):
    check(weighted)
    with pytest.raises(mg.errors.DTypeError):
        mg.scan(weighted, mg.zeros(B, N), mg.zeros(T, B, N))

    def step(h, x):
        return h * 0.5 + x, h

    before = len(traces)
    for n in (2, 5):
        check(step, n=n)
    mg.scan(step, mg.zeros(B, 2), mg.zeros(T, B, 2))
    assert len(traces) == before + 3


def closed(h, x, factor):
    def step(h, x):
        return h * 0.5 + x * factor, h

    return step(h, x)


def test_a_number_in_a_closure(traces):
    for factor in (1.0, 2.0, 1.0, 1):
        check(lambda h, x: (h * 0.5 + x * factor, h))  # noqa: B023
    assert len(traces) == 3


def test_a_default_a_partial_and_a_container(traces):
    for factor in (1.0, 2.0):
        check(lambda h, x, factor=factor: (h * 0.5 + x * factor, h))
        check(functools.partial(lambda f, h, x: (h * 0.5 + x * f, h), factor))
        numbers = {"factor": [factor]}
        check(lambda h, x: (h * 0.5 + x * numbers["factor"][0], h))  # noqa: B023
    assert len(traces) == 6


def test_a_container_that_changes_in_its_place(traces):
    numbers = [1.0]

    def step(h, x):
        return h * 0.5 + x * numbers[0], h

    check(step)
    numbers[0] = 7.0
    check(step)
    check(step)
    assert len(traces) == 2


@pytest.mark.parametrize(
    ("names", "name", "value"),
    [
        (globals(), "FACTOR", 3.0),
        (globals(), "helper", other_helper),
        (globals(), "WEIGHT", mg.tensor(np.full((N, N), 0.25))),
    ],
    ids=["number", "function", "tensor"],
)
def test_a_global_that_changes(traces, monkeypatch, names, name, value):
    check(weighted)
    monkeypatch.setitem(names, name, value)
    check(weighted)
    assert len(traces) == (1 if name == "WEIGHT" else 2)


def test_a_constant_of_a_module_that_changes(traces, monkeypatch):
    def step(h, x):
        return h * 0.5 + x * module.FACTOR, h

    check(step)
    check(step)
    assert len(traces) == 1
    monkeypatch.setattr(module, "FACTOR", 9.0)
    check(step)
    assert len(traces) == 2


def test_the_code_of_a_function_that_changes(traces):
    def inner(x):
        return x * 2.0

    def step(h, x):
        return h * 0.5 + inner(x), h

    check(step)
    inner.__code__ = (lambda x: x * 4.0).__code__
    check(step)
    assert len(traces) == 2


# -- no key ----------------------------------------------------------------------------


class Scale:
    """Something that may change unseen."""

    def __init__(self):
        self.factor = 1.0

    def __call__(self, x):
        return x * self.factor


def test_an_opaque_object_is_traced_at_each_call(traces):
    scale = Scale()

    def step(h, x):
        return h * 0.5 + scale(x), h

    (found,) = mg.explain(step, draw(B, N), draw(T, B, N))
    assert found.reason is None and "'scale' is a Scale" in found.uncached
    assert "traced at each call, as 'scale' is a Scale" in str(found)
    before = len(traces)
    for scale.factor in (1.0, 2.0, 3.0):
        check(step)
    assert len(traces) == before + 3


def test_an_opaque_object_may_be_the_key_of_a_dict():
    scale = Scale()
    rates = {scale: 0.5}

    def step(h, x):
        ((key, rate),) = rates.items()
        return h * rate + key(x), h

    for scale.factor in (1.0, 2.0):
        check(step)


def test_weights_of_an_opaque_object_get_gradients():
    layer = mg.nn.Linear(N, N, dtype=mg.float64, generator=0)

    def step(h, x):
        return (layer(h) + x).tanh(), h

    for _ in range(2):
        check(step, leaves=[layer.weight, layer.bias])
        layer.weight.assign(layer.weight * 2)


# -- rows of one's own, and bounds -----------------------------------------------------


def test_a_row_for_each_example_belongs_to_its_batch():
    for batch in (3, 5, 1, 2, 3):
        own = draw(batch, N, seed=batch).requires_grad_()

        def step(h, x, own=own):
            return (h * own + x).tanh(), h

        check(step, batch, leaves=[own])
        check(step, batch, leaves=[own], lengths=np.arange(batch))


def test_a_step_that_one_example_keeps_from_being_fused_is_fused_for_more():
    def step(h, x):
        return (h + x if len(h) > 1 else h - x).tanh(), h

    for batch, fused in ((1, False), (3, True)):
        check(step, batch)
        (found,) = mg.explain(step, draw(batch, N), draw(T, batch, N))
        assert (found.reason is None) == fused


def test_rows_of_another_batch_are_refused():
    own = draw(3, N)
    check(lambda h, x: ((h * own + x).tanh(), h))
    with pytest.raises(mg.errors.ShapeError):
        check(lambda h, x: ((h * own + x).tanh(), h), batch=4)


def test_the_cache_is_bounded(traces, monkeypatch):
    monkeypatch.setattr(plans, "CACHED", 4)

    def times(k):
        return lambda h, x: (h * 0.5 + x * k, h)

    for k in [*range(6)] * 2:
        check(times(k))
    assert len(call.plans._plans) == 4
    assert len(traces) == 12
    for k in (2, 6, 2):  # 6 takes the room of 3, which was used before 2
        check(times(k))
    assert len(traces) == 13


def test_threads_may_look_for_a_plan_at_once():
    failed = []

    def work(seed):
        try:
            for k in range(10):
                check(lambda h, x: (h * 0.5 + x * k, h), seed=seed)  # noqa: B023
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed


def test_another_thread_may_make_room_at_any_time():
    cache, others = Cache(), []

    class Key:
        def __hash__(self):
            if others:
                others.pop()()
            return 0

    def make():
        return types.SimpleNamespace(traced=types.SimpleNamespace(captured=()))

    key = Key()
    plan, _ = cache.find(key, make), cache.find("another", make)
    others += [cache._plans.clear, lambda: None]  # after it was looked for
    assert cache.find(key, pytest.fail) is plan


def test_a_step_is_known_by_the_defaults_of_its_keywords():
    def step(h, x, *, factor=2.0):
        return h * factor + x, h

    lifted = Lifted(step)
    assert lifted.is_current()
    check(step)
    step.__kwdefaults__["factor"] = 3.0
    assert not lifted.is_current()
    check(step)


def test_what_calls_are_alike_by():
    def alike(*fixed, rows=2, n_steps=4, carry=None):
        carries = [mg.ones(rows, N)] if carry is None else [carry]
        return _backend.signature(carries, [mg.ones(n_steps, rows, N)], fixed)

    a, b = mg.ones(N), mg.ones(N)
    known = alike(a, b)
    assert known == alike(a, b) == alike(a, b, n_steps=5) is not None
    others = [alike(b, a), alike(a, a), alike(a), alike(a, b, rows=3)]
    others.append(alike(a, b, carry=mg.ones(2, N, requires_grad=True)))
    others.append(alike(a, b, carry=mg.ones(2, N, dtype=mg.float64)))
    with mg.no_grad():
        others.append(alike(a, b))
    a.requires_grad_()
    others.append(alike(a, b))
    assert known not in others
    assert alike(a, 1.0) is None
    with mg.detect_anomaly():
        assert alike(a, b) is None
