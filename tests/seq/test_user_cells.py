"""Cells that a user writes: they get everything that the built-in ones get."""

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from seq import cell


def draw(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def same(a: mg.Tensor, b: mg.Tensor) -> bool:
    return bool(np.array_equal(a.detach(), b.detach()))


def identity(*shape: int, dtype: type) -> np.ndarray:
    return np.eye(*shape, dtype=dtype)


@cell
def norm_rnn(
    x: "I",
    h: "H",
    *,
    w_ih: "H I",
    w_hh: "H H" = identity,
    b_h: "H",
    gain: "H" = mg.ones,
    decay: "H" = 0.5,
):
    """Normalise h, then let it decay; its output is wider than its state."""
    h = h - h.mean(-1, keepdim=True)
    h = decay * h + mg.tanh(gain * (h @ w_hh.T) + x @ w_ih.T + b_h)
    return mg.cat([h, x], -1), h


@cell
def zoneout(x: "I", h: "H", *, w_ih: "H I", w_hh: "H H", keep: "T B H", scale: "B H"):
    """A recurrent net, some of whose states stay as they are at some steps."""
    return mg.where(keep, h, mg.tanh(x @ w_ih.T + scale * (h @ w_hh.T)))


@cell
def total(x: "I", h: "I"):
    """The sum so far: no parameter at all."""
    return h + x


@cell
def memory(x: "I", h: "H", m: "H I", *, w_v: "H I"):
    """A state that is a matrix: outer products, added up."""
    v = x @ w_v.T
    m = m + v.unsqueeze(-1) * x.unsqueeze(-2)
    return (m @ x.unsqueeze(-1)).squeeze(-1), m


def make(c: seq.Cell, num_layers: int = 2, **kwargs: object) -> seq.Recurrent:
    return seq.Recurrent(
        c, 3, 4, num_layers, bidirectional=True, dtype=mg.float64, generator=1, **kwargs
    )


def test_parameters_are_named_and_initialised_by_the_signature() -> None:
    state = make(norm_rnn).state_dict()
    first = ["weight_ih_l0", "weight_hh_l0", "bias_h_l0", "gain_l0", "decay_l0"]
    assert list(state)[:6] == [*first, "weight_ih_l0_reverse"]
    assert len(state) == 20
    assert state["weight_ih_l1"].shape == (4, 14)
    assert same(state["weight_hh_l1_reverse"], mg.eye(4, dtype=mg.float64))
    assert same(state["gain_l0"], mg.ones(4, dtype=mg.float64))
    assert same(state["decay_l1"], 0.5 * mg.ones(4, dtype=mg.float64))
    assert 0 < abs(state["bias_h_l0"].numpy()).max() <= 0.5
    assert "bias_h_l0" not in make(norm_rnn, bias=False).state_dict()


def test_it_stacks_in_both_directions_with_lengths_and_gradients() -> None:
    layer = make(norm_rnn)
    x, h_0 = draw(5, 3, 3), draw(4, 3, 4, seed=2)
    output, h_n = layer(x, h_0, lengths=[5, 0, 2])
    assert output.shape == (5, 3, 36)
    assert h_n.shape == (4, 3, 4)
    assert same(h_n[:, 1], h_0[:, 1])
    alone, h_alone = layer(x[:2, 2], h_0[:, 2])
    assert relative_error(output[:2, 2].detach(), alone.detach()) <= FLOAT64_RTOL
    assert relative_error(h_n[:, 2].detach(), h_alone.detach()) <= FLOAT64_RTOL
    parameters = tuple(layer.parameters())
    grads = mg.grad((output * output).sum() + h_n.sum(), parameters)
    assert all(np.any(g.numpy()) for g in grads)


def test_its_gradient_is_that_of_finite_differences() -> None:
    layer = seq.Recurrent(norm_rnn, 2, 3, bidirectional=True, dtype=mg.float64)
    x, h_0 = draw(3, 2, 2), draw(2, 2, 3, seed=2)

    def run(x: mg.Tensor, h: mg.Tensor) -> mg.Tensor:
        return layer(x, h, lengths=[1, 3])[0]

    inputs = (x.requires_grad_(), h_0.requires_grad_())
    assert mg.gradcheck(run, inputs)
    assert mg.gradgradcheck(run, inputs)


def test_it_takes_one_step_as_a_module() -> None:
    module = seq.RecurrentCell(norm_rnn, 3, 4)
    assert repr(module) == "RecurrentCell(norm_rnn, 3, 4)"
    output, h = module(mg.ones(2, 3))
    assert (output.shape, h.shape) == ((2, 7), (2, 4))
    output, h = module(mg.ones(3), mg.ones(4))
    assert (output.shape, h.shape) == ((7,), (4,))


def test_the_zeros_that_a_cell_begins_with_are_a_call_s_own() -> None:
    """What is done to a state that was passed on unchanged concerns no other module."""

    @cell
    def keeps(x: "I", h: "H", m: "H", *, w_ih: "H I"):
        return mg.tanh(x @ w_ih.T + h), m

    module = seq.RecurrentCell(keeps, 3, 4).requires_grad_(False)
    _, (_, m) = module(mg.ones(2, 3))
    m.requires_grad_()
    for other in (module, seq.RecurrentCell(keeps, 3, 4).requires_grad_(False)):
        _, (_, m) = other(mg.ones(2, 3))
        assert not m.requires_grad


def test_data_per_step_and_per_call_reach_the_step_of_each_direction() -> None:
    layer = make(zoneout, num_layers=1)
    x, h_0 = draw(4, 2, 3), draw(2, 2, 4, seed=2)
    scale = draw(2, 2, 4, seed=3)
    keep = np.zeros((2, 4, 2, 4), bool)
    keep[:, 1] = True
    output, h_n = layer(x, h_0, keep=keep, scale=scale)
    ahead, back = output.chunk(2, -1)
    assert same(ahead[1], ahead[0])
    assert not same(ahead[2], ahead[1])
    assert same(back[1], back[2])
    assert same(h_n, mg.stack([ahead[-1], back[0]]))
    # What the mask skips might as well not be there.
    rest = [0, 2, 3]
    short, _ = layer(x[rest], h_0, keep=keep[:, rest], scale=scale)
    assert same(short, output[rest])


def test_data_without_a_batch_or_a_time_axis() -> None:
    layer = make(zoneout)
    keep, scale = draw(4, 5, 2, 4) > 0, draw(4, 2, 4, seed=3)
    x = draw(5, 2, 3)
    both, _ = layer(x, keep=keep, scale=scale)
    alone, _ = layer(x[:, :1], keep=keep[:, :, :1], scale=scale[:, :1])
    bare, _ = layer(x[:, 0], keep=keep[:, :, 0], scale=scale[:, 0])
    assert same(bare, alone[:, 0])
    assert relative_error(bare.detach(), both[:, 0].detach()) <= FLOAT64_RTOL
    one = seq.RecurrentCell(zoneout, 3, 4, dtype=mg.float64)
    one.load_state_dict({k: getattr(layer, k + "_l0") for k in one.state_dict()})
    step, _ = one(x[0], keep=keep[0, 0], scale=scale[0])
    first, _ = layer(x[:1], keep=keep[:, :1], scale=scale)
    assert step.shape == (2, 4)
    assert first.shape == (1, 2, 8)
    bare, _ = one(x[0, 0], keep=keep[0, 0, 0], scale=scale[0, 0])
    assert bare.shape == (4,)


def test_a_gradient_flows_to_data() -> None:
    scale = draw(4, 2, 4, seed=3).requires_grad_()
    keep = np.zeros((4, 5, 2, 4), bool)
    output, _ = make(zoneout)(draw(5, 2, 3), keep=keep, scale=scale)
    output.sum().backward()
    assert scale.grad is not None
    assert np.all(scale.grad.numpy())


def test_a_cell_without_parameters_takes_any_dtype() -> None:
    for x in (draw(4, 2, 3), draw(4, 2, 3).float()):
        output, h_n = seq.Recurrent(total, 3, 1)(x)
        assert same(output[-1], h_n[0])
        assert same(h_n[0], x[0] + x[1] + x[2] + x[3])


def test_a_state_may_be_a_matrix() -> None:
    layer = seq.Recurrent(memory, 3, 4)
    output, (h, m) = layer(mg.ones(5, 2, 3))
    assert (output.shape, h.shape, m.shape) == ((5, 2, 4), (1, 2, 4), (1, 2, 4, 3))
    h_0 = (mg.zeros(1, 4), mg.zeros(1, 4, 3))
    output, (h, m) = layer(mg.ones(5, 3), h_0)
    assert (output.shape, h.shape, m.shape) == ((5, 4), (1, 4), (1, 4, 3))


def test_sizes_that_change_along_a_stack_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"'h'.*'I', which is \(3,\).*\(6,\) at _l1"
    ):
        seq.Recurrent(total, 3, 4, num_layers=2, bidirectional=True)
    seq.Recurrent(total, 3, 4, num_layers=2)


def bad_data(**change: object) -> dict[str, object]:
    good = {"keep": np.ones((4, 5, 2, 4), bool), "scale": np.ones((4, 2, 4))}
    return {k: v for k, v in {**good, **change}.items() if v is not None}


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (bad_data(keep=None), ArgumentError, r"takes the data \['keep', 'scale'\]"),
        (bad_data(extra=1), ArgumentError, r"got \['extra', 'keep', 'scale'\]"),
        (
            bad_data(keep=np.ones((4, 5, 2, 3), bool)),
            ShapeError,
            "keep must have",
        ),
        (bad_data(scale=np.ones((2, 4))), ShapeError, r"\(num_layers \* .*, B, H\)"),
        (bad_data(scale=1.0), DTypeError, "scale must be a Tensor or a numpy array"),
        (
            bad_data(scale=np.ones((4, 2, 4), np.float32)),
            DTypeError,
            "is float32",
        ),
    ],
)
def test_bad_data_is_named(
    data: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match="Recurrent: .*" + match):
        make(zoneout)(draw(5, 2, 3), **data)


@cell
def fragile(x: "I", h: "H", *, shift: "B H"):
    """Fails in its equations, for data that only the call brings."""
    return mg.gather(h, 1, shift)


def test_an_error_in_the_equations_names_the_layer_and_the_direction() -> None:
    layer = seq.Recurrent(fragile, 3, 4, num_layers=2, bidirectional=True)
    shift = np.zeros((4, 2, 4), np.int64)
    shift[3] = 9
    with pytest.raises(mg.errors.MinigradError, match=r"layer 1, reverse direction: "):
        layer(mg.ones(5, 2, 3), shift=shift)


@cell
def clash(x: "I", h: "H", *, cell: "H"):
    """A parameter with a name that the module has already."""
    return h * cell


@cell
def misfit(x: "I", h: "H", *, w: "H" = lambda *shape, dtype: np.ones(1, dtype)):
    """An initial value of the wrong shape."""
    return h * w


def test_bad_parameters_are_named() -> None:
    with pytest.raises(ArgumentError, match="parameter 'cell' would be 'cell'"):
        seq.RecurrentCell(clash, 3, 4)
    with pytest.raises(ShapeError, match="'misfit': initial value of 'w': expected"):
        seq.RecurrentCell(misfit, 3, 4)


@cell
def projected_twice(x: "I", h: "P", c: "H", *, w_ih: "4H I", w_hh: "4H P", w_hr: "P H"):
    """A weight that is multiplied with twice; the gate is projected, too."""
    i, f, g, o = mg.chunk(x @ w_ih.T + h @ w_hh.T, 4, -1)
    c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
    return mg.sigmoid(o @ w_hr.T) * mg.tanh(c @ w_hr.T), c


def test_a_sum_that_is_made_in_a_product_is_waited_for_where_it_is_a_part() -> None:
    """Lowering the second derivative never ended: a part's writer was forgotten."""

    def second() -> list[mg.Tensor]:
        cell = projected_twice
        layer = seq.Recurrent(cell, 3, 5, proj_size=2, dtype=mg.float64, generator=0)
        leaves = [mg.Tensor(draw(4, 2, 3), requires_grad=True), *layer.parameters()]
        output, (_, c_n) = layer(leaves[0])
        total = (output**2).sum() + (c_n**2).sum()
        slopes = mg.grad(total, leaves, create_graph=True)
        return list(mg.grad(sum((slope**2).sum() for slope in slopes), leaves))

    fused = second()
    with mg.eager_loops():
        eager = second()
    for a, b in zip(fused, eager, strict=True):
        assert relative_error(a, b) <= FLOAT64_RTOL
