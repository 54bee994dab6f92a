"""The side under test: a layer of a `seq`-like namespace, run on a case's data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from minigrad.errors import MinigradError

from ..cases import LayerCase
from ..data import Data
from ..judge import Judge
from ..kinds import Kind
from ..result import Result
from ..tape import MINIGRAD, STRIDED, Run, Tensors

Forward = Callable[[Any, Tensors, LayerCase, Kind, Data], Tensors]
"""(layer, leaves, case, kind, data) -> outputs by name."""


def refuses(error: Exception) -> bool:
    """Whether a layer says that it can't do what it is asked for.

    minigrad raises a NotImplementedError of its own for a method that nobody has
    defined: such a layer doesn't run.
    """
    own = isinstance(error, MinigradError)
    return isinstance(error, NotImplementedError) and not own


def refused_or_raised(judge: Judge, check: str, error: Exception) -> Iterator[Result]:
    """What raised is a failure; a refusal is counted, of a layer that may refuse."""
    if judge.refused is not None and refuses(error):
        judge.refused[str(error)] += 1
    else:
        yield judge.raised(check, error)


def build(
    case: LayerCase, kind: Kind, data: Data, subject: Any, generator: Any = None
) -> Any:
    """The layer under test, with the case's weights."""
    layer = kind.build(case, subject, generator)
    layer.load_state_dict(data.parameters)
    return layer


def run(
    case: LayerCase,
    kind: Kind,
    data: Data,
    subject: Any,
    forward: Forward | None = None,
    generator: Any = None,
    asked: Collection[str] | None = None,
) -> Run:
    """The case on the subject; `forward` is another way to the same outputs.

    asked: the names of what is differentiated; everything by default.
    """
    layer = build(case, kind, data, subject, generator)
    # A subject on other tensors than minigrad's says so.
    tape = getattr(subject, "tape", MINIGRAD)
    tape = STRIDED[tape] if case.strided else tape
    wanted = data.leaves.keys() if asked is None else asked
    inputs = {n: tape.tensor(array, n in wanted) for n, array in data.inputs.items()}
    parameters = dict(layer.named_parameters())
    for name in data.parameters:
        parameters[name].requires_grad = name in wanted
    leaves = {**inputs, **{name: parameters[name] for name in data.parameters}}
    outputs = (forward or call)(layer, leaves, case, kind, data)
    return Run(tape, {name: leaves[name] for name in wanted}, outputs)


def call(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """Just call it."""
    lengths, masks = data.lengths, data.masks
    if case.strided:
        lengths = None if lengths is None else np.repeat(lengths, 2)[::2]
        masks = None if masks is None else [np.asfortranarray(mask) for mask in masks]
    state = tuple(leaves[f"{n}_0"] for n in kind.carry if f"{n}_0" in leaves)
    given = {name: leaves[name] for name in kind.data if name in leaves}
    output, last = layer(
        leaves["x"],
        pack(state),
        lengths=lengths,
        dropout_masks=masks,
        **given,
        **data.constants,
    )
    return name_outputs(kind, output, last)


def pack(state: tuple[Any, ...]) -> Any:
    """A state as a layer takes it: nothing, a tensor, or a tuple of several."""
    if len(state) > 1:
        return state
    return state[0] if state else None


def name_outputs(kind: Kind, output: Any, last: Any) -> Tensors:
    """What a layer returns, by name."""
    states = last if isinstance(last, tuple) else (last,)
    names = [f"{name}_n" for name in kind.carry]
    return {"output": output, **dict(zip(names, states, strict=True))}
