"""The torch side: the same case, run by PyTorch.

A case that PyTorch's module takes as it is goes to the module. Where it can't (lengths,
masks given as data, cells that it lacks) one-layer modules, or one step of the cell in
a loop, are stacked by hand; with lengths every row runs alone, cut at its own end, so
that nothing here knows what packing or padding is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..cases import LayerCase
from ..data import Data, resolve, suffixes
from ..kinds import SIZES, Kind, torch_name
from ..tape import TORCH, Run
from .papers import STEPS, Step, Weights
from .twins import register

T = torch.Tensor
Tensors = dict[str, T]
State = tuple[T, ...]
Layer = Callable[[Tensors, T, State, Tensors], tuple[T, State]]
"""One layer in one direction: (parameters, x, state, data) -> (output, state)."""


def run(case: LayerCase, kind: Kind, data: Data, subject: Any = None) -> Run:
    """The case on PyTorch, in the dtype of the data.

    `subject` is asked only for the cell of a kind that is proved by its own source.
    """
    leaves = TORCH.leaves(data.leaves)
    # oneDNN's LSTM cannot be differentiated twice, and varies with the processor.
    with torch.backends.mkldnn.flags(enabled=False):
        if kind.module and data.lengths is None and data.masks is None:
            output, state = _by_module(case, kind, leaves)
        else:
            output, state = by_hand(case, kind, leaves, data, subject)
    names = [f"{name}_n" for name in kind.carry]
    outputs = {"output": output, **dict(zip(names, state, strict=True))}
    return Run(TORCH, leaves, outputs)


@functools.cache
def module(
    name: str,
    size: int = SIZES["I"],
    options: tuple[tuple[str, Any], ...] = (),
    hidden: int = SIZES["H"],
) -> torch.nn.Module:
    """A layer of torch.nn, without weights: they are given at each call."""
    make = getattr(torch.nn, name)
    made: torch.nn.Module = make(size, hidden, **dict(options), device="meta")
    return made


def load(case: LayerCase, kind: Kind, state: Any) -> dict[str, Any]:
    """What PyTorch's module holds after it loaded a state dict of the subject's."""
    options = {**case.options, **kind.options}
    sizes = (kind.sizes["I"], kind.sizes["H"])
    dtype = getattr(torch, case.dtype)
    made = getattr(torch.nn, kind.module)(*sizes, **options, dtype=dtype)
    made.load_state_dict(state)
    return {name: value.numpy() for name, value in made.state_dict().items()}


def _call(layer: torch.nn.Module, parameters: Tensors, *args: Any) -> tuple[T, State]:
    x, state = args
    hx = state[0] if state is not None and len(state) == 1 else state
    output, last = torch.func.functional_call(layer, parameters, (x, hx))
    return output, last if isinstance(last, tuple) else (last,)


def _by_module(case: LayerCase, kind: Kind, leaves: Tensors) -> tuple[T, State]:
    options = {**case.options, **kind.options}
    sizes = kind.sizes
    layer = module(kind.module, sizes["I"], tuple(options.items()), sizes["H"])
    parameters = {name: leaves[name] for name, _ in layer.named_parameters()}
    state = tuple(leaves[f"{n}_0"] for n in kind.carry) if case.state else None
    return _call(layer, parameters, leaves["x"], state)


def by_hand(
    case: LayerCase, kind: Kind, leaves: Tensors, data: Data, subject: Any = None
) -> tuple[T, State]:
    """Layers, directions and rows one by one, and put together here."""
    layer = _one_layer(kind, subject)
    x = time_first(case, leaves["x"])
    inputs = _Inputs(case, kind, leaves, data, x)
    ends = []
    for depth in range(case.layers):
        if depth:
            x = _drop(case, x, data.masks[depth - 1] if data.masks else None)
        outputs = []
        for direction, suffix in enumerate(suffixes(case, depth)):
            given = inputs.at(depth * case.directions + direction, suffix)
            output, *last = _rows(
                layer, given, x, data.lengths, direction == 1, kind.output
            )
            outputs.append(output)
            ends.append(last)
        x = torch.cat(outputs, -1)
    states = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
    if not case.batched:
        return x.squeeze(1), tuple(state.squeeze(1) for state in states)
    return (x.transpose(0, 1) if case.batch_first else x), states


def time_first(case: LayerCase, x: T) -> T:
    """A batch of sequences as (T, B, ...)."""
    if not case.batched:
        return x.unsqueeze(1)
    return x.transpose(0, 1) if case.batch_first else x


@dataclass(frozen=True)
class _Inputs:
    """What each place (a layer in one direction) is given."""

    case: LayerCase
    kind: Kind
    leaves: Tensors
    given: Data
    x: T

    def at(self, place: int, suffix: str) -> tuple[Tensors, State, Tensors]:
        return self.parameters(suffix), self.state(place), self.data(place)

    def parameters(self, suffix: str) -> Tensors:
        names = [name for name in self.kind.parameters if name + suffix in self.leaves]
        return {name: self.leaves[name + suffix] for name in names}

    def state(self, place: int) -> State:
        if not self.case.state:
            carry = self.kind.carry.values()
            sizes = [resolve(shape, self.kind.sizes) for shape in carry]
            return tuple(self.x.new_zeros(self.x.shape[1], *size) for size in sizes)
        found = (self.leaves[f"{name}_0"][place] for name in self.kind.carry)
        return tuple(s if self.case.batched else s.unsqueeze(0) for s in found)

    def data(self, place: int) -> Tensors:
        """Each (T, B, ...), also what is the same at each step."""
        found = {}
        for name, (shape, _) in self.kind.data.items():
            constant = self.given.constants.get(name)
            value = self.leaves[name] if constant is None else torch.tensor(constant)
            value = value[place]
            value = value if self.case.batched else value.unsqueeze(int("T" in shape))
            steps = self.case.steps
            found[name] = value if "T" in shape else torch.stack([value] * steps)
        return found


def _drop(case: LayerCase, x: T, mask: Any) -> T:
    if not case.dropout:
        return x
    if mask is None:
        return x * 0.0
    return x * time_first(case, torch.tensor(mask)) / (1 - case.dropout)


def _rows(
    layer: Layer,
    place: tuple[Tensors, State, Tensors],
    x: T,
    lengths: Any,
    reverse: bool,
    width: int,
) -> tuple[T, ...]:
    """One direction, output and state: all rows at once, or each up to its own end."""
    parameters, state, data = place
    rows = [(slice(None), len(x))]
    if lengths is not None:
        rows = [(slice(b, b + 1), int(n)) for b, n in enumerate(lengths)]
    runs = []
    for row, n in rows:
        order = torch.arange(n).flip(0) if reverse else torch.arange(n)
        output, last = x.new_zeros(0, 1, width), tuple(s[row] for s in state)
        if n:
            now = {name: d[:, row][order] for name, d in data.items()}
            output, last = layer(parameters, x[:, row][order], last, now)
        padding = x.new_zeros(len(x) - n, output.shape[1], width)
        runs.append((torch.cat([output[order], padding]), *last))
    outputs, *ends = zip(*runs, strict=True)
    return torch.cat(outputs, 1), *(torch.cat(parts) for parts in ends)


def _one_layer(kind: Kind, subject: Any) -> Layer:
    """How one layer in one direction runs: by a module, or step by step."""
    if kind.module:
        return functools.partial(_by_one_module, kind)
    step = STEPS[kind.name] if not kind.source else source_step(kind, subject)

    def loop(parameters: Tensors, x: T, state: State, data: Tensors) -> tuple[T, State]:
        outputs = []
        for t in range(len(x)):
            now = {name: d[t] for name, d in data.items()}
            output, state = step(parameters, x[t], state, now)
            outputs.append(output)
        return torch.stack(outputs), state

    return loop


def _by_one_module(
    kind: Kind, parameters: Tensors, x: T, state: State, _: Tensors
) -> tuple[T, State]:
    options = {**kind.options, "bias": "bias_ih" in parameters}
    width, hidden = x.shape[-1], kind.sizes["H"]
    layer = module(kind.module, width, tuple(options.items()), hidden)
    named = {f"{name}_l0": value for name, value in parameters.items()}
    output, last = _call(layer, named, x, tuple(s.unsqueeze(0) for s in state))
    return output, tuple(s.squeeze(0) for s in last)


def source_step(kind: Kind, subject: Any) -> Step:
    """A cell's own equations, run on torch tensors; an absent bias is zero."""
    register()
    cell: Any = kind.find_cell(subject)

    def step(w: Weights, x: T, state: State, data: Weights) -> tuple[T, State]:
        sizes = {**kind.sizes, "I": x.shape[-1]}
        named = {
            name: w[torch_name(name)]
            if torch_name(name) in w
            else x.new_zeros(resolve(" ".join(shape), sizes))
            for name, shape in cell.params.items()
        }
        result = cell(x, *state, **named, **data)
        values = result if isinstance(result, tuple) else (result,)
        return values[0], values[len(values) - len(state) :]

    return step
