"""A failure as code that can be pasted into python, and shows the number that fails."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.op import OPS

from ..cases import LayerCase, stream
from ..checks.ops import OpCase, op_cases
from ..kinds import SIZES, Kind, kind_of
from ..result import Result
from .report import section_of

RUN = "run({case!r}, {check!r})  # prints what fails\n"

LAYER = """\
import minigrad as mg
import seq
import torch
from conformance import case_data, run

data = case_data({id!r})
layer = seq.{layer}
layer.load_state_dict(data.parameters)
{names} = (mg.Tensor(a, requires_grad=True) for a in data.inputs.values())
output, last = layer({arguments}{options})
print(output)
"""

TWIN = """
twin = torch.nn.{twin}
twin.load_state_dict({{name: torch.tensor(a) for name, a in data.parameters.items()}})
{names} = (torch.tensor(a) for a in data.inputs.values())
print(twin({arguments})[0])
"""

OP = """\
import minigrad as mg
import numpy as np
from numpy import inf, nan
from conformance import run
from conformance.reference.twins import call_twin, to_torch

args = {args}
kwargs = {kwargs}
print(mg.{name}(*args, **kwargs))
"""

OP_TWIN = """print(call_twin(mg.op.OPS[{name!r}], to_torch(args), kwargs))
"""


def snippet(result: Result) -> str:
    """Self-contained code for a failure; a comment says what it is."""
    section = section_of(result.group)
    text = "from conformance import run\n"
    if section == "layers":
        text = _layer(LayerCase.parse(result.case))
    elif section == "ops":
        text = _op(result) or text
    call = RUN.format(case=result.case, check=result.check)
    return f"# {result.case}: {result.check}\n{text}\n{call}"


def _layer(case: LayerCase) -> str:
    kind = kind_of(case.kind)
    states = [f"{name}_0" for name in kind.carry if case.state]
    state = ", ".join(states)
    if len(states) > 1:
        state = f"({state})"
    names = [*states, *kind.data]
    words = {
        "id": case.id,
        "names": ", ".join(["x", *names]) + ("" if names else ","),
        "arguments": f"x, {state}" if state else "x",
        "options": ", lengths=data.lengths" * case.ragged
        + ", dropout_masks=data.masks" * (0 < case.dropout < 1)
        + "".join(f", {name}={name}" for name in kind.data),
        "layer": _constructor(case, kind, f'"{case.dtype}"'),
        "twin": _constructor(case, kind, f"torch.{case.dtype}"),
    }
    plain = kind.module and not case.ragged and case.dropout in (0, 1)
    return (LAYER + TWIN * bool(plain)).format(**words)


def _constructor(case: LayerCase, kind: Kind, dtype: str) -> str:
    plain = LayerCase(case.kind).options
    changed = {k: v for k, v in case.options.items() if v != plain[k]}
    words = [f"{k}={v!r}" for k, v in {**changed, **kind.options}.items()]
    first = [] if kind.module else [f"seq.CELLS[{kind.cell!r}]"]
    sizes = [str(SIZES["I"]), str(SIZES["H"])]
    name = kind.module or "Recurrent"
    return f"{name}({', '.join([*first, *sizes, *words, f'dtype={dtype}'])})"


def _op(result: Result) -> str:
    """The call of a sample, or of one that must be refused; nothing for the others."""
    name, _, place = result.case.removeprefix("mg.").partition("/")
    op = OPS[name]
    if place.startswith("bad"):
        bad = op.errors[int(place.removeprefix("bad"))]
        arguments = bad.make(stream(result.case), "float32")
    else:
        found: list[OpCase] = [c for c in op_cases(op) if c.id == result.case]
        if not found:
            return ""
        arguments = found[0].arguments()
    args, kwargs = map(literal, arguments)
    twin = OP_TWIN if op.torch and not place.startswith("bad") else ""
    return (OP + twin).format(name=name, args=args, kwargs=kwargs)


def literal(value: Any) -> str:
    """A value as Python code, with every digit."""
    if isinstance(value, np.ndarray):
        flat = value.reshape(-1).tolist()
        return f"np.array({flat}, np.{value.dtype.name}).reshape({value.shape})"
    if isinstance(value, np.dtype):
        return f"np.dtype({value.name!r})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {literal(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list):
        items = ", ".join(map(literal, value))
        tail = "," if isinstance(value, tuple) and value else ""
        return f"({items}{tail})" if isinstance(value, tuple) else f"[{items}]"
    return repr(value)
