"""What a step does beside returning: as often as in a loop, or refused."""

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import GraphError

W = mg.randn(2, 2, generator=0, requires_grad=True)
XS, START = mg.ones(3, 1, 2), mg.zeros(1, 2)
total = 0


def counting(kind, captured):
    """(a step that counts, a function that gives the count)."""
    n = 0
    weight = W if captured else 1.0

    def of_closure(h, x):
        nonlocal n
        n += 1
        return h + n * x * weight if not captured else h + (n * x) @ weight, h

    def of_module(h, x):
        global total
        total += 1
        return h + total * x if not captured else h + (total * x) @ weight, h

    def inside(h, x):
        def count():
            nonlocal n
            n += 1
            return n

        return h + count() * x if not captured else h + (count() * x) @ weight, h

    step = {"closure": of_closure, "module": of_module, "inside": inside}[kind]
    return step, lambda: total if kind == "module" else n


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("kind", ["closure", "module", "inside"])
def test_a_step_that_counts_counts_steps(kind, captured):
    global total
    total = 0
    step, count = counting(kind, captured)
    (found, _), n = mg.scan(step, START, XS), count()
    again, _ = mg.scan(step, START, XS)
    total = 0
    step, count = counting(kind, captured)
    with mg.eager_loops():
        expected, _ = mg.scan(step, START, XS)
        later, _ = mg.scan(step, START, XS)
    assert n == 3 and count() == 6
    assert (found.tolist(), again.tolist()) == (expected.tolist(), later.tolist())


def test_explain_says_that_it_counts():
    (found,) = mg.explain(counting("closure", False)[0], START, XS)
    assert found.reason == "it assigns to 'n', a variable outside of it"
    assert "not fused" in str(found)


def test_a_variable_of_its_own_is_no_reason():
    def step(h, x):
        n = 0

        def add():
            nonlocal n
            n = n + x

        add()
        add()
        return h + n, h

    (found,) = mg.explain(step, START, XS)
    assert found.reason is None
    assert mg.scan(step, START, XS)[0].tolist() == [[6.0, 6.0]]


def test_in_eager_loops_it_is_the_step_itself_that_runs():
    """With a tensor captured, it was one with a list of its own."""
    kept, sums = [], {}

    def step(h, x):
        new = mg.tanh(h @ W + x)
        kept.append(new)
        sums[len(kept)] = new.sum().item()
        return new, new

    with mg.eager_loops():
        _, ys = mg.scan(step, START, XS)
    assert mg.stack(kept).tolist() == ys.tolist()
    assert list(sums) == [1, 2, 3]


def test_backward_in_a_step_is_refused():
    weight = nn.Linear(2, 2).weight

    class Held:
        parameter = weight

    def step(h, x):
        (Held.parameter * h.sum()).sum().backward()
        return h + x, h

    with pytest.raises(GraphError, match=r"backward\(\) inside a step.*use grad\(\)"):
        mg.scan(step, START, XS)
    assert weight.grad is None
    with mg.eager_loops():
        mg.scan(step, START, XS)
    assert weight.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]


def test_setting_a_buffer_in_a_step_is_refused():
    class Count(nn.Module):
        def __init__(self):
            self.register_buffer("calls", mg.tensor(0))

        def forward(self, h, x):
            self.calls = self.calls + 1
            return h + x, h

    count = Count()
    with pytest.raises(GraphError, match=r"setting the buffer 'calls' inside a step.*"):
        mg.scan(count, START, XS)
    assert count.calls.item() == 0
    with mg.eager_loops():
        mg.scan(count, START, XS)
    assert count.calls.item() == 3


@pytest.mark.parametrize("which", [0, 1])
def test_requires_grad_of_what_a_step_is_given_stays(which):
    def step(*given):
        given[which].requires_grad_(False)
        return given[0] + given[1], given[0]

    with pytest.raises(GraphError, match=r"requires_grad_\(\) inside a.*detach\(\)"):
        mg.scan(step, START, XS)


@pytest.mark.parametrize("frozen", [True, False])
def test_freezing_the_weight_of_a_module_in_a_step_is_refused(frozen):
    layer = nn.Linear(1, 1, generator=0).requires_grad_(not frozen)
    x = mg.ones(3, 2, 1, requires_grad=True)

    def step(h, x):
        h = layer(x) + h
        layer.weight.requires_grad_(frozen)
        return h, h

    with pytest.raises(GraphError, match=r"requires_grad_\(\) inside a step"):
        mg.scan(step, mg.zeros(2, 1), x)
    assert layer.weight.requires_grad is not frozen


def test_what_requires_grad_as_a_step_asks_stays_so():
    layer = nn.Linear(1, 1, generator=0)

    def step(h, x):
        own = mg.tensor([2.0], requires_grad=True)
        (g,) = mg.grad((own * own * x).sum(), own)
        return h + g * layer.requires_grad_().weight, h

    mg.scan(step, mg.zeros(2, 1), mg.ones(3, 2, 1))[0].sum().backward()
    assert layer.weight.grad.tolist() == [[48.0]]
