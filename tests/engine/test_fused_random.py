"""Random steps: the fused loop, and each rung below it, is the loop of single ops."""

from contextlib import nullcontext

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, note, settings

import minigrad as mg
from conformance.policy import (
    EXACT,
    FLOAT64_RTOL,
    SEEDS,
    exact_error,
    float32_limit,
    relative_error,
)
from minigrad import _backend, _loop_py, _routine_py
from minigrad.fused import call
from minigrad.fused.call import plan_of
from minigrad.fused.lift import Lifted
from minigrad.fused.passes import PASSES, without
from minigrad.fused.plan import Cache

from .fused_steps import (
    arrays_of,
    pull,
    random_recipe,
    recipes,
    run,
    step_of,
    together,
)

batches = st.sampled_from([1, 2, 3, 5])
durations = st.sampled_from([1, 2, 6])
seeds = st.integers(0, 1000)


def lengths_of(kind, n_steps, batch, seed):
    """What lengths a kind stands for."""
    rng = np.random.default_rng(seed)
    return {
        "none": None,
        "full": np.full(batch, n_steps),
        "ragged": rng.integers(0, n_steps + 1, batch),
        "empty": np.zeros(batch, int),
    }[kind]


def close(found, expected):
    return relative_error(together(found), together(expected)) <= FLOAT64_RTOL


def traced(recipe, arrays):
    """What scan makes of the step, or finds again."""
    carries, xs, w = arrays
    step = step_of(recipe, {k: mg.tensor(a) for k, a in w.items()})
    carry, xs = tuple(map(mg.tensor, carries)), tuple(map(mg.tensor, xs))
    return plan_of(Lifted(step), carry, xs, False)


# -- the fused loop and the loop of single ops -----------------------------------------


@settings(max_examples=300)
@given(
    recipe=recipes(),
    n_steps=durations,
    batch=batches,
    kind=st.sampled_from(["none", "none", "ragged", "full", "empty"]),
    reverse=st.booleans(),
    seed=seeds,
    some=st.lists(st.booleans(), min_size=16, max_size=16),
)
def test_values_and_gradients(recipe, n_steps, batch, kind, reverse, seed, some):
    arrays = arrays_of(recipe, n_steps, batch, seed)
    assert traced(recipe, arrays).reason is None
    lengths = lengths_of(kind, n_steps, batch, seed)
    note(f"{lengths=}")
    n_leaves = sum(map(len, arrays))
    for wanted, present in ((None, None), (some[:n_leaves], some[:-7:-1])):
        results = []
        for loops in (nullcontext, mg.eager_loops):
            outputs, leaves = run(
                recipe,
                arrays,
                loops=loops,
                wanted=wanted,
                lengths=lengths,
                reverse=reverse,
            )
            flags = present and present[: len(outputs)]
            results.append((outputs, pull(outputs, leaves, flags)))
        (ys, slopes), (expected, slopes_expected) = results
        assert [y.shape for y in ys] == [y.shape for y in expected]
        assert [y.dtype for y in ys] == [y.dtype for y in expected]
        assert close(ys, expected)
        assert close(slopes, slopes_expected)


@settings(max_examples=60)
@given(
    recipe=recipes(6),
    kind=st.sampled_from(["none", "ragged"]),
    reverse=st.booleans(),
    seed=seeds,
    some=st.lists(st.booleans(), min_size=16, max_size=16),
)
def test_second_derivatives(recipe, kind, reverse, seed, some):
    arrays = arrays_of(recipe, 3, 2, seed)
    lengths = lengths_of(kind, 3, 2, seed)
    for wanted in (None, some[: sum(map(len, arrays))]):
        results = []
        for loops in (nullcontext, mg.eager_loops):
            outputs, leaves = run(
                recipe,
                arrays,
                loops=loops,
                wanted=wanted,
                lengths=lengths,
                reverse=reverse,
            )
            slopes = pull(outputs, leaves, create_graph=True)
            results.append((slopes, pull(slopes, leaves, seed=2)))
        (slopes, bends), (slopes_expected, bends_expected) = results
        assert close(slopes, slopes_expected)
        assert close(bends, bends_expected)


# -- the rungs between -----------------------------------------------------------------


@settings(max_examples=60)
@given(recipe=recipes(), seed=seeds)
def test_the_program_of_a_step_is_the_step(recipe, seed):
    plan = traced(recipe, arrays_of(recipe, 1, 2))
    carries, xs, w = arrays_of(recipe, 1, 2, seed)
    named = {k: mg.tensor(a) for k, a in w.items()}
    step = step_of(recipe, named)
    new, ys = step(tuple(map(mg.tensor, carries)), tuple(mg.tensor(x[0]) for x in xs))
    values = [*carries, *(x[0] for x in xs)]
    values += [t.numpy() for t in (*Lifted(step).tensors, *plan.traced.captured)]
    found = plan.traced.program.run(*values)
    merged = plan.program.run(*values)
    for y, same, alike in zip((*new, *ys), found, merged, strict=True):
        assert exact_error(same, y) == EXACT
        assert relative_error(alike, y) <= FLOAT64_RTOL


@settings(max_examples=60)
@given(
    recipe=recipes(),
    n_steps=durations,
    batch=batches,
    kind=st.sampled_from(["none", "ragged"]),
    reverse=st.booleans(),
    seed=seeds,
)
def test_the_plain_machine_runs_the_same_code(
    recipe, n_steps, batch, kind, reverse, seed
):
    arrays = arrays_of(recipe, n_steps, batch, seed)
    lengths = lengths_of(kind, n_steps, batch, seed)
    results = []
    compiled = _backend.loop, _backend.routine
    for loop, routine in (compiled, (_loop_py, _routine_py)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_backend, "loop", loop)
            patch.setattr(_backend, "routine", routine)
            patch.setattr(call, "plans", Cache())
            outputs, leaves = run(recipe, arrays, lengths=lengths, reverse=reverse)
            results.append((outputs, pull(outputs, leaves)))
    (ys, slopes), (expected, slopes_expected) = results
    assert close(ys, expected)
    assert close(slopes, slopes_expected)


# -- float32 ---------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", range(6))
def test_float32_errs_as_the_policy_says(recipe):
    """The loop of single ops, in float32, stands in for PyTorch: it has no such op."""
    recipe = random_recipe(recipe)
    worst = {"eager": [0.0, 0.0], "fused": [0.0, 0.0]}
    for seed in range(SEEDS):
        carries, xs, w = arrays_of(recipe, 3, 4, seed)
        rounded = [
            [a.astype(np.float32) if a.dtype.kind == "f" else a for a in part]
            for part in (carries, xs, w.values())
        ]
        arrays = (*rounded[:2], dict(zip(w, rounded[2], strict=True)))
        exact = found_by(recipe, arrays, mg.eager_loops, np.float64)
        for name, loops in (("eager", mg.eager_loops), ("fused", nullcontext)):
            found = found_by(recipe, arrays, loops, np.float32)
            errors = [relative_error(*pair) for pair in zip(found, exact, strict=True)]
            worst[name] = [max(*p) for p in zip(worst[name], errors, strict=True)]
    for error, reference in zip(worst["fused"], worst["eager"], strict=True):
        assert error <= float32_limit(reference)


def found_by(recipe, arrays, loops, dtype):
    outputs, leaves = run(recipe, arrays, loops=loops, dtype=dtype)
    assert {y.dtype for y in outputs} == {np.dtype(dtype)}
    return together(outputs), together(pull(outputs, leaves))


# -- passes ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "ragged"])
@pytest.mark.parametrize("off", [*((p,) for p in PASSES), PASSES], ids="+".join)
@pytest.mark.parametrize("number", range(12))
def test_a_pass_that_is_left_out_changes_nothing(number, off, kind):
    recipe = random_recipe(number)
    arrays = arrays_of(recipe, 4, 3, number)
    results = []
    for left_out in ((), off):
        with without(*left_out):
            assert traced(recipe, arrays).reason is None
            lengths = lengths_of(kind, 4, 3, number)
            outputs, leaves = run(recipe, arrays, lengths=lengths)
            slopes = pull(outputs, leaves, create_graph=True)
            plain = pull(*run(recipe, arrays, lengths=lengths))
            results.append((outputs, slopes, plain, pull(slopes, leaves, seed=2)))
    assert all(close(found, expected) for found, expected in zip(*results, strict=True))
