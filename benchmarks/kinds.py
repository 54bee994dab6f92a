"""The kinds of layers that are measured, and what one case of a kind computes with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import seq
from benchmarks import torch_steps
from benchmarks.case import Size


@dataclass(frozen=True)
class Kind:
    """How often a step multiplies by (H, I) and (H, H), its states, and who has it.

    nn: its name in torch.nn and among the operators of ONNX, if it is there.
    """

    gates: int
    n_states: int
    make: Callable[..., Any]
    step: Callable[..., tuple[Any, ...]]
    nn: str | None = None

    def flops(self, size: Size) -> float:
        """Of the products of one forward; backward, dx and dW take twice as many."""
        n_steps, batch, n_in, hidden = size
        return 2.0 * self.gates * (n_in + hidden) * hidden * n_steps * batch


def _around(cell: seq.Cell) -> Callable[..., Any]:
    return lambda *sizes, **options: seq.Recurrent(cell, *sizes, **options)


KINDS = {
    "LSTM": Kind(4, 2, seq.LSTM, torch_steps.lstm, "LSTM"),
    "GRU": Kind(3, 1, seq.GRU, torch_steps.gru, "GRU"),
    "RNN": Kind(1, 1, seq.RNN, torch_steps.rnn, "RNN"),
    "peephole LSTM": Kind(
        4, 2, _around(seq.cells.lstm_peephole), torch_steps.lstm_peephole
    ),
    "minimal gated unit": Kind(2, 1, _around(seq.cells.mgu), torch_steps.mgu),
    "layer-norm LSTM": Kind(
        4, 2, _around(seq.cells.lstm_layer_norm), torch_steps.lstm_layer_norm
    ),
}


@dataclass(frozen=True)
class Problem:
    """A layer of ours, its input (T, B, I), and its output's cotangent (T, B, H)."""

    kind: Kind
    layer: Any
    x: Any
    g: Any

    @property
    def weights(self) -> list[Any]:
        """The parameters in the order of the signature, as arrays."""
        return [np.array(p.detach().numpy()) for p in self.layer.parameters()]


def problem(name: str, size: Size, dtype: str = "float32") -> Problem:
    """The same numbers whenever it is called."""
    n_steps, batch, n_in, hidden = size
    kind = KINDS[name]
    return Problem(
        kind,
        kind.make(n_in, hidden, dtype=dtype, generator=0),
        mg.randn(n_steps, batch, n_in, dtype=dtype, generator=1).numpy(),
        mg.randn(n_steps, batch, hidden, dtype=dtype, generator=2).numpy(),
    )
