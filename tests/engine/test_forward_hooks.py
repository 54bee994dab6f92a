"""Forward hooks, beside torch.nn's."""

import copy
import pickle

import pytest
import torch

import minigrad as mg
import seq
from minigrad import nn
from minigrad.errors import ArgumentError, GraphError


class Ours(nn.Module):
    def forward(self, x, scale=1.0):
        return x * scale


class Theirs(torch.nn.Module):
    def forward(self, x, scale=1.0):
        return x * scale


@pytest.fixture(params=[(Ours, mg), (Theirs, torch)], ids=["minigrad", "torch"])
def there(request):
    kind, library = request.param
    return kind(), library.ones(2)


@pytest.fixture
def seen():
    return []


def test_hooks_see_what_goes_in_and_what_comes_out(there, seen):
    module, x = there
    module.register_forward_pre_hook(lambda m, args: seen.append((m, args)))
    module.register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    y = module(x, 3.0)
    assert seen[0] == (module, (x, 3.0))
    assert seen[1][:2] == (module, (x, 3.0)) and seen[1][2] is y
    module(x, scale=2.0)
    assert seen[2] == (module, (x,)) and seen[3][2].tolist() == [2.0, 2.0]


def test_with_kwargs_they_see_arguments_by_name(there, seen):
    module, x = there
    module.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True
    )
    module.register_forward_hook(
        lambda m, args, kwargs, y: seen.append(kwargs), with_kwargs=True
    )
    assert module(x, scale=2.0).tolist() == [3.0, 3.0] and seen == [{"scale": 3.0}]


def test_what_they_return_is_used_instead(there):
    module, x = there
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    module.register_forward_pre_hook(lambda m, args: (args[0] * 2, 10.0))
    module.register_forward_hook(lambda m, args, y: y + 1)
    module.register_forward_hook(lambda m, args, y: None)
    module.register_forward_hook(lambda m, args, y: {"y": y})
    assert module(x)["y"].tolist() == [41.0, 41.0]


def test_they_run_in_order_until_removed(there, seen):
    module, x = there
    handles = [
        module.register_forward_hook(lambda m, a, y, n=n: seen.append(n), prepend=n > 1)
        for n in range(4)
    ]
    module(x)
    handles[0].remove()
    handles[0].remove()
    with module.register_forward_hook(lambda m, a, y: seen.append("once")):
        module(x)
    module(x)
    assert seen == [3, 2, 0, 1, *(3, 2, 1), "once", *(3, 2, 1)]


def test_one_may_remove_itself(there, seen):
    module, x = there
    first = module.register_forward_pre_hook(
        lambda m, args: (seen.append(1), first.remove())[1]
    )
    module.register_forward_pre_hook(lambda m, args: seen.append(2))
    for _ in range(2):
        module(x)
    assert seen == [1, 2, 2]


def test_an_error_in_a_hook_is_the_caller_s_and_the_next_call_is_right(there):
    module, x = there
    with (
        module.register_forward_pre_hook(lambda m, args: 1 / 0),
        pytest.raises(ZeroDivisionError),
    ):
        module(x)
    assert module(x).tolist() == [1.0, 1.0]


def note(module, args, output):
    return output * 7


def test_a_copy_has_the_hooks_and_its_own_list_of_them(there):
    module, x = there
    handle = module.register_forward_hook(note)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    handle.remove()
    assert module(x).tolist() == [1.0, 1.0]
    assert [twin(x).tolist() for twin in copies] == [[7.0, 7.0]] * 2


def test_gradients_flow_through_what_a_hook_returns(there):
    module, _ = there
    library = mg if isinstance(module, nn.Module) else torch
    x = library.ones(2, requires_grad=True)
    module.register_forward_hook(lambda m, args, y: y * y)
    module(x, 3.0).sum().backward()
    assert x.grad.tolist() == [18.0, 18.0]


@pytest.mark.parametrize("make", [seq.LSTM, seq.LSTMCell, seq.GRU, nn.Linear])
def test_layers_have_them(make, seen):
    layer = make(3, 3)
    model = nn.ModuleDict({"layer": layer})
    layer.register_forward_pre_hook(lambda m, args: args[0] * 0)
    layer.register_forward_hook(lambda m, args, y: seen.append((m, y)))
    x = mg.randn(2, 3, generator=0)
    result = model["layer"](x)
    assert seen == [(layer, result)]
    first = result[0] if isinstance(result, tuple) else result
    expected = layer.forward(0 * x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert first.tolist() == expected.tolist()
    assert [name for name in model.state_dict() if "hook" in name] == []


def test_inside_a_step_they_are_refused(seen):
    linear, xs = nn.Linear(3, 3), mg.ones(4, 2, 3)

    def step(h, x):
        return linear(h + x), h

    def run():
        return mg.scan(step, mg.zeros(2, 3), xs)[0]

    expected = run()
    handle = linear.register_forward_hook(lambda m, args, y: seen.append(y))
    with pytest.raises(GraphError, match=r"hook of Linear.*all steps; remove"):
        run()
    with mg.eager_loops():
        assert (run() - expected).abs().max() < 1e-6 and len(seen) == 4
    handle.remove()
    assert run().tolist() == expected.tolist() and len(seen) == 4


def test_what_is_no_hook_is_refused():
    module = Ours()
    with pytest.raises(ArgumentError, match="a forward hook must be a function, not 3"):
        module.register_forward_hook(3)
    module.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with pytest.raises(ArgumentError, match=r"Ours: .*None or \(args, kwargs\), not"):
        module(mg.ones(2))
