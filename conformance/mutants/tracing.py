"""Faults in what a step refers to, in its trace, its cut and its derivative."""

from __future__ import annotations

from minigrad.fused import backward, cut, joint, levels, lift, passes, step

from .fault import fault

LIFT = [
    fault(
        "a step with another number is the same step",
        lift.Lifted,
        "_walk",
        ("return (kind, repr(value)), lambda _: value", "return kind, lambda _: value"),
    ),
    fault(
        "the first tensor for all of them",
        lift.Lifted,
        "_walk",
        (
            "lambda new: new.tensors[at]",
            "lambda new: next(t for t in new.tensors if t.shape == value.shape)",
        ),
    ),
    fault(
        "the tensors of a dict in the order of their names",
        lift.Lifted,
        "_walk",
        ("names = tuple(value)\n", "names = tuple(sorted(value))\n"),
    ),
    fault(
        "a step with other keywords is the same step",
        lift.Lifted,
        "_walk",
        (
            "return (kind, key), lambda new: _p",
            "return (kind, key[:3]), lambda new: _p",
        ),
    ),
    fault(
        "a step with another default is the same step",
        lift.Lifted,
        "_function",
        ("self._walk(fn.__defaults__, name)", "self._walk((None, None), name)"),
    ),
    fault(
        "a step that calls another function is the same step",
        lift.Lifted,
        "_function",
        ("keys = (code, *modules,", "keys = (0, *modules,"),
    ),
]

TRACE = [
    fault(
        "what depends on the number of examples is reused for another",
        step,
        "_alike",
        ("return False", "return True"),
        (
            "        len(a.captured) == len(b.captured)\n",
            "        True or len(a.captured) == len(b.captured)\n",
        ),
    ),
    fault(
        "instructions that differ in their second operand are one",
        passes,
        "without_repetition",
        ("*map(_key, line.args))", "*map(_key, line.args[:1]))"),
    ),
    fault(
        "numbers are all the same to an op",
        passes,
        "_key",
        ("else repr(arg)", "else type(arg)"),
    ),
    fault(
        "merged weights in reverse order",
        passes,
        "_merged",
        ("ops.cat, (*weights, 1)", "ops.cat, (*weights[::-1], 1)"),
    ),
    fault(
        "the pieces of a merged product in reverse order",
        passes,
        "_merged",
        ("(result, widths, 1), outputs)", "(result, widths, 1), outputs[::-1])"),
    ),
    fault(
        "products of different rows are merged",
        passes,
        "with_merged_products",
        (
            "groups.setdefault(line.args[0], [])",
            "groups.setdefault(next((x for x in groups"
            " if x.shape == line.args[0].shape), line.args[0]), [])",
        ),
    ),
]

CUT = [
    fault(
        "rows of data in the caller's order, not the longest first",
        cut.Cut,
        "__call__",
        ("if self.levels[v] == Level.FIXED:", "if False:"),
    ),
    fault(
        "sequences handed on in reverse order",
        cut.Cut,
        "__call__",
        ("zip(self.ys, results[n:]", "zip(self.ys, results[: n - 1 : -1]"),
    ),
    fault(
        "the states of a carry exchanged",
        cut.Cut,
        "__call__",
        ("return [*results[:n],", "return [*results[:n][::-1],"),
    ),
    fault(
        "nothing adds up rows, so nothing can be fused",
        levels,
        "levels_of",
        ("if Level.ROW < level", "if False and Level.ROW < level"),
    ),
    fault(
        "rows of data count as the same for all examples",
        levels,
        "levels_of",
        ("[Level.ROW] * counts.rows", "[Level.FIXED] * counts.rows"),
    ),
]

DERIVE = [
    fault(
        "the cotangents of the outputs in reverse order",
        joint,
        "pullback",
        ("for s in seeds]", "for s in seeds[::-1]]"),
    ),
    fault(
        "the gradients of the first two inputs exchanged",
        joint,
        "pullback",
        (
            "    gradients = iter([",
            "    found = [*found[1::-1], *found[2:]]\n    gradients = iter([",
        ),
    ),
    fault(
        "all cotangents flow into the first output",
        joint,
        "pullback",
        ("[values[v] for v in outputs]", "[values[outputs[0]] for v in outputs]"),
    ),
    fault(
        "sums begin with what is summed, not with zero",
        backward.Backward,
        "__call__",
        ("[ops.zeros_like(xs[i]) for i in", "[xs[i] * 1.0 for i in"),
    ),
    fault(
        "the last step's gradient, not the sum over all",
        backward.Backward,
        "__init__",
        ("after.append(grown)", "after.append(gradient)"),
    ),
    fault(
        "the loop runs in the forward's direction",
        backward.Backward,
        "__call__",
        ("frame.reversed", "frame"),
    ),
    fault(
        "no gradient from the final states",
        backward.Backward,
        "__call__",
        (
            "ops.zeros_like(x) if g is None else g\n",
            "ops.zeros_like(x)\n",
        ),
    ),
    fault(
        "values that were kept, in reverse order",
        backward.Backward,
        "__call__",
        ("(ys[i] for i in self.hidden)", "(ys[i] for i in self.hidden[::-1])"),
    ),
    fault(
        "sequences that are read, in reverse order",
        backward.Backward,
        "__call__",
        ("(xs[i] for i in self.streams)", "(xs[i] for i in self.streams[::-1])"),
    ),
]

TRACING = [*LIFT, *TRACE, *CUT, *DERIVE]
