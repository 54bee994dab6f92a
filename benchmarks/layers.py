"""Recurrent layers, forward and backward: ours, PyTorch's, and a loop in PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import sigmoid, tanh
from torch.nn.functional import linear

import minigrad as mg
import seq
from benchmarks.measure import Subject

SIZES = [(32, 1, 32, 32), (50, 32, 64, 128), (100, 32, 128, 256)]
"""(T, B, I, H)."""

State = tuple[torch.Tensor, ...]
Step = Callable[..., State]


def rnn_step(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """torch.nn.RNN's equations."""
    return (tanh(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)),)


def gru_step(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> State:
    """torch.nn.GRU's equations."""
    x_r, x_z, x_n = linear(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = linear(h, w_hh, b_hh).chunk(3, -1)
    r = sigmoid(x_r + h_r)
    z = sigmoid(x_z + h_z)
    n = tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h,)


def lstm_step(
    x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> State:
    """torch.nn.LSTM's equations."""
    gates = linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


STEPS: dict[str, tuple[Step, int]] = {
    "RNN": (rnn_step, 1),
    "GRU": (gru_step, 1),
    "LSTM": (lstm_step, 2),
}
"""The step of a layer in PyTorch, and how many states it carries."""


def layer_subjects(
    name: str, size: tuple[int, int, int, int], dtype: str = "float32"
) -> dict[str, Subject]:
    """Three ways to the output of one layer and all its gradients.

    Each returns (output, dx, dw_ih, dw_hh, db_ih, db_hh), under the same cotangent and
    from the same weights and input.
    """
    n_steps, batch, n_in, hidden = size
    ours = getattr(seq, name)(n_in, hidden, dtype=dtype, generator=0)
    theirs = getattr(torch.nn, name)(n_in, hidden, dtype=getattr(torch, dtype))
    theirs.load_state_dict(ours.state_dict())
    x = mg.randn(n_steps, batch, n_in, dtype=dtype, generator=1)
    g = mg.randn(n_steps, batch, hidden, dtype=dtype, generator=2)
    return {
        "minigrad": _minigrad(ours, x, g),
        "torch.nn": _torch(lambda x: theirs(x)[0], theirs, x, g),
        "torch loop": _torch(_loop(*STEPS[name], theirs), theirs, x, g),
    }


def _minigrad(layer: Any, x: mg.Tensor, g: mg.Tensor) -> Subject:
    inputs = [x.requires_grad_(), *layer.parameters()]

    def run() -> Any:
        output, _ = layer(x)
        return output, *mg.grad(output, inputs, g)

    return run


def _torch(
    forward: Callable[[torch.Tensor], Any], layer: Any, x: mg.Tensor, g: mg.Tensor
) -> Subject:
    x_torch = torch.tensor(x.detach().numpy(), requires_grad=True)
    g_torch = torch.tensor(g.numpy())
    inputs = [x_torch, *layer.parameters()]

    def run() -> Any:
        output = forward(x_torch)
        return output, *torch.autograd.grad(output, inputs, g_torch)

    return run


def _loop(step: Step, n_states: int, layer: Any) -> Callable[[torch.Tensor], Any]:
    def forward(x: torch.Tensor) -> torch.Tensor:
        state: State = (x.new_zeros(x.shape[1], layer.hidden_size),) * n_states
        outputs = []
        for x_t in x:
            state = step(x_t, *state, *layer.parameters())
            outputs.append(state[0])
        return torch.stack(outputs)

    return forward
