"""Faults of the fused loop: in tracing, cutting, differentiating and lowering a step.

All are planted in Python: the code that the machine is then given is wrong, but code.
Faults of the machine itself (strides, turns of a carry, rows shared out to threads) are
planted in its plain twin, which then runs the loops.
"""

from __future__ import annotations

from typing import Any

from minigrad import _loop_py
from minigrad.fused import (
    backward,
    checkpoint,
    combine,
    cut,
    frame,
    items,
    joint,
    levels,
    lift,
    loop,
    lower,
    passes,
    plan,
    routine,
    step,
    stepper,
)
from minigrad.fused.products import gram, over, product
from seq import stream

from .mutant import Mutant
from .planting import Edit

ALIKE = "^scan$|^(lstm|gru)_loop/"
"""Cases enough to see that what is equivalent makes no difference."""


def fault(name: str, owner: Any, function: str, *edits: Edit, **facts: Any) -> Mutant:
    """A fault in a function of the fused loop."""
    part = owner.__module__ if isinstance(owner, type) else owner.__name__
    return Mutant(
        f"{part.rpartition('.')[2]}: {name}",
        edits=edits,
        owner=owner,
        function=function,
        lowering=True,
        **facts,
    )


def wrong(name: str, op: Any, **vjps: Any) -> Mutant:
    """A wrong VJP of an op that only the fused loop has."""
    return Mutant(f"products: {name}", owner=op, vjps=vjps, lowering=True)


def machine(name: str, function: str, *edits: Edit, owner: Any = None) -> Mutant:
    """A fault of the machine, in its twin."""
    owner = owner or _loop_py.Machine
    return fault(f"in the machine, {name}", owner, function, *edits, twin=True)


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
            "lambda tensors: tensors[at]",
            "lambda tensors: next(t for t in tensors if t.shape == tensors[at].shape)",
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
        ("return (kind, key), lambda t: _p", "return (kind, key[:3]), lambda t: _p"),
    ),
    fault(
        "a step with another default is the same step",
        lift.Lifted,
        "_function",
        ("self._walk(defaults, name)", "self._walk((None, None), name)"),
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

ITEMS = [
    fault(
        "every gate is the first",
        items.Items,
        "split",
        ("column += v.shape[-1]", "column += 0"),
    ),
    fault(
        "a gate one column late",
        items.Items,
        "split",
        (
            "Operand(x.value, column, v.shape[-1])",
            "Operand(x.value, max(column - 1, 0), v.shape[-1])",
        ),
    ),
    fault(
        "what is joined is written over what was there",
        items.Items,
        "cat",
        ("column += part.width", "column += 0"),
    ),
    fault(
        "zeros after columns, not before",
        items.Items,
        "lowered",
        (
            "before, after = c[0], args[2][1] - c[1]",
            "after, before = c[0], args[2][1] - c[1]",
        ),
    ),
    fault(
        "columns from the first on",
        items.Items,
        "lowered",
        ("args[0].column + c[0], c[1]", "args[0].column, c[1]"),
    ),
    fault(
        "one number for all of a width",
        items.Items,
        "number",
        ("key = (float(x), width)", "key = (0.0, width)"),
    ),
    fault(
        "outputs are the states before the step",
        items.Items,
        "output",
        ('return "write", k', 'return "read", k'),
    ),
    fault(
        "softmax of what is not shifted alike",
        items.Items,
        "along",
        (
            'log = self.emit("log", total)',
            'log = self.emit("log1p", total)',
        ),
    ),
    fault(
        "a cut at the upper bound only",
        items.Items,
        "elementwise",
        ('x if low is None else self.emit("maximum", x, low)', "x"),
    ),
    fault(
        "softplus without its threshold's side",
        items.Items,
        "elementwise",
        ('self.emit("gt", z, threshold)', 'self.emit("lt", z, threshold)'),
    ),
    fault(
        "a row is made as wide by its first column",
        items.Items,
        "product",
        (
            "[args[0], self.fixed[weight]]",
            "[args[0], min(self.fixed[w] for w in self.fixed"
            " if w.shape == weight.shape)]",
        ),
    ),
    fault(
        "one term of a sum of products",
        combine,
        "merge_sums",
        (
            "[a for term in terms for a in term.args]",
            "[a for term in terms[:1] for a in term.args]",
        ),
    ),
    fault(
        "the same rows in both terms",
        combine,
        "merge_sums",
        (
            "            items.items =",
            "            item.args[2] = item.args[0]\n            items.items =",
        ),
    ),
    fault(
        "three sums for a product and a sum",
        combine,
        "combine",
        ('"add3" if inner.name == "add" else "muladd"', '"add3"'),
    ),
    fault(
        "y (1 - x) for x (1 - y)",
        combine,
        "combine",
        (
            "[item.args[1 - i], inner.args[1]]",
            "[inner.args[1], item.args[1 - i]]",
        ),
    ),
    fault(
        "any difference is one from 1",
        combine,
        "_is_one",
        ("return item.args[0].value in items.ones", "return True"),
    ),
    fault(
        "the sum's other term is multiplied",
        combine,
        "combine",
        ("[*inner.args, other]", "[other, *inner.args]"),
    ),
]

LOWER = [
    *(
        fault(
            f"{other} for {name}",
            lower._Lowering,
            "code",
            (
                "code.append(OPCODES[item.name])",
                f"code.append(OPCODES[{{{name!r}: {other!r}}}"
                ".get(item.name, item.name)])",
            ),
        )
        for name, other in (
            ("tanh", "sigmoid"),
            ("sigmoid", "tanh"),
            ("sub", "add"),
            ("mul", "add"),
            ("add", "sub"),
            ("neg", "abs"),
            ("muladd", "add3"),
            ("maximum", "minimum"),
            ("gt", "lt"),
            ("lt", "gt"),
            ("amax", "amin"),
            ("expm1", "exp"),
        )
    ),
    fault(
        "operands in reverse order",
        lower._Lowering,
        "code",
        ("(item.out, *item.args)", "(item.out, *item.args[::-1])"),
    ),
    fault(
        "weights of one shape exchanged",
        lower._Lowering,
        "weight_order",
        ("return sorted(set(used))", "return sorted(set(used), reverse=True)"),
        cases=ALIKE,
        equivalent="the order of the weights is the list itself, by which the code "
        "names them and the caller hands them over: any order will do.",
    ),
    fault(
        "weights handed over in another order than the code has",
        lower._Lowering,
        "product_code",
        ("order = self.weight_order()", "order = self.weight_order()[::-1]"),
    ),
    fault(
        "a register is free one item early",
        lower._Lowering,
        "allocate",
        ("if last[a.value] == i}", "if last[a.value] <= i + 1}"),
    ),
    fault(
        "one register for all",
        lower._Lowering,
        "allocate",
        ("value.register, n = n, n + 1", "value.register, n = 0, 1"),
    ),
    fault(
        "what is part of a value is found at its beginning",
        lower._Lowering,
        "at",
        ("column += value.home.column", "column += 0"),
    ),
    fault(
        "an item runs when its first operand is there",
        lower._Lowering,
        "phases",
        ("for a in item.reads for w", "for a in item.reads[:1] for w"),
    ),
]

LOOPS = [
    fault(
        "the state before the last step is the last",
        loop.Loop,
        "_final",
        ("states[0 if frame.reverse else -1]", "states[1 if frame.reverse else -2]"),
    ),
    fault(
        "in reverse, states are those of one step later",
        loop.Loop,
        "_states",
        ('(what == "read") != frame.reverse', 'what == "read"'),
    ),
    fault(
        "the initial state is taken twice",
        loop.Loop,
        "_carry",
        (
            "states[-1 if frame.reverse else 0] = initial",
            "states[-1 if frame.reverse else 0] = 2 * initial",
        ),
    ),
    fault(
        "rows that never run end in zeros",
        loop.Loop,
        "_carry",
        ("halves[:] = initial", "halves[:] = initial\n        halves[1] = 0"),
    ),
    fault(
        "the first weight for all",
        loop.Loop,
        "bound",
        (
            "[_backend.loop.pack(fixed[i]) for i in code.weights]",
            "[_backend.loop.pack(next(f for f in fixed if f.shape == fixed[i].shape))"
            " for i in code.weights]",
        ),
    ),
    fault(
        "a machine of another dtype",
        loop.Loop,
        "_machine",
        ("key = dtype, ragged", "key = ragged"),
        cases=ALIKE,
        equivalent="the dtypes are part of the key of a plan, and each plan has loops "
        "of its own: no loop is ever run in two dtypes.",
    ),
    fault(
        "a machine made for rows that end together runs those that don't",
        loop.Loop,
        "_forward",
        (
            "self.bound(tensors, frame, frame.ragged)",
            "self.bound(tensors, frame, True)",
        ),
        cases=ALIKE,
        equivalent="a machine for rows that may end keeps no state of a carry, but "
        "writes a sequence of its own: more work for the same numbers.",
    ),
    fault(
        "numbers of float32",
        loop.Loop,
        "_machine",
        (
            "np.full(b.width, b.which, dtype)",
            "np.full(b.width, np.float32(b.which), dtype)",
        ),
    ),
    fault(
        "sequences rounded to float32",
        loop,
        "_rows",
        (
            "    if array.ndim and",
            "    array = np.float32(array).astype(array.dtype)\n    if array.ndim and",
        ),
    ),
    fault(
        "a gradient is run in the forward's direction",
        routine._Writer,
        "argument",
        ('"frame.reversed" if a.reverse else "frame"', '"frame"'),
    ),
    fault(
        "sums of segments overwrite those before",
        routine._Writer,
        "line",
        ('args[-1] = f"totals.get({i})"', 'args[-1] = "None"'),
    ),
    fault(
        "the final states in the order of the lengths",
        plan.Plan,
        "run",
        ("frames.unsort(c, frame) for c", "c for c"),
    ),
    fault(
        "no gradient from segment to segment",
        plan.Plan,
        "__call__",
        ("asked = (True,) * n + needed[n:]", "asked = needed"),
    ),
    wrong(
        "a square weight is not transposed",
        over[product],
        x=lambda g, z, x, weight, frame: over[product](
            g, weight if weight.shape[0] == weight.shape[1] else weight.T, frame
        ),
    ),
    wrong(
        "a square weight is not transposed in the loop",
        product,
        x=lambda g, z, x, weight: product(
            g, weight if weight.shape[0] == weight.shape[1] else weight.T
        ),
    ),
    wrong(
        "the sum over rows is off by 1e-11",
        over[product],
        weight=lambda g, z, x, weight, frame: (
            over[gram](x, g, frame.reversed) * (1 + 1e-11)
        ),
    ),
    wrong(
        "the derivative of a sum over rows has the wrong sign",
        over[gram],
        x=lambda g, z, x, y, frame, out: -over[product](y, g.T, frame),
    ),
]

FRAMES = [
    fault(
        "every row ends where the longest does",
        frame.Ragged,
        "last",
        ("self.lengths % 2,", "self.n_steps % 2 + 0 * self.lengths,"),
    ),
    fault(
        "the half of a carry that was read last",
        frame.Frame,
        "last",
        ("self.n_steps % 2", "(self.n_steps + 1) % 2"),
    ),
    fault(
        "sorted back by the wrong permutation", frame, "_unsort", ("inverse", "order")
    ),
    fault("sorted by the wrong permutation", frame, "_sort", ("order", "inverse")),
    fault(
        "of an example's rows, the last, not the sum",
        frame,
        "_gather_own",
        ("np.add.at(out, frame.owners, x)", "out[frame.owners] = x"),
    ),
    fault(
        "rows of the first examples",
        frame,
        "_own",
        ("x[frame.owners]", "x[0 * frame.owners]"),
    ),
    fault(
        "the padding holds what ran last",
        frame,
        "_unpack",
        ("np.zeros(", "np.ones("),
    ),
    fault(
        "lengths off by one",
        frame.Ragged,
        "__init__",
        ("[:, None] < self.lengths", "[:, None] < self.lengths - 1"),
    ),
    fault(
        "the shortest first",
        frame.Ragged,
        "__init__",
        ("np.argsort(-lengths,", "np.argsort(lengths,"),
    ),
]

SEGMENTS = [
    fault(
        "segments in the order of time, in reverse too",
        checkpoint.Checkpointed,
        "_segments",
        ("segments[::-1] if frame.reverse else segments", "segments"),
    ),
    fault(
        "states kept at the ends of segments, not where they begin",
        checkpoint.Checkpointed,
        "_forward",
        ("        kept += carry\n", ""),
        (
            "results[: self.n], results[self.n :]\n",
            "results[: self.n], results[self.n :]\n        kept += carry\n",
        ),
    ),
    fault(
        "a segment's sum overwrites that of the one after",
        checkpoint.Checkpointed,
        "_collect",
        ("found[k] = found[k] + g", "found[k] = g"),
    ),
    fault(
        "lengths counted from the beginning in every segment",
        checkpoint,
        "_part",
        ("frame.lengths[frame.inverse] - a,", "frame.lengths[frame.inverse],"),
    ),
    fault(
        "the lengths of the sorted examples",
        checkpoint,
        "_part",
        ("frame.lengths[frame.inverse] - a,", "frame.lengths - a,"),
    ),
    fault(
        "the cotangents of the first segment for all",
        checkpoint.Checkpointed,
        "_joint",
        ("*(g[a:b] for g in back[n:]", "*(g[: b - a] for g in back[n:]"),
    ),
    fault(
        "the first segment's state for all",
        checkpoint.Checkpointed,
        "_joint",
        ("kept[i * n : (i + 1) * n]", "kept[:n]"),
    ),
    fault(
        "the gradient of the final states is forgotten",
        checkpoint.Checkpointed,
        "_joint",
        (
            "zip(tensors[:n], back[:n], strict=True)",
            "zip(tensors[:n], [None] * n, strict=True)",
        ),
    ),
    fault(
        "segments that cut a block of rows",
        checkpoint,
        "segment_steps",
        (
            "return -(-int(checkpoint) // frame.unit) * frame.unit",
            "return int(checkpoint)",
        ),
    ),
]

STREAMS = [
    fault(
        "the state before the last step",
        stepper.Stepper,
        "carry",
        ("halves[self._steps.turn]", "halves[1 - self._steps.turn]"),
    ),
    fault(
        "a state that is set counts at every other step",
        stepper.Stepper,
        "set_carry",
        ("halves[:] = state", "halves[0] = state"),
    ),
    fault(
        "the first input for all steps",
        stepper.Stepper,
        "__init__",
        (
            "zip(names[n : n + len(xs)], xs, strict=True)",
            "zip(names[n : n + len(xs)], [x.copy() for x in xs], strict=True)",
        ),
    ),
    fault(
        "the layers' states in reverse order",
        stream.Stream,
        "state",
        ("for s in self._steppers)", "for s in self._steppers[::-1])"),
    ),
    fault(
        "outputs that the next step overwrites",
        stream.Stream,
        "__call__",
        ("return self._output.copy()", "return self._output"),
    ),
]

MACHINE = [
    machine(
        "a row between two threads is nobody's",
        "_step",
        (
            "    code = iter(self.code)\n",
            "    n = max(len(r) for r in rows) // 2\n"
            "    if n > 1 and not hasattr(self, 'part'):\n"
            "        self.part = True\n"
            "        for part in (slice(0, n - 1), slice(n, None)):\n"
            "            some = [r if k == VECTOR else r[part]"
            " for r, k in zip(rows, self.kinds)]\n"
            "            self._step(some, weights)\n"
            "        del self.part\n"
            "        return\n"
            "    code = iter(self.code)\n",
        ),
    ),
    machine(
        "the second thread reads the first one's rows of a sequence",
        "_rows",
        ("        first = start\n", "        first = start - start % (2 * n)\n"),
    ),
    machine(
        "the steps of a sequence in the order of running",
        "run_from",
        ("t, starts[t], sizes", "t, starts[i], sizes"),
    ),
    machine(
        "a carry is read where it is written",
        "_rows",
        ("(i + (kind == WRITE)) % 2", "i % 2"),
    ),
    machine(
        "a kept carry is read one step late",
        "_rows",
        ("(reverse == (kind == READ))", "(reverse != (kind == READ))"),
    ),
    machine(
        "a second term overwrites the first",
        "_step",
        ("total = total + x @ weights[weight]", "total = x @ weights[weight]"),
    ),
    machine(
        "products read from the first column",
        "_step",
        ("[:, first : first + inner]", "[:, :inner]"),
    ),
    machine(
        "segments read from the first column",
        "_segment",
        ("rows[place][:, c : c + wide]", "rows[place][:, :wide]"),
    ),
    machine(
        "the largest of a row is that of all rows",
        "run_opcode",
        ("forward(args[0], -1, True)", "forward(args[0], None, True)"),
        owner=_loop_py,
    ),
    machine(
        "sums of products overwrite those of other segments",
        "gram",
        ("np.add(out, total, out)", "np.add(0 * out, total, out)"),
        owner=_loop_py,
    ),
    machine(
        "sums overwrite those of other segments",
        "sum_rows",
        ("np.add(out, total, out)", "np.add(0 * out, total, out)"),
        owner=_loop_py,
    ),
    machine(
        "the last row is in no sum",
        "sum_rows",
        ("x.reshape(-1, x.shape[-1]).sum(0)", "x.reshape(-1, x.shape[-1])[:-1].sum(0)"),
        owner=_loop_py,
    ),
]

LOWERING = [
    *(*LIFT, *TRACE, *CUT, *DERIVE, *ITEMS, *LOWER),
    *(*LOOPS, *FRAMES, *SEGMENTS, *STREAMS, *MACHINE),
]
