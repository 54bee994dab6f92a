"""What a step must not do, and what becomes of one that can't be fused."""

import inspect
from contextlib import nullcontext

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, GraphError, MinigradError

T, B, N = 4, 3, 2
H, X = mg.randn(B, N, generator=0), mg.randn(T, B, N, generator=1)
ARRAY = np.ones(N, np.float32)
WEIGHT = mg.nn.Parameter(ARRAY * mg.ones(N, 1), requires_grad=False)


# -- values are hidden -----------------------------------------------------------------


def branches(h, x):
    if h.sum() > 0:
        h = h + 1
    return h, x


def prints(h, x):
    h.sum().item()
    return h, x


def as_array(h, x):
    np.asarray(h)
    return h, x


def to_numpy(h, x):
    (h + 1).numpy()
    return h, x


def to_list(h, x):
    x.tolist()
    return h, x


def to_float(h, x):
    float(h.sum())
    return h, x


def random(h, x):
    return h + mg.randn(B, N), x


def dropout(h, x):
    return mg.dropout(h, 0.5), x


def reads_an_array(h, x):
    return h * ARRAY, x


def hooks(h, x):
    y = h * 2
    y.register_hook(lambda g: g)
    return y, x


def asks_for_a_gradient(h, x):
    h = h * 2 if WEIGHT.requires_grad else h
    return h @ WEIGHT, x


def asks_of_the_carry(h, x):
    h = h * 2 if h.requires_grad else h
    return h, x


def reads_a_gradient(h, x):
    g = WEIGHT.grad
    return h * (1 if g is None else 2) @ WEIGHT, x


def assigns(h, x):
    WEIGHT.assign(np.ones((N, N), np.float32))
    return h @ WEIGHT, x


def frozen(h, x):
    with mg.no_grad():
        h = h * 2
    return h, x


LOOKS = {
    branches: "if h.sum() > 0:",
    prints: "h.sum().item()",
    as_array: "np.asarray(h)",
    to_numpy: "(h + 1).numpy()",
    to_list: "x.tolist()",
    to_float: "float(h.sum())",
    random: "return h + mg.randn(B, N), x",
    dropout: "return mg.dropout(h, 0.5), x",
    reads_an_array: "return h * ARRAY, x",
    hooks: "y.register_hook(lambda g: g)",
    asks_for_a_gradient: "h = h * 2 if WEIGHT.requires_grad else h",
    asks_of_the_carry: "h = h * 2 if h.requires_grad else h",
    reads_a_gradient: "g = WEIGHT.grad",
    assigns: "WEIGHT.assign(np.ones((N, N), np.float32))",
    frozen: None,
}
steps = pytest.mark.parametrize("step", LOOKS, ids=lambda f: f.__name__)


@steps
def test_the_error_names_the_line_that_looked(step):
    with pytest.raises(GraphError) as caught:
        mg.scan(step, H, X)
    if LOOKS[step] is not None:
        source, first = inspect.getsourcelines(step)
        (at,) = (i for i, line in enumerate(source) if line.strip() == LOOKS[step])
        assert f"{__file__}:{first + at}: {LOOKS[step]}" in str(caught.value)


@steps
def test_single_ops_may_do_all_this(step):
    with mg.eager_loops():
        mg.scan(step, H.detach().requires_grad_(step is hooks), X)
    with pytest.raises(GraphError):  # what was refused leaves nothing behind
        mg.scan(step, H, X)
    mg.scan(lambda h, x: (h + x, h), H, X)


def test_a_layer_says_in_which_cell_it_was():
    @seq.cell
    def peeks(x: "I", h: "H", *, w: "H I"):  # noqa: F722, F821
        return h * float(x.sum())

    layer = seq.Recurrent(peeks, N, N)
    with pytest.raises(GraphError, match=r"layer 0, forward .*'peeks'.*float\(x.sum"):
        layer(X)


def test_a_step_that_fails_fails_as_it_would_alone():
    def broken(h, x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mg.scan(broken, H, X)
    with pytest.raises(MinigradError, match="matmul"):
        mg.scan(lambda h, x: (h @ x, x), H, X)


# -- rows that are mixed, ops without an opcode ----------------------------------------

MIXERS = {
    "sum": lambda h, x: (h - h.sum(0, True), x),
    "softmax": lambda h, x: (h.softmax(0) + x, x),
    "amax": lambda h, x: (h, x - h.amax(0, True)),
    "mean": lambda h, x: (h * x.mean(), h),
    "flip": lambda h, x: (h.flip(0) + x, x),
    "matmul": lambda h, x: (h @ (h.T @ x), h),
    "cat": lambda h, x: (mg.cat([h[1:], h[:1]], 0), x),
    "cumsum": lambda h, x: (h.cumsum(0) * 0.1, x),
}
NO_OPCODE = {
    "cumsum": lambda h, x: (h.cumsum(1) * 0.1, x),
    "flip": lambda h, x: (h.flip(1) + x, x),
    "gather": lambda h, x: (h[:, [1, 0]] + x, x),
}


def alike(step, **options):
    found = []
    for eager in (False, True):
        h, x = (t.double().detach().requires_grad_() for t in (H, X))
        if eager:
            with mg.eager_loops():
                end, ys = mg.scan(step, h, x, **options)
        else:
            end, ys = mg.scan(step, h, x, **options)
        slopes = mg.grad((end * end).sum() + ys.sum(), [h, x])
        found.append([t.detach() for t in (end, ys, *slopes)])
    return all(
        relative_error(a, b) <= FLOAT64_RTOL for a, b in zip(*found, strict=True)
    )


@pytest.mark.parametrize("step", MIXERS.values(), ids=MIXERS)
def test_a_step_of_ones_own_may_mix_rows(step):
    (found,) = mg.explain(step, H, X)
    assert found.reason is not None
    assert alike(step)


@pytest.mark.parametrize("name", ["sum", "softmax", "amax", "flip", "cumsum"])
def test_explain_names_the_op_that_mixes_them(name):
    (found,) = mg.explain(MIXERS[name], H, X)
    assert name in found.reason
    assert f"not fused, each op runs by itself: {found.reason}" in str(found)


@pytest.mark.parametrize("name", ["sum", "softmax", "amax"])
def test_a_cell_must_keep_rows_apart(name):
    mix = MIXERS[name]

    @seq.cell
    def mixer(x: "I", h: "H"):  # noqa: F821
        return mix(h, x)[0] + mix(h, x)[1]

    layer = seq.Recurrent(mixer, N, N)
    with pytest.raises(ArgumentError, match=rf"layer 0, .*{name}.*rows of the batch"):
        layer(X)


@pytest.mark.parametrize("name", NO_OPCODE)
def test_an_op_without_an_opcode_runs_by_itself(name):
    step = NO_OPCODE[name]
    (found,) = mg.explain(step, H, X)
    assert found.reason is not None and found.forward is None
    assert alike(step)
    assert alike(step, lengths=[2, 4, 0], reverse=True)


@pytest.mark.parametrize(
    ("carry", "xs"),
    [
        (mg.ones(2), mg.ones(3, 2)),
        (mg.ones(2, 3, 4), mg.ones(5, 2, 3, 4)),
        (mg.ones(2, 3, dtype=mg.int64), mg.ones(5, 2, 3, dtype=mg.int64)),
        (mg.ones(0, 3), mg.ones(5, 0, 3)),
    ],
    ids=["vectors", "matrices", "integers", "nobody"],
)
def test_other_shapes_run_by_themselves(carry, xs):
    def step(h, x):
        return h + x, h

    (found,) = mg.explain(step, carry, xs)
    assert found.reason == "a carry must be (B, n) floats, and xs (T, B, n)"
    end, ys = mg.scan(step, carry, xs)
    assert end.shape == carry.shape and ys.shape == xs.shape
    assert np.array_equal(end, carry.numpy() + xs.numpy().sum(0))


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("lengths", [None, [3, 1, 0, 2]], ids=["all", "ragged"])
def test_what_never_changes_may_be_returned(batch, lengths):
    own = mg.randn(batch, N, generator=3).double().requires_grad_()
    h, x = mg.ones(batch, N).double(), mg.ones(T, batch, N).double()
    lengths = lengths and lengths[:batch]
    for step in (lambda h, x: (h + x, own), lambda h, x: (h + x, own * 2)):
        found = []
        for eager in (False, True):
            with mg.eager_loops() if eager else nullcontext():
                _, ys = mg.scan(step, h, x, lengths=lengths)
            found.append([ys, *mg.grad(ys.sum(), [own])])
        assert all(
            np.array_equal(a.detach(), b.detach()) for a, b in zip(*found, strict=True)
        )


def test_what_no_gradient_passes_is_fused():
    (found,) = mg.explain(lambda h, x: ((h.detach() + x).tanh(), h), H, X)
    assert found.reason is None


EINSUMS = {
    "rows first": ("bi,ij->bj", lambda h, w: (h, w)),
    "weight first": ("ji,bi->bj", lambda h, w: (w, h)),
    "with a vector": ("bi,ij,j->bj", lambda h, w: (h, w, w[0])),
    "with rows": ("bi,ij,bj->bj", lambda h, w: (h, w, h)),
}


@pytest.mark.parametrize("equation, operands", EINSUMS.values(), ids=EINSUMS)
def test_einsum_of_rows_is_fused(equation, operands):
    weight = mg.randn(3, 3, dtype=mg.float64, generator=0)

    def step(h, x):
        h = mg.tanh(mg.einsum(equation, *operands(h, weight)) + x)
        return h, h

    carry = mg.randn(2, 3, dtype=mg.float64, generator=1)
    xs = mg.randn(5, 2, 3, dtype=mg.float64, generator=2)
    assert mg.explain(step, carry, xs)[0].reason is None
    fused = mg.scan(step, carry, xs)
    with mg.eager_loops():
        eager = mg.scan(step, carry, xs)
    for a, b in zip(fused, eager, strict=True):
        assert relative_error(a, b) <= FLOAT64_RTOL
