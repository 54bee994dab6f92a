"""Keras 3: its layers on the backends jax and torch, in Bidirectional where needed."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..cases import LayerCase
from ..data import Data, suffixes
from ..kinds import SIZES, kind_of
from . import Answer
from .converted import Converted, ordered
from .stacking import place_parameters

Tensors = dict[str, Any]

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("SimpleRNN", {}),
    "rnn_relu": ("SimpleRNN", {"activation": "relu"}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "lstm": ("LSTM", {}),
}
WEIGHTS = ("kernel", "recurrent_kernel", "bias")


class Keras(Converted):
    """What both backends share."""

    framework = "Keras"
    backend: str
    any_size = False
    padding = 0.0  # a NaN there would spread through the gradient

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = self.backend  # read at the first import
        self.keras: Any = importlib.import_module("keras")

    def refuses(self, case: LayerCase) -> str:
        """What its layers lack."""
        if case.kind not in LAYERS:
            return "no such layer"
        return "" if case.batched else "no input without a batch"

    def forward(self, case: LayerCase, leaves: Tensors, lengths: Any) -> Tensors:
        """A case's outputs; Keras has the batch first."""
        kind = kind_of(case.kind)
        ops = self.keras.ops
        x = leaves["x"] if case.batch_first else ops.swapaxes(leaves["x"], 0, 1)
        mask = None
        if lengths is not None:
            mask = ops.arange(case.steps)[None, :] < ops.expand_dims(lengths, 1)
        ends = []
        for depth in range(case.layers):
            lead = depth * case.directions
            # Of a direction all states, then those of the other one.
            states = [
                leaves[f"{name}_0"][lead + direction]
                for direction in range(case.directions)
                for name in kind.carry
                if case.state
            ]
            own = [place_parameters(leaves, s) for s in suffixes(case, depth)]
            values = [array for side in own for array in ordered(side, WEIGHTS)]
            options = {"mask": mask, "initial_state": states or None}
            layer = self.layer(case, x.shape)
            fixed = [variable.value for variable in layer.non_trainable_variables]
            (x, *last), _ = layer.stateless_call(values, fixed, x, **options)
            width = len(kind.carry)
            ends += [last[d * width : (d + 1) * width] for d in range(case.directions)]
        output = x if case.batch_first else ops.swapaxes(x, 0, 1)
        found = {"output": output}
        for place, name in enumerate(kind.carry):
            found[f"{name}_n"] = ops.stack([end[place] for end in ends])
        return found

    def layer(self, case: LayerCase, shape: Any) -> Any:
        """One layer, built."""
        name, special = LAYERS[case.kind]
        options = {
            "return_sequences": True,
            "return_state": True,
            "zero_output_for_mask": True,
            "use_bias": case.bias,
            "dtype": case.dtype,
            **special,
        }
        make = getattr(self.keras.layers, name)
        made = make(SIZES["H"], **options)
        if case.bidirectional:
            back = make(SIZES["H"], go_backwards=True, **options)
            made = self.keras.layers.Bidirectional(
                made, backward_layer=back, dtype=case.dtype
            )
        made.build(tuple(shape))
        return made


class OnJax(Keras):
    """KERAS_BACKEND=jax."""

    packages = ("keras", "jax")
    backend = "jax"

    def run_converted(self, case: LayerCase, data: Data) -> Answer:
        """As a function of all leaves, differentiated as a whole."""
        from .jax import differentiated

        return differentiated(self.forward, case, data)


class OnTorch(Keras):
    """KERAS_BACKEND=torch."""

    packages = ("keras", "torch")
    backend = "torch"

    def run_converted(self, case: LayerCase, data: Data) -> Answer:
        """By torch.autograd.grad."""
        import torch

        leaves = {
            n: torch.tensor(a, requires_grad=True) for n, a in data.leaves.items()
        }
        lengths = None if data.lengths is None else torch.tensor(data.lengths)
        outputs = self.forward(case, leaves, lengths)
        gradients = torch.autograd.grad(
            [outputs[name] for name in data.cotangents],
            list(leaves.values()),
            [torch.tensor(a) for a in data.cotangents.values()],
            materialize_grads=True,
        )
        return Answer(
            {name: value.numpy(force=True) for name, value in outputs.items()},
            {n: g.numpy(force=True) for n, g in zip(leaves, gradients, strict=True)},
        )
