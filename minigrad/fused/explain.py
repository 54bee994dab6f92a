"""What became of a step: its program before and after the passes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from .._loop_py import COMBINED
from ..program import Instruction, Program
from .cut import Cut
from .loop import Loop
from .lower import Code, lower
from .plan import Plan
from .products import product


@dataclass(frozen=True)
class Part:
    """One direction of a loop: the forward, or the backward that was derived from it.

    before, stacked, after: what was cut out: what is the same for all steps, products
    on whole sequences, sums over all rows. flops and bytes are for one example at one
    step: arithmetic in the loop, and what the step reads and writes besides weights;
    weights, in bytes, are read once a step for all examples.
    """

    program: Program
    before: tuple[Instruction, ...]
    stacked: tuple[Instruction, ...]
    loop: Program
    after: tuple[Instruction, ...]
    code: Code
    flops: int
    bytes: int
    weights: int

    def __repr__(self) -> str:
        cuts = {
            "once, before the loop": self.before,
            "on whole sequences, before the loop": self.stacked,
            "on whole sequences, after the loop": self.after,
        }
        text = [f"traced: {self.program}"]
        text += [
            "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
            for title, lines in cuts.items()
            if lines
        ]
        text.append(f"at each step: {self.loop}")
        text.append("\n".join(["phases:", *(f"  {line}" for line in self.phases())]))
        text.append(
            f"a step: {self.flops} flops and {self.bytes} bytes for an example, "
            f"{self.weights} bytes of weights for all"
        )
        return "\n".join(text)

    def phases(self) -> list[str]:
        """What the machine does at each step, phase by phase."""
        lines = []
        for phase in self.code.phases:
            first = phase[0][0]
            if first.name == "product":
                sizes = " + ".join(f"rows ({x.width})" for x in first.args[::2])
                more = ["rows", "a vector", "a vector"]
                added = [m for m, a in zip(more, first.added, strict=False) if a]
                lines.append(
                    f"product: {sizes} by a weight to ({first.out.width})"
                    + (f", and to it {' and '.join(added)}" if added else "")
                )
            for segment in phase if first.name != "product" else ():
                names = " ".join(item.name for item in segment)
                lines.append(f"rows of {segment[0].width}: {names}")
        return lines


@dataclass(frozen=True)
class Explanation:
    """What `explain` found. reason: why a step isn't fused; uncached: why it is traced
    at every call; each None if all is well. It prints as text.
    """

    title: str
    reason: str | None
    uncached: str | None
    forward: Part | None
    backward: Part | None

    def __repr__(self) -> str:
        lines = [self.title]
        if self.reason is not None:
            lines.append(f"not fused, each op runs by itself: {self.reason}")
        if self.uncached is not None:
            lines.append(f"traced at each call, as {self.uncached}")
        else:
            lines.append("traced once, then reused")
        for name, part in (("forward", self.forward), ("backward", self.backward)):
            if part is not None:
                lines += ["", f"-- {name} --", str(part)]
        return "\n".join(lines)


class Explanations(tuple[Explanation, ...]):
    """Those of a layer's places; they print as text, too."""

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self))


def explain_plan(title: str, plan: Plan, uncached: str | None) -> Explanation:
    """What became of a traced step."""
    if plan.reason is not None:
        return Explanation(title, plan.reason, uncached, None, None)
    floats = [v.dtype.kind == "f" for v in plan.cut.operands]
    loop = plan.cut.loop.saving(tuple(floats))
    n = len(loop.program.outputs) - loop.n_hidden
    backward = loop.derivative([i < n for i in range(n + loop.n_hidden)], floats)
    return Explanation(
        title,
        None,
        uncached,
        _part(plan.traced.program, plan.cut, loop),
        _part(backward.cut.program, backward.cut, backward.cut.loop),
    )


def _part(program: Program, cut: Cut, loop: Loop) -> Part:
    code = lower(loop.program, loop.counts, False)
    flops, moved, weights = _cost(loop, code)
    return Part(
        program,
        tuple(cut.before),
        tuple(cut.stacked),
        loop.program,
        tuple(cut.after),
        code,
        flops,
        moved,
        weights,
    )


def _cost(loop: Loop, code: Code) -> tuple[int, int, int]:
    """(flops, bytes) for an example at a step, and bytes of weights."""
    size = loop.program.inputs[0].dtype.itemsize
    lines = loop.program.instructions
    weights = [line.args[1] for line in lines if line.op is product]
    elements = [w.shape[0] * w.shape[1] for w in weights]
    items = [item for phase in code.phases for segment in phase for item in segment]
    simple = sum(
        _elements(item.name, item.width)
        + item.width * sum(a is not None for a in item.added)
        for item in items
    )
    streams = sum(b.width for b in code.buffers if b.what in ("stream", "out", "carry"))
    return 2 * sum(elements) + simple, size * streams, size * sum(elements)


def _elements(name: str, width: int) -> int:
    """The operations of an opcode, an elementary function counted as one."""
    if name in ("product", "copy", "spread"):
        return 0
    each = {"rstd": 5, "standardize": 3, "standardize_grad": 7}
    return each.get(name, 2 if name in COMBINED else 1) * width
