"""Named internals: what the equations give a name to, per step and differentiable."""

import cProfile
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, ShapeError
from seq import CELLS, cell

T, B, SIZE, HIDDEN = 5, 3, 4, 6
LENGTHS = [2, 5, 0]
LIVE = np.arange(T)[:, None] < np.array(LENGTHS)


def draw(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a.detach(), b.detach()))


def close(a: mg.Tensor, b: mg.Tensor) -> bool:
    return relative_error(a.detach(), b.detach()) <= FLOAT64_RTOL


def make(name: str | seq.Cell = "lstm", **options: Any) -> seq.Recurrent:
    plain = {"num_layers": 2, "bidirectional": True, "generator": 1}
    chosen = CELLS[name] if isinstance(name, str) else name
    arguments = {**plain, "dtype": mg.float64, **options}
    return seq.Recurrent(chosen, SIZE, HIDDEN, **arguments)


def one(name: str | seq.Cell = "lstm", **options: Any) -> seq.Recurrent:
    return make(name, num_layers=1, bidirectional=False, **options)


# -- what they are ---------------------------------------------------------------------


def test_the_equations_hold_of_the_internals() -> None:
    x, hx = draw(T, B, SIZE), (draw(4, B, HIDDEN), draw(4, B, HIDDEN, seed=2))
    output, (h_n, c_n), found = make()(x, hx, return_internals=("o", "c", "h"))
    assert list(found) == ["o", "c", "h"]
    assert all(value.shape == (4, T, B, HIDDEN) for value in found.values())
    o, c, h = found.values()
    assert close(h, mg.sigmoid(o) * mg.tanh(c))
    assert same(mg.cat([h[2], h[3]], -1), output)
    for state, last in ((h, h_n), (c, c_n)):
        ends = mg.stack([state[0, -1], state[1, 0], state[2, -1], state[3, 0]])
        assert same(ends, last)


def test_they_do_not_change_what_the_layer_returns() -> None:
    layer, x = make(), draw(T, B, SIZE)
    output, (h, c) = layer(x, lengths=LENGTHS)
    for names in ((), ("i",), ["i", "f"]):
        watched, (h_n, c_n), found = layer(x, lengths=LENGTHS, return_internals=names)
        assert list(found) == list(names)
        assert same(watched, output) and same(h_n, h) and same(c_n, c)


def test_a_gru_is_the_mean_that_z_says() -> None:
    layer, x, h_0 = one("gru"), draw(T, B, SIZE), draw(1, B, HIDDEN, seed=2)
    output, _, found = layer(x, h_0, return_internals=("z", "n", "h", "x"))
    z, n, h, seen = (value[0] for value in found.values())
    assert close(output, (1 - z) * n + z * h)
    # The equations give h no new value: it is the state that came in.
    assert same(h, mg.cat([h_0, output[:-1]]))
    assert same(seen, x)


def test_a_name_that_is_used_twice_has_its_last_value() -> None:
    layer, x = one("lstm_peephole"), draw(T, B, SIZE)
    output, _, found = layer(x, return_internals=("o", "c"))
    o, c = found["o"][0], found["c"][0]
    assert np.all((o.detach().numpy() > 0) & (o.detach().numpy() < 1))
    assert close(output, o * mg.tanh(c))


@cell
def exposed(
    x: "I", h: "H", c: "H", *, w_ih: "4H I", w_hh: "4H H", b_ih: "4H", b_hh: "4H"
):
    """The LSTM, with its gates in its output."""
    gates = x @ w_ih.T + b_ih + h @ w_hh.T + b_hh
    i, f, g, o = mg.chunk(gates, 4, -1)
    c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
    h = mg.sigmoid(o) * mg.tanh(c)
    return mg.cat([h, gates], -1), h, c


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_values_and_gradients_are_those_of_a_cell_that_gives_them_out(
    lengths: list[int] | None,
) -> None:
    layer = make(num_layers=1)
    twin = make(exposed, num_layers=1)
    twin.load_state_dict(layer.state_dict())
    x, y = draw(T, B, SIZE).requires_grad_(), draw(T, B, SIZE).requires_grad_()
    _, _, found = layer(x, lengths=lengths, return_internals=("i", "f", "g", "o"))
    output, _ = twin(y, lengths=lengths)
    halves = [mg.chunk(half[..., HIDDEN:], 4, -1) for half in output.chunk(2, -1)]
    expected = [mg.stack(list(pair)) for pair in zip(*halves, strict=True)]
    assert all(map(same, found.values(), expected))
    cotangents = [draw(2, T, B, HIDDEN, seed=seed) for seed in range(4)]
    ours = mg.grad(list(found.values()), (x, *layer.parameters()), cotangents)
    theirs = mg.grad(expected, (y, *twin.parameters()), cotangents)
    assert all(close(a, b) for a, b in zip(ours, theirs, strict=True))
    if lengths is not None:
        assert np.all(ours[0].numpy()[~LIVE] == 0)


def test_their_gradient_is_that_of_finite_differences() -> None:
    layer = make("mgu", num_layers=1)

    def run(x: mg.Tensor) -> mg.Tensor:
        return layer(x, lengths=[1, 3], return_internals=("f",))[2]["f"]

    x = draw(3, 2, SIZE).requires_grad_()
    assert mg.gradcheck(run, (x,))
    assert mg.gradgradcheck(run, (x,))


# -- where they lie --------------------------------------------------------------------


def test_they_are_zero_beyond_a_length() -> None:
    x = mg.where(LIVE[..., None], draw(T, B, SIZE), np.nan)
    found = make()(x, lengths=LENGTHS, return_internals=("f",))[2]["f"]
    values = found.detach().numpy()
    assert np.all(values[:, ~LIVE] == 0)
    assert np.all(values[:, LIVE] != 0)


def test_they_lie_as_data_of_each_step_do_whatever_the_layout() -> None:
    layer, first = make(), make(batch_first=True)
    x, names = draw(T, B, SIZE), ("f", "c")
    found = layer(x, return_internals=names)[2]
    turned = first(x.transpose(0, 1), return_internals=names)[2]
    bare = layer(x[:, 0], return_internals=names)[2]
    for name in names:
        assert same(turned[name], found[name])
        assert bare[name].shape == (4, T, HIDDEN)
        assert close(bare[name], found[name][:, :, 0])


def test_data_come_out_as_they_went_in() -> None:
    keep = draw(4, T, B, HIDDEN, seed=3)
    x = draw(T, B, SIZE)
    found = make("gru_zoneout")(x, keep_h=keep, return_internals=("keep_h",))[2]
    assert same(found["keep_h"], keep)


def test_a_single_step_has_them_too() -> None:
    module = seq.RecurrentCell(CELLS["lstm"], SIZE, HIDDEN, dtype=mg.float64)
    x = draw(B, SIZE)
    h, (_, c), found = module(x, return_internals=("o", "c"))
    assert found["o"].shape == (B, HIDDEN)
    assert close(h, mg.sigmoid(found["o"]) * mg.tanh(c))
    assert same(found["c"], c)
    bare = module(x[0], return_internals=("o",))[2]["o"]
    assert bare.shape == (HIDDEN,)
    assert close(bare, found["o"][0])
    output, _, found = module(x, return_internals=())
    assert same(output, h) and found == {}


# -- cells that others write -----------------------------------------------------------


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


SOURCE = """
def typed(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H"):
    a = x @ w_ih.T

    def squash(a):
        return mg.tanh(a + outer)

    outer = h @ w_hh.T
    return squash(a)
"""


@pytest.mark.parametrize(
    "decorate", [lambda fn: fn, logged, lambda f: logged(logged(f))]
)
def test_neither_source_text_nor_a_plain_function_is_needed(decorate: Any) -> None:
    scope: dict[str, Any] = {"mg": mg}
    exec(SOURCE, scope)
    layer = one(cell(decorate(scope["typed"])))
    output, _, found = layer(draw(T, B, SIZE), return_internals=("a", "outer"))
    # `a` is the cell's, not that of the function inside it.
    assert close(output, mg.tanh(found["a"][0] + found["outer"][0]))


@cell
def counted(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H"):
    """Its names stand for all sorts of things."""
    w_h, n = w_hh.T, 3
    wide = mg.cat([h, x], -1)
    if len(x) > 100:
        many = wide
        wide = many / len(x)
    h, x = wide[:, : h.shape[1]], wide[:, h.shape[1] :]
    return mg.tanh(x @ w_ih.T + h @ w_h) ** n


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        (
            ("f", "q"),
            ArgumentError,
            "'counted' has no 'f', 'q' in its equations; return_internals may name "
            "x, h, w_h, n, wide, many$",
        ),
        (("w_ih",), ArgumentError, "has no 'w_ih' in"),
        ("wide", ArgumentError, r"must be a tuple of names.*got 'wide'"),
        ({"wide"}, ArgumentError, "must be a tuple of names"),
        (3, ArgumentError, "must be a tuple of names.*got 3"),
        (("n",), ArgumentError, "layer 0, forward direction: .*'n' is 3, which"),
        (("w_h",), ArgumentError, r"'w_h' is float64\(6, 6\), .* the 3 examples"),
        (("many",), ArgumentError, "'many' has no value at the end of this step"),
        (("wide",), ShapeError, r"can't stack 'wide'.*\(5, 3, 10\).*\(5, 3, 18\)"),
    ],
)
def test_what_cannot_be_returned_is_named(
    names: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match="^Recurrent: .*" + match):
        make(counted)(draw(T, B, SIZE), return_internals=names)


# -- the profiler's hook ---------------------------------------------------------------


def test_nothing_is_hooked_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(hook: Any) -> None:
        raise AssertionError("hooked")

    monkeypatch.setattr(sys, "setprofile", refuse)
    layer = one()
    with mg.eager_loops():
        layer(draw(T, B, SIZE))
        layer(draw(T, B, SIZE), return_internals=())
    with mg.eager_loops(), pytest.raises(AssertionError, match="hooked"):
        layer(draw(T, B, SIZE), return_internals=("i",))


def test_another_profiler_gets_its_hook_back() -> None:
    def hook(*_: Any) -> None:
        pass

    layer, x = one(counted), draw(T, B, SIZE)
    before = sys.getprofile()
    sys.setprofile(hook)
    try:
        layer(x, return_internals=("wide",))
        assert sys.getprofile() is hook
        with pytest.raises(ArgumentError):
            layer(x, return_internals=("n",))
        assert sys.getprofile() is hook
    finally:
        sys.setprofile(before)


def test_it_runs_under_cprofile() -> None:
    layer, x = one(), draw(T, B, SIZE)
    profile = cProfile.Profile()
    found = profile.runcall(layer, x, return_internals=("i",))[2]
    assert same(found["i"], layer(x, return_internals=("i",))[2]["i"])
    assert sys.getprofile() is None

    def later() -> None:
        pass

    with mg.eager_loops(), cProfile.Profile() as profile:
        layer(x, return_internals=("i",))
        later()
    assert later.__code__ in [entry.code for entry in profile.getstats()]
