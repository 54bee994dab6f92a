"""What was run, as text: the program of a step or an op, and the derived backward."""

from __future__ import annotations

from typing import Any

import minigrad as mg
import seq
from minigrad.errors import MinigradError
from minigrad.op import OPS, Op

from ..cases import stream
from ..kinds import KINDS, SIZES

ROOM = 6000  # characters of one program that are worth showing


def program_of(group: str) -> str:
    """The program of a group of the report; "" if it has none."""
    name = group.removesuffix(".source").removesuffix("_loop").removesuffix("_cell")
    text = ""
    if group.startswith("mg."):
        text = _of_op(OPS[group.removeprefix("mg.")])
    elif name in KINDS:
        text = _of_cell(name)
    return text if len(text) <= ROOM else text[:ROOM] + "\n..."


def _of_cell(name: str) -> str:
    """One step, traced, and its derivative: what the loop runs forward and backward."""
    proj = SIZES["P"] if name == "lstm_proj" else 0
    layer = seq.Recurrent(seq.CELLS[name], SIZES["I"], SIZES["H"], proj_size=proj)
    (found,) = mg.explain(layer)
    parts = {"forward": found.forward, "derived backward": found.backward}
    return "\n\n".join(
        "\n".join([f"{title}: {part.program}", "phases:", *map("  {}".format, phases)])
        for title, part in parts.items()
        if part is not None
        for phases in [part.phases()]
    )


def _of_op(op: Op) -> str:
    """An op on its first sample, and the backward that comes of its VJPs."""
    rng = stream(op.name, "program")
    args, kwargs = op.samples[0].make(rng, "float32")
    floats = [i for i, a in enumerate(args) if _is_float(a)]

    def call(*tensors: Any) -> Any:
        values = list(args)
        for i, tensor in zip(floats, tensors, strict=True):
            values[i] = tensor
        return op.run(*values, **kwargs)

    try:
        derived = mg.derive(call, *(mg.Tensor(args[i]) for i in floats))
    except MinigradError:  # it has no gradient, or draws, or looks at its values
        return ""
    return f"forward: {derived.forward}\n\nderived backward: {derived.backward}"


def _is_float(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"
