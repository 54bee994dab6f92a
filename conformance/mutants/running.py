"""Faults in what runs the code: loops, frames, segments and streams."""

from __future__ import annotations

from minigrad.fused import checkpoint, frame, loop, plan, routine, stepper
from minigrad.fused.products import gram, over, product
from seq import stream

from .fault import ALIKE, fault, wrong

LOOPS = [
    fault(
        "a machine of another dtype",
        loop.Loop,
        "layout",
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
            "self.layout(tensors[0].dtype, frame.ragged)",
            "self.layout(tensors[0].dtype, True)",
        ),
        cases=ALIKE,
        equivalent="a machine for rows that may end keeps no state of a carry, but "
        "writes a sequence of its own: more work for the same numbers.",
    ),
    fault(
        "numbers of float32",
        loop.Loop,
        "layout",
        (
            "np.full(b.width, b.which, dtype)",
            "np.full(b.width, np.float32(b.which), dtype)",
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
        "_run",
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
        "__init__",
        ("n_steps % 2", "(n_steps + 1) % 2"),
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
            "_filled(back[:n], tensors)",
            "_filled([None] * n, tensors)",
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
        (
            "return output",
            "kept = self.__dict__.setdefault('kept', output)\n"
            "    kept[...] = output\n"
            "    return kept",
        ),
    ),
]

RUNNING = [*LOOPS, *FRAMES, *SEGMENTS, *STREAMS]
