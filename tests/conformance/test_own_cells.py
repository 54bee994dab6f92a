"""conformance.check: a cell of one's own."""

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance import check
from conformance.cases import LayerCase
from conformance.checks import layers
from conformance.data import make_data, nudged
from conformance.kinds import KINDS, kind_of_cell
from conformance.own import cells
from minigrad import relu, sigmoid, tanh
from minigrad.errors import ArgumentError
from seq import cell


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    """What is tested here is the way in, not the cases."""
    monkeypatch.setattr(cells, "STRENGTH", 1)


@cell
def leaky(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", b_ih: "H", decay: "H" = 0.9):
    return sigmoid(decay) * h + tanh(x @ w_ih.T + h @ w_hh.T + b_ih)


@cell
def zoneout(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", keep: "T B H", gain: "B H"):
    new = gain * tanh(x @ w_ih.T + h @ w_hh.T)
    return mg.where(keep, h, new)


@cell
def wide(x: "I", h: "H", *, w_ih: "H I"):
    h = relu(0.5 * h + x @ w_ih.T)
    return mg.cat([h, x], -1), h


@cell
def projected(x: "I", h: "P", *, w_ih: "H I", w_hh: "H P", w_hr: "P H"):
    return tanh(x @ w_ih.T + h @ w_hh.T) @ w_hr.T


@cell
def idle(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", extra: "H"):
    return tanh(x @ w_ih.T + h @ w_hh.T)


@cell
def stunned(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H"):
    return tanh(x @ w_ih.T + (h @ w_hh.T).detach())


@cell
def deaf(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H"):
    return tanh(x @ w_ih.T + h.detach() @ w_hh.T)


@cell
def slow(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", tau: "H" = 2.0):
    return h + (tanh(x @ w_ih.T + h @ w_hh.T) - h) / tau


@cell
def stabilised(x: "I", h: "H", c: "H", n: "H", m: "H", *, w_ih: "4H I", w_hh: "4H H"):
    """sLSTM: n has to be positive."""
    i, f, z, o = mg.chunk(x @ w_ih.T + h @ w_hh.T, 4, -1)
    top = mg.maximum(f + m, i)
    i, f = mg.exp(i - top), mg.exp(f + m - top)
    c, n = f * c + i * tanh(z), f * n + i
    return sigmoid(o) * c / n, c, n, top


def coins(rng, shape):
    return rng.random(shape) < 0.5


def test_a_right_cell_is_summed_up_in_a_sentence():
    summary = check(leaky)
    assert summary.checks > 500
    assert summary.float64 <= 1e-12
    assert str(summary).startswith(f"leaky: {summary.checks} checks of")


def test_a_cell_with_data():
    assert check(zoneout, data={"keep": coins}).checks > 500


def test_a_cell_whose_output_is_not_its_state():
    assert check(wide).cell == "wide"


def test_a_cell_with_a_projection():
    assert "projected: " in str(check(projected))


def test_a_cell_with_a_parameter_that_it_does_not_use():
    assert "idle: " in str(check(idle))


def from_one(rng, shape):
    return 1 + rng.random(shape)


def test_a_state_may_be_what_its_author_says(monkeypatch):
    """The cell is right; of a normaliser around 0 it enlarges rounding."""
    monkeypatch.setattr(cells, "STRENGTH", 2)
    case = "stabilised/L3/bi/T7/lengths/h0/dropall/f64"
    with pytest.raises(AssertionError, match=r"So little may be rounding.*data={'tau'"):
        check(stabilised, case=case)
    assert check(stabilised, data={"n": from_one}, case=case).checks > 100


def test_what_is_drawn_is_what_the_layer_is_given():
    draws = {"tau": from_one, "h": lambda _, shape: np.full(shape, 7)}
    kind = kind_of_cell(slow, draws)
    case = LayerCase("slow", layers=2, bidirectional=True, state=True, dtype="float32")
    for data in (make_data(case, kind), layers.other_sizes(case, kind)[-1]):
        taus = [a for n, a in data.parameters.items() if n.startswith("tau_l")]
        assert len(taus) == 4 and all((a >= 1).all() for a in taus)
        assert {a.dtype.name for a in taus} == {"float32"}
        h = data.inputs["h_0"]
        assert h.dtype == np.float32 and (h == 7).all()


def test_a_wrong_cell_is_found_whatever_is_drawn():
    @cell
    def wrong(x: "I", h: "H", *, w_ih: "H I", tau: "H" = 2.0):
        return h + (tanh(x @ w_ih.T) - h) / tau.detach()

    with pytest.raises(AssertionError, match="differences: tau_l0") as raised:
        check(wrong, data={"tau": from_one})
    assert "So little" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "name"), [(slow, "tau"), (slow, "h"), (zoneout, "keep")]
)
def test_an_array_of_another_shape_is_refused(given, name):
    with pytest.raises(
        ArgumentError, match=f"what draws {name}.* of shape \\(\\), not"
    ):
        check(given, data={name: lambda rng, shape: 0.5})


def test_a_parameter_that_gets_no_gradient_is_found_by_differences():
    with pytest.raises(AssertionError, match=r"weight_hh_l0\n.* is detached"):
        check(stunned, case="stunned/L1/T7/f64")


def test_a_cell_that_torch_gets_wrong_too_is_found_by_differences():
    with pytest.raises(AssertionError) as raised:
        check(deaf)
    text = str(raised.value)
    assert "FAILED deaf/L1/T7/f64: differences: " in text
    assert "check(deaf, case='deaf/L1/T7/f64')" in text
    assert "checks of deaf/L1/T7/f64 failed" in text and "is detached" in text


def test_a_cell_may_be_called_as_one_whose_units_may_rest():
    @cell
    def gru(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", b_ih: "H"):
        return tanh(mg.layer_norm(x @ w_ih.T, [b_ih.shape[0]]) + h @ w_hh.T + b_ih)

    assert "gru: " in str(check(gru, case="gru/L1/T7/f32"))


def test_neighbours_of_what_is_run_say_what_pytorch_errs_there(monkeypatch):
    """One error there may be small by luck, and a right layer then fails."""
    asked = []

    def pair(case, seed, kind, subject, neighbour=False):
        asked.append((seed, neighbour))
        right = np.array([1e-3 if neighbour or seed == 0 else 1.0])
        error = 3e-10 if neighbour and seed == 19 else 1e-10
        return {"grad(all)": {"x": right + error}}, {"grad(all)": {"x": right}}

    monkeypatch.setattr("conformance.checks.layers.torch_pair", pair)
    kind = KINDS["gru"]
    cases = [LayerCase("gru"), LayerCase("gru", dtype="float32")]
    found = cells.own_errors(cases, kind, None)
    assert 2.9e-7 < found["grad x"] < 3.1e-7
    assert asked == [(s, near) for near in (False, True) for s in range(20)]


def test_a_neighbour_has_other_roundings_and_the_same_sizes():
    case = LayerCase("gru", ragged=True, state=True, dtype="float32")
    kind = KINDS["gru"]
    data = make_data(case, kind)
    one, again, other = (nudged(case, data, seed) for seed in (0, 0, 1))
    for name in ("x", *data.parameters):
        array, near = data.leaves[name], one.leaves[name]
        assert near.dtype == np.float32
        assert np.array_equal(near, again.leaves[name], equal_nan=True)
        assert np.array_equal(np.isnan(near), np.isnan(array))
        known = ~np.isnan(array)
        assert (near != other.leaves[name])[known].mean() > 0.9
        assert (abs(near / array - 1) < 2.0**-7)[known].all()
    assert np.array_equal(one.inputs["h_0"], data.inputs["h_0"])


def test_a_cell_that_counts_its_calls_is_found():
    calls = []

    @cell
    def counting(x: "I", h: "H", *, w_ih: "H I"):
        calls.append(x)
        return tanh(x @ w_ih.T + 0.5 * h * np.cos(len(calls)).item())

    with pytest.raises(AssertionError, match="counting/L1/T7/f64"):
        check(counting)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((seq.GRU,), "takes what seq.cell makes"),
        ((3,), "takes what seq.cell makes, not 3"),
        (
            (seq.CELLS["mgu"], {"mask": None}),
            "mgu has no data, state or parameter called 'mask'",
        ),
    ],
)
def test_what_is_no_cell_and_no_data_of_it_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        check(*arguments)
