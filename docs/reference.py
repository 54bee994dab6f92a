"""Write ops.md, cells.md and dialects.md: `python docs/reference.py`."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

import seq
from conformance.dialects import DIALECTS
from conformance.dialects.notation import Dialect, Stack
from conformance.peers.proofs import PROOFS
from minigrad.op import OPS, Op
from seq.cell import Cell, parameter_name

HERE = Path(__file__).parent
COMMAND = "python docs/reference.py"
RUN = ("PyTorch", "Keras", "Flax linen", "Flax nnx", "ONNX", "Thinc")


def ops_page() -> str:
    """Every op of minigrad's table, by name."""
    own = [op for op in OPS.values() if op.forward.__module__.startswith("minigrad.")]
    own.sort(key=lambda op: op.name)
    index = ", ".join(f"[{op.name}](#{op.name})" for op in own)
    return _page(
        "Ops",
        "Each is a function of `minigrad`, with PyTorch's argument order, defaults and "
        "meaning; those with a tensor for their first argument are methods too. "
        "By name, axis is dim, keepdims keepdim, input or tensor x and other or "
        "exponent y, as in PyTorch. "
        "A name in the list of derivatives is an input that a gradient flows to. "
        "An elementwise op takes each element by itself, a rowwise one mixes no rows "
        "of the leading axes.",
        textwrap.fill(index, 88, break_long_words=False, break_on_hyphens=False),
        *map(_op, own),
    )


def cells_page() -> str:
    """Every built-in cell: where it is from, its parameters and its equations."""
    return _page(
        "Cells",
        "Each is the function of one time step, in `seq.cells` and in `seq.CELLS`. "
        "`seq.Recurrent(cell, input_size, hidden_size)` makes a layer of it. "
        "I is the input size, H the hidden size, P the size of a projection.",
        *(_cell(name, seq.CELLS[name]) for name in sorted(seq.CELLS)),
    )


def dialects_page() -> str:
    """How frameworks write down the same weights."""
    rows = ["| layer | kind | arrays | lost | proved by |", "|---|---|---|---|---|"]
    return _page(
        "Dialects",
        "Where PyTorch's weights are in another framework's layer, of one layer and "
        "direction. Of each array its axes: g runs over the gates, h over the units, i "
        "over the inputs, p over two halves; letters that stand together are merged. "
        "Then its gates in their order, under PyTorch's names, and the parameters that "
        "they are of; a sum of two is merged. A minus is a gate that is 1 minus "
        "PyTorch's, -1 a bias to which the framework adds 1, 0 what it doesn't read. "
        "What is lost doesn't come back. `conformance.dialects` converts. What running "
        "it proved is in [peers.md](peers.md).",
        "\n".join(rows + [_dialect(dialect) for dialect in DIALECTS]),
    )


PAGES: dict[str, Callable[[], str]] = {
    "ops.md": ops_page,
    "cells.md": cells_page,
    "dialects.md": dialects_page,
}


def _page(title: str, opening: str, *sections: str) -> str:
    note = f"<!-- Written by `{COMMAND}`; change the source, not this page. -->"
    return (
        "\n\n".join([note, f"# {title}", textwrap.fill(opening, 88), *sections]) + "\n"
    )


def _dialect(dialect: Dialect) -> str:
    arrays = "<br>".join(map(_stack, dialect.arrays))
    lost = "<br>".join(dialect.losses())
    proof = "reading"
    if dialect.framework in RUN:
        proof = "the layer cases"
    if any(known[:2] == (dialect.framework, dialect.kind) for known in PROOFS):
        proof = "one step"
    name = f"{dialect.framework} {dialect.layer}"
    return f"| {name} | {dialect.kind} | {arrays} | {lost} | {proof} |"


def _stack(stack: Stack) -> str:
    """`kernel` (i gh): zrn of weight_ih."""
    parts: list[list[str]] = []
    for block in stack.blocks:
        gate = (
            "-" * (block.sign < 0)
            + block.gate
            + f"-{block.added:g}" * (block.added > 0)
        )
        of = " + ".join(block.of)
        if parts and parts[-1][1] == of and block.gate:
            parts[-1][0] += f" {gate}"
        else:
            parts.append([gate if of else "0", of])
    held = ", ".join(f"{g} of {of}" if g and of else g + of for g, of in parts)
    return f"`{stack.name}` ({stack.layout}): {held}"


def _op(op: Op) -> str:
    call = ", ".join(map(_argument, op.signature.parameters.values()))
    facts = [f"PyTorch: `{op.torch}`" if op.torch else "PyTorch: none"]
    if op.is_composite:
        facts.append("Derivative: from the ops it is made of")
    else:
        facts.append(f"Derivative: {', '.join(op.vjps) or 'none'}")
    if op.elementwise:
        facts.append("Elementwise")
    elif op.rowwise:
        facts.append(
            "Rowwise, if its parameters say so" if callable(op.rowwise) else "Rowwise"
        )
    return "\n\n".join(
        [
            f"## {op.name}",
            f"```\n{op.name}({call})\n```",
            inspect.cleandoc(op.__doc__ or ""),
            " · ".join(facts),
        ]
    )


def _argument(argument: inspect.Parameter) -> str:
    """An argument as a call has it: without its annotation."""
    return str(argument.replace(annotation=inspect.Parameter.empty))


def _cell(name: str, cell: Cell) -> str:
    shapes = [f"`{parameter_name(n)}` ({', '.join(s)})" for n, s in cell.params.items()]
    shapes += [f"`{n}` ({', '.join(s)}), given at a call" for n, s in cell.data.items()]
    carry = ", ".join(f"`{n}` ({', '.join(cell.shapes[n])})" for n in cell.carry)
    return "\n\n".join(
        [
            f"## {name}",
            inspect.cleandoc(cell.__doc__ or ""),
            f"PyTorch: `{cell.torch}`" if cell.torch else "PyTorch: none",
            f"Carry: {carry}",
            textwrap.fill(f"Parameters: {', '.join(shapes)}", 88),
            f"```python\n{_equations(cell)}\n```",
        ]
    )


def _equations(cell: Cell) -> str:
    """The source of a cell, without the docstring that stands above it."""
    source = textwrap.dedent(inspect.getsource(cell.fn))
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    docstring = function.body[0]
    lines = source.splitlines()
    del lines[docstring.lineno - 1 : docstring.end_lineno]
    return "\n".join(lines)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
