"""detect_anomaly names the first non-finite value by op and line."""

import inspect
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import _backend
from minigrad.errors import MinigradError, NonFiniteError


def here(offset=0):
    """file:line of the caller's line, moved by some lines."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


def test_the_forward_names_op_types_element_and_line():
    x = mg.tensor([[1.0, 2.0], [0.0, -1.0]])
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        y = x * 2
        line = here(1)
        y.log().exp()
    assert str(caught.value) == (
        f"log(float32(2, 2)) gave -inf at index [1, 0]; called at {line}: y.log().exp()"
    )
    assert isinstance(caught.value, MinigradError | FloatingPointError)


def test_a_composite_is_named_by_what_it_is_made_of_at_the_users_line():
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        line = here(1)
        mg.mse_loss(mg.ones(2), mg.full((2,), 3e30))
    assert f"called at {line}: mg.mse_loss(" in str(caught.value)
    assert str(caught.value).startswith(("mul(", "pow(", "square("))


def test_what_was_given_is_told_from_what_was_made():
    bad = mg.tensor([1.0, np.nan])
    with pytest.raises(NonFiniteError, match=r"gave nan at .* not finite already$"):
        mg.detect_anomaly()(lambda: bad * 2)()
    with pytest.raises(NonFiniteError) as caught, mg.detect_anomaly():
        mg.cat([mg.ones(2), mg.ones(2)]) / 0.0
    assert "already" not in str(caught.value)


def test_the_backward_names_the_vjp_and_where_the_forward_was():
    x = mg.tensor([4.0, 0.0], requires_grad=True)
    with mg.detect_anomaly():
        line = here(1)
        y = x.sqrt()
        with pytest.raises(NonFiniteError) as caught:
            (y * 2).sum().backward()
    assert str(caught.value).startswith(
        "the VJP of sqrt by x gave inf at index [1]; the forward, sqrt(float32(2,)), "
        f"was called at {line}: y = x.sqrt()"
    )
    assert x.grad is None and _backend.get_watching() == 0


def test_a_second_derivative_has_its_lines_too():
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly():
        y = x**1.5
        line = here(1)
        (g,) = mg.grad(y, x, create_graph=True)
        with pytest.raises(NonFiniteError, match="the VJP of pow by x") as caught:
            mg.grad(g, x)
    assert line in str(caught.value)


def test_a_graph_from_before_has_no_line():
    x = mg.tensor([0.0], requires_grad=True)
    y = x.sqrt()
    with pytest.raises(NonFiniteError, match="a line before detect_anomaly"):
        mg.detect_anomaly()(y.backward)()


def test_what_a_vjp_masks_itself_is_no_anomaly():
    x = mg.tensor([0.0, 2.0], mg.float64, requires_grad=True)
    y = mg.tensor([2.0, 2.0], mg.float64, requires_grad=True)
    with mg.detect_anomaly():
        (x**y).sum().backward()
    assert y.grad.tolist()[0] == 0.0


def test_integers_bools_and_finite_values_pass_and_change_nothing():
    x = mg.tensor([0.5, 2.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.where(x > 1, x.softmax(-1), x.argmax() + x).sum()
        y.backward()
    inside, x.grad = x.grad, None
    mg.where(x > 1, x.softmax(-1), x.argmax() + x).sum().backward()
    assert np.array_equal(inside.numpy(), x.grad.numpy())


def test_it_nests_and_belongs_to_its_thread():
    log, found = (lambda: mg.zeros(1).log()), []
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        thread = threading.Thread(target=lambda: found.append(log().item()))
        thread.start()
        thread.join()
        with pytest.raises(NonFiniteError):
            log()
    assert found == [-np.inf] and log().item() == -np.inf


def test_nothing_is_watched_when_it_is_off():
    def never(*_):
        raise AssertionError

    _backend.set_watcher(never)
    try:
        x = mg.tensor([1.0], requires_grad=True)
        x.log().backward()
        with pytest.raises(AssertionError), mg.detect_anomaly():
            x.log()
    finally:
        _backend.set_watcher(mg.anomaly.watch)
