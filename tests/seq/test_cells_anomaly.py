"""In a recurrent layer detect_anomaly names layer, direction, step and line."""

import inspect

import numpy as np
import pytest

import minigrad as mg
import seq
from minigrad import init
from minigrad.errors import NonFiniteError

T = 5


@seq.cell
def roots(x: "I", h: "H", *, w_ih: "H I"):
    return (x @ w_ih.T).sqrt() + 0 * h


LINE = inspect.getsourcelines(roots.fn)[1] + 2


def layer(**options):
    made = seq.Recurrent(roots, 2, 2, **options)
    for parameter in made.parameters():
        init.eye_(parameter)
    return made


def place(direction, step, number=0):
    return (
        f"called at Recurrent, layer {number}, {direction} direction, step {step}, "
        f"cell 'roots', {__file__}:{LINE}: return (x @ w_ih.T).sqrt() + 0 * h"
    )


def inputs(value, step):
    x = np.ones((T, 1, 2), np.float32)
    x[step, 0, 1] = value
    return mg.tensor(x)


@pytest.mark.parametrize("step", range(T))
def test_the_forward_names_the_place(step):
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        layer()(inputs(-1.0, step))
    message = f"sqrt(float32(1, 2)) gave nan at index [0, 1]; {place('forward', step)}"
    assert str(caught.value) == message


def test_the_reverse_direction_meets_the_last_step_first():
    net = layer(bidirectional=True)
    init.constant_(net.weight_ih_l0_reverse, -1.0)
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        net(inputs(1.0, 0))
    assert place("reverse", T - 1) in str(caught.value)


def test_the_second_layer():
    net = layer(num_layers=2)
    init.constant_(net.weight_ih_l1, -1.0)
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        net(inputs(1.0, 0))
    assert place("forward", 0, number=1) in str(caught.value)


@pytest.mark.parametrize("lengths", [None, [T]])
@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_backward_names_where_the_forward_was(direction, step, lengths):
    net = layer(bidirectional=True)
    other = "weight_ih_l0" if direction == "reverse" else "weight_ih_l0_reverse"
    init.ones_(getattr(net, other))
    with mg.detect_anomaly():
        output, _ = net(inputs(0.0, step), lengths=lengths)
        with pytest.raises(NonFiniteError) as caught:
            output.sum().backward()
    start = "the VJP of sqrt by x gave inf at index [0, 1]; the forward, "
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(f"was {place(direction, step)}")


def test_a_single_step_is_named_by_its_module():
    one = seq.RecurrentCell(roots, 2, 2)
    init.constant_(one.weight_ih, -1.0)
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        one(mg.ones(1, 2))
    assert "called at RecurrentCell, cell 'roots', " in str(caught.value)


def test_a_scan_of_ones_own_has_steps_too():
    with pytest.raises(NonFiniteError, match="called at step 2, "), mg.detect_anomaly():
        mg.scan(lambda c, x: (c, x.log()), mg.zeros(1), mg.tensor([[1.0], [2.0], [0]]))
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        mg.zeros(1).log()
    assert f"called at {__file__}" in str(caught.value)


def test_other_errors_keep_their_place_in_front():
    with pytest.raises(mg.errors.ShapeError, match=r"^Recurrent: input must"):
        layer()(mg.ones(2))
