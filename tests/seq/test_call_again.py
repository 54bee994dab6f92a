"""A layer that was called before gives what a new one with its parameters gives."""

import copy
import gc
import pickle
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.fused.plan import INSIDE
from seq import again as calls

T, B, N, H = 4, 2, 3, 5


def draw(n_steps=T, batch=B, dtype=mg.float32, seed=0):
    return mg.randn(n_steps, batch, N, dtype=dtype, generator=seed).requires_grad_()


@pytest.fixture
def again(monkeypatch):
    """How each call of a layer went: whether it was run again without a check."""
    found = []
    call_again = seq.recurrent.call_again

    def counted(*call):
        result = call_again(*call)
        found.append(result is not None)
        return result

    monkeypatch.setattr(seq.recurrent, "call_again", counted)
    return found


def flat(result):
    """The output and the states."""
    output, states = result
    return [output, *(states if isinstance(states, tuple) else (states,))]


def results(layer, x, hx=None, lengths=None):
    """Outputs, states and gradients as arrays."""
    values = flat(layer(x, hx, lengths=lengths))
    states = hx if isinstance(hx, tuple) else (hx,) if isinstance(hx, mg.Tensor) else ()
    leaves = [t for t in (x, *states, *layer.parameters()) if t.requires_grad]
    slopes = mg.grad([v.sum() for v in values], leaves) if leaves else []
    return [v.detach().numpy() for v in (*values, *slopes)]


def fresh(layer):
    """The same layer, of which nothing is known."""
    return copy.deepcopy(layer)


def check(layer, x, again, expected, **more):
    again.clear()
    found = results(layer, x, **more)
    assert again == [expected]
    for a, b in zip(found, results(fresh(layer), x, **more), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


LAYERS = {
    "one": lambda: seq.LSTM(N, H, generator=0),
    "two directions, two layers": lambda: seq.GRU(
        N, H, 2, bidirectional=True, generator=0
    ),
    "no biases": lambda: seq.RNN(N, H, bias=False, generator=0),
    "batch first": lambda: seq.GRU(N, H, batch_first=True, generator=0),
    "dropout off": lambda: seq.RNN(N, H, 2, dropout=0.5, generator=0).eval(),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_second_call_is_the_first_one_again(make, again):
    layer = make()
    check(layer, draw(), again, False)
    check(layer, draw(seed=1), again, True)


def states(layer, batch=B, seed=5):
    """As h_n of the layer is, and with a gradient."""
    places = layer.num_layers * len(layer.directions)
    drawn = [
        mg.randn(places, batch, H, generator=seed + i).requires_grad_()
        for i in range(len(layer.cell.carry))
    ]
    return tuple(drawn) if len(drawn) > 1 else drawn[0]


@pytest.mark.parametrize("lengths", [None, [T, 1], [0, T], [T, T]], ids=str)
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "hx"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_so_it_is_with_states_and_lengths(make, given, lengths, again):
    layer = make()
    for seed in (0, 1):
        hx = states(layer, seed=seed) if given else None
        x = draw(seed=seed)
        if layer.batch_first:
            x = x.detach().permute(1, 0, 2).requires_grad_()
        check(layer, x, again, seed == 1, hx=hx, lengths=lengths)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_sizes_that_are_one_number_are_told_apart(size, again):
    layer = seq.LSTM(size, size, 2, bidirectional=True, generator=0)
    for batch, n_steps in ((size, size), (size + 1, 2 * size)):
        x = mg.randn(n_steps, batch, size, generator=1).requires_grad_()
        lengths = [n_steps, *range(batch - 1)]
        for expected in (False, True):
            check(layer, x, again, expected, lengths=lengths)
        check(layer, x, again, lengths == [n_steps], lengths=[n_steps] * batch)


def test_other_states_and_lengths_are_seen(again):
    layer = LAYERS["two directions, two layers"]()
    calls = [
        {},
        {"hx": states(layer)},
        {"hx": states(layer).detach()},
        {"lengths": [T, 1]},
        {"hx": states(layer), "lengths": [T, 1]},
        {"hx": states(layer).detach().numpy()},
    ]
    for call in calls:
        check(layer, draw(), again, False, **call)
        if not isinstance(call.get("hx"), np.ndarray):
            check(layer, draw(), again, True, **call)
    check(layer, draw(), again, False)
    check(layer, draw(), again, True, lengths=[T, T])


@pytest.mark.parametrize("batch", [1, INSIDE + 1])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_so_it_is_where_nothing_is_recorded(make, batch, again):
    layer = make()
    with mg.no_grad():
        layer(draw(batch=batch))
        found = layer(draw(batch=batch, seed=1))
        expected = fresh(layer)(draw(batch=batch, seed=1))
    assert again == [False, True, False]
    for a, b in zip(flat(found), flat(expected), strict=True):
        assert a.shape == b.shape and np.array_equal(a.numpy(), b.numpy())


def test_all_loops_of_a_layer_are_one_op():
    layer = LAYERS["two directions, two layers"]()
    layer(draw())
    output, h_n = layer(draw())
    assert output._node is h_n._node
    assert all(n is None or n.op is None for n in output._node.parents)


def test_other_numbers_of_examples_run_the_same_op(monkeypatch, again):
    made = []
    whole = calls.Whole
    monkeypatch.setattr(calls, "Whole", lambda *args: made.append(0) or whole(*args))
    layer = LAYERS["two directions, two layers"]()
    for batch in (2, 3, 7, 2):
        layer(draw(batch=batch))
        check(layer, draw(batch=batch), again, True)
    assert len(made) == 1


def test_any_number_of_steps_is_the_same_call(again):
    layer = LAYERS["one"]()
    results(layer, draw())
    for n_steps in (1, 9, T):
        check(layer, draw(n_steps), again, True)


CHANGES = {
    "a batch": lambda layer: draw(batch=3),
    "a frozen parameter": lambda layer: layer.weight_hh_l0.requires_grad_(False),
    "an input without a gradient": lambda layer: draw().detach(),
    "a parameter": lambda layer: setattr(
        layer, "bias_hh_l0", nn.Parameter(np.ones(4 * H, "f4"))
    ),
    "the dtype": lambda layer: [layer.double(), draw(dtype=mg.float64)][1],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_is_seen(change, again):
    layer = LAYERS["one"]()
    for _ in range(2):
        results(layer, draw())
    changed = change(layer)
    x = changed if isinstance(changed, mg.Tensor) and changed.ndim == 3 else draw()
    check(layer, x, again, False)
    check(layer, x, again, True)


def test_new_values_of_a_parameter_are_the_same_call(again):
    layer = LAYERS["one"]()
    for _ in range(2):
        results(layer, draw())
    layer.weight_hh_l0.assign(np.ones((4 * H, H), "f4"))
    check(layer, draw(), again, True)


def test_a_wrong_input_is_refused_as_at_the_first_call(again):
    layer = LAYERS["one"]()
    for _ in range(2):
        results(layer, draw())
    for x in (mg.zeros(T, B, N + 1), mg.zeros(0, B, N), draw(dtype=mg.float64)):
        messages = []
        for one in (layer, fresh(layer)):
            with pytest.raises(mg.errors.MinigradError) as raised:
                one(x)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]
    assert not any(again[2:])


def test_wrong_states_and_lengths_are_refused_as_at_the_first_call(again):
    layer = LAYERS["two directions, two layers"]()
    h = states(layer)
    for _ in range(2):
        results(layer, draw(), h, [T, 1])
    wrong = [
        ((h,), [T, 1]),
        ([h], [T, 1]),
        (h[:3], [T, 1]),
        (h.double(), [T, 1]),
        (h, [T + 1, 1]),
        (h, [T]),
        (h, [0.5, 1.0]),
    ]
    for hx, lengths in wrong:
        messages = []
        for one in (layer, fresh(layer)):
            with pytest.raises(mg.errors.MinigradError) as raised:
                one(draw(), hx, lengths=lengths)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]


def test_dropout_draws_at_each_call(again):
    layer = seq.RNN(N, H, 2, dropout=0.5, generator=0)
    first, second, third = (layer(draw())[0].detach().numpy() for _ in range(3))
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    assert again == []


def test_nothing_is_recorded_without_a_gradient_mode(again):
    layer = LAYERS["one"]()
    layer(draw())
    for expected in (False, True):
        again.clear()
        with mg.no_grad():
            output, _ = layer(draw())
        assert again == [expected] and not output.requires_grad
    check(layer, draw(), again, False)


def test_a_loop_of_single_ops_is_no_call_again(again):
    layer = LAYERS["one"]()
    results(layer, draw())
    with mg.eager_loops():
        results(layer, draw())
    with mg.detect_anomaly():
        results(layer, draw())
    assert not any(again)


def test_a_layer_that_was_called_can_be_copied_and_pickled():
    layer = LAYERS["one"]()
    expected = results(layer, draw())
    copies = copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    for other in copies:
        assert not other._calls.steps and not other._calls.known
        for a, b in zip(results(other, draw()), expected, strict=True):
            assert np.array_equal(a, b)


OTHER_CALLS = {
    "with internals": lambda layer: layer(draw(), return_internals=["r"]),
    "with dropout": lambda layer: [layer.train()(draw()), layer.eval()],
}


@pytest.mark.parametrize("call", OTHER_CALLS.values(), ids=OTHER_CALLS)
def test_other_weights_in_a_call_of_another_kind_are_not_kept(call, again):
    layer = seq.GRU(N, H, 2, dropout=0.5, generator=0).eval()
    own = layer.weight_hh_l0
    layer(draw())
    layer.weight_hh_l0 = nn.Parameter(np.ones((3 * H, H), "f4"))
    call(layer)
    layer.weight_hh_l0 = own
    check(layer, draw(), again, True)


@pytest.mark.parametrize("name", ["batch_first", "bias"])
def test_what_is_set_on_the_layer_is_seen(name):
    layer = LAYERS["one"]()
    for value in (True, False, True):
        setattr(layer, name, value)
        x = draw()
        if layer.batch_first:  # what its loop runs on is the same
            x = x.detach().permute(1, 0, 2).requires_grad_()
        for _ in range(2):
            for a, b in zip(flat(layer(x)), flat(fresh(layer)(x)), strict=True):
                assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_another_cell_is_seen(again):
    layer = seq.Recurrent(seq.cells.rnn_tanh, N, H, generator=0)
    for _ in range(2):
        layer(draw())
    layer.cell = seq.cells.rnn_relu
    check(layer, draw(), again, False)


class Scaled(seq.LSTM):
    """Whose weights are made anew at each call, but for a scale of 1."""

    def place_parameters(self, suffix, dtype):
        params = super().place_parameters(suffix, dtype)
        if self.scale != 1:
            params["w_hh"] = params["w_hh"] * self.scale
        return params


def test_weights_that_a_subclass_makes_are_made_at_each_call(again):
    layer = Scaled(N, H, generator=0)
    for layer.scale in (1.0, 2.0, 3.0, 1.0, 2.0):
        check(layer, draw(), again, False)


def test_a_state_that_was_given_is_let_go(again):
    layer = LAYERS["one"]()
    hx = states(layer)
    kept = [weakref.ref(state._data) for state in hx]
    for _ in range(2):
        layer(draw(), hx)
    del hx
    assert [ref() for ref in kept] == [None, None]


def test_data_that_were_given_are_let_go():
    layer = seq.Recurrent(seq.cells.gru_recurrent_dropout, N, H, generator=0)
    kept = []
    for _ in range(2):
        mask = mg.ones(1, B, H).requires_grad_() * 0.5
        kept.append(weakref.ref(mask._data))
        layer(draw(), mask_h=mask)
    del mask
    assert all(ref() is None for ref in kept)


class Model(nn.Module):
    """Whose layer's cell refers to the model."""

    def __init__(self):
        super().__init__()
        self.rate = 0.5

        @seq.cell
        def slow(x: "I", h: "H", *, w: "H I"):  # noqa: F722, F821
            return self.rate * h + x @ w.T

        self.layer = seq.Recurrent(slow, N, H, generator=0)


def test_a_layer_is_let_go_though_its_cell_refers_to_it():
    model = Model()
    for _ in range(2):
        model.layer(draw())
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None


def test_ops_of_many_kinds_of_calls_are_not_all_kept(again, monkeypatch):
    monkeypatch.setattr(calls, "KEPT", 2)
    layer = seq.LSTM(N, H, generator=0)
    for batch in (2, 3):
        for lengths in (None, [1] * batch):
            for mode in (nullcontext, mg.no_grad):
                for _ in range(2):
                    with mode():
                        layer(draw(batch=batch), lengths=lengths)
    assert any(again) and len(layer._calls.known[calls._alone].wholes) <= 2


def test_second_derivatives_of_weights_that_are_one():
    layer = seq.GRU(H, H, dtype=mg.float64, generator=0)
    layer.weight_hh_l0 = layer.weight_ih_l0
    x = mg.randn(T, B, H, dtype=mg.float64, generator=1).requires_grad_()
    leaves = [x, *layer.parameters()]
    found = []
    for eager in (False, False, True):
        with mg.eager_loops() if eager else nullcontext():
            output, h_n = layer(x, x[:1])
            slopes = mg.grad((output**2).sum() + h_n.sum(), leaves, create_graph=True)
            curves = mg.grad(sum((s**2).sum() for s in slopes), leaves)
        found.append([v.detach() for v in (*slopes, *curves)])
    for first, again, expected in zip(*found, strict=True):
        assert relative_error(first, expected) <= FLOAT64_RTOL
        assert relative_error(again, expected) <= FLOAT64_RTOL
