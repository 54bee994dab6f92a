"""What a run on the golden vectors came to: a table, and code for what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..cases import LayerCase
from ..kinds import SIZES, Kind, kind_of
from ..result import Result, for_json

DRIFT = "PyTorch now"  # the group of what has drifted, the last one
HEADER = ("", "cases", "checks", "float64", "float32", "PyTorch's", "verdict")

SNIPPET = """\
# {case}: {check}
import minigrad as mg
import seq
from conformance import golden

vector = golden.load({vector!r})
data = vector.data.astype({dtype!r})
layer = seq.{layer}
layer.load_state_dict(data.parameters)
{names} = (mg.Tensor(a, requires_grad=True) for a in data.inputs.values())
output, last = layer({arguments})
print(output, vector.expected["value"]["output"])

golden.run({case!r}, {check!r}, mode={mode!r})  # prints what fails
"""


def by_group(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results of each kind in each mode, and of the drift."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return dict(sorted(groups.items(), key=lambda item: item[0] == DRIFT))


def worst(results: Sequence[Result], dtype: str) -> float:
    """The largest error against the recorded numbers."""
    errors = (r.error for r in results if r.family and r.dtype == dtype)
    return max(errors, default=0.0)


def as_dict(groups: dict[str, list[Result]], torch: dict[str, Any]) -> dict[str, Any]:
    """Everything, for a machine to read; torch: the versions of PyTorch."""
    failures = [r for results in groups.values() for r in results if not r.passed]
    return {
        "torch": torch,
        "passed": not failures,
        "groups": [
            {
                "group": group,
                "cases": len({r.case for r in results}),
                "checks": len(results),
                "failed": sum(not r.passed for r in results),
                "float64": for_json(worst(results, "float64")),
                "float32": for_json(worst(results, "float32")),
                "torch_float32": max(r.torch_error or 0.0 for r in results),
            }
            for group, results in groups.items()
        ],
        "failures": [{**asdict(r), "error": for_json(r.error)} for r in failures],
    }


def rows(groups: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The lines of the table, of the groups of `as_dict`."""
    return [
        (
            g["group"],
            str(g["cases"]),
            str(g["checks"]),
            *(_digits(g[name]) for name in ("float64", "float32", "torch_float32")),
            f"{g['failed']} FAILED" if g["failed"] else "passed",
        )
        for g in groups
    ]


def _digits(error: float | str) -> str:
    return f"{float(error):.1e}" if error else "0"


def show(lines: Sequence[tuple[str, ...]]) -> None:
    """Print the table; rich makes it pretty where it is installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(HEADER, *lines, strict=True)]
        for first, *rest in (HEADER, *lines):
            cells = (c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))
            print("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in HEADER:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    Console().print(table)


def snippet(result: Result, mode: str = "fused") -> str:
    """A failure as code that shows the number."""
    case = LayerCase.parse(result.case)
    kind = kind_of(case.kind)
    states = [f"{name}_0" for name in kind.carry]
    options = {
        "lengths=data.lengths": case.ragged,
        "dropout_masks=data.masks": case.dropout,
        **{f"{name}={name}": True for name in kind.data},
    }
    state = states[0] if len(states) == 1 else f"({', '.join(states)})"
    return SNIPPET.format(
        case=case.id,
        check=result.check,
        mode=mode,
        vector=replace(case, dtype="float64").id,
        dtype=case.dtype,
        layer=constructor(case, kind),
        names=", ".join(["x", *states, *kind.data]),
        arguments=", ".join(
            ["x", state, *(o for o, given in options.items() if given)]
        ),
    )


def constructor(case: LayerCase, kind: Kind) -> str:
    """How a layer of `seq` is made; options that are PyTorch's defaults aren't said."""
    plain = LayerCase(case.kind).options
    changed = {k: v for k, v in case.options.items() if v != plain[k]}
    words = [f"{k}={v!r}" for k, v in {**changed, **kind.options}.items()]
    first = [] if kind.module else [f"seq.CELLS[{kind.cell!r}]"]
    sizes = [str(SIZES["I"]), str(SIZES["H"])]
    name = kind.module or "Recurrent"
    return f"{name}({', '.join([*first, *sizes, *words])}, dtype={case.dtype!r})"
