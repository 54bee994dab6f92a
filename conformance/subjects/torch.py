"""PyTorch's modules, lengths as packed sequences: the oracle has no part in it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils import rnn

from ..cases import LayerCase
from ..data import Data, sized
from ..kinds import kind_of
from . import Answer, Subject


class Torch(Subject):
    """torch.nn.RNN, GRU and LSTM."""

    packages = ("torch",)
    empty_rows = False  # pack_padded_sequence refuses them

    def refuses(self, case: LayerCase) -> str:
        """Cells that it lacks."""
        return "" if kind_of(case.kind).module else "no such module"

    def run(self, case: LayerCase, data: Data) -> Answer:
        """One call of the module, and torch.autograd.grad."""
        kind = sized(kind_of(case.kind), data.parameters)
        options = {**case.options, **kind.options}
        dtype = getattr(torch, case.dtype)
        layer = getattr(torch.nn, kind.module)(
            kind.sizes["I"], kind.sizes["H"], **options, dtype=dtype
        )
        layer.load_state_dict({n: torch.tensor(a) for n, a in data.parameters.items()})
        inputs = {
            n: torch.tensor(a, requires_grad=True) for n, a in data.inputs.items()
        }
        states = [inputs[f"{name}_0"] for name in kind.carry if case.state]
        hx = None if not states else states[0] if len(states) == 1 else tuple(states)
        output, last = self.call(layer, inputs["x"], hx, case, data.lengths)
        names = [f"{name}_n" for name in kind.carry]
        last = last if isinstance(last, tuple) else (last,)
        outputs = {"output": output, **dict(zip(names, last, strict=True))}
        leaves = {**inputs, **dict(layer.named_parameters())}
        gradients = torch.autograd.grad(
            [outputs[n] for n in data.cotangents],
            list(leaves.values()),
            [torch.tensor(a) for a in data.cotangents.values()],
            materialize_grads=True,
        )
        return Answer(
            {name: value.numpy(force=True) for name, value in outputs.items()},
            {n: g.numpy(force=True) for n, g in zip(leaves, gradients, strict=True)},
        )

    def call(
        self, layer: Any, x: Any, hx: Any, case: LayerCase, lengths: Any
    ) -> tuple[Any, Any]:
        """The module itself, on a padded or on a packed batch."""
        if lengths is None:
            found: tuple[Any, Any] = layer(x, hx)
            return found
        first = case.batch_first
        packed = rnn.pack_padded_sequence(
            x, torch.tensor(lengths), first, enforce_sorted=False
        )
        output, last = layer(packed, hx)
        return rnn.pad_packed_sequence(output, first, total_length=case.steps)[0], last
