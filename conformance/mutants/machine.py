"""Faults of the machine that runs the code, in its plain twin."""

from __future__ import annotations

from minigrad import _loop_py, _routine_py

from .fault import machine

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
        "what is added after a product is forgotten",
        "_step",
        ("total if last is None else total + last", "total"),
    ),
    machine(
        "products read from the first column",
        "_step",
        ("[:, start : start + inner]", "[:, :inner]"),
    ),
    machine(
        "segments read from the first column",
        "_segment",
        ("rows[place][:, c : c + wide[i]]", "rows[place][:, : wide[i]]"),
    ),
    machine(
        "a row is standardized without the mean",
        "_segment",
        (
            "y = run_opcode(name, args, width)",
            "y = args[0] * args[1] if name == 'standardize'"
            " else run_opcode(name, args, width)",
        ),
    ),
    machine(
        "sums of products overwrite those of other segments",
        "sums",
        ("np.add(o, x, o)", "np.add(0 * o if x.ndim > 1 else o, x, o)"),
        owner=_loop_py,
    ),
    machine(
        "sums overwrite those of other segments",
        "sums",
        ("np.add(o, x, o)", "np.add(0 * o if x.ndim == 1 else o, x, o)"),
        owner=_loop_py,
    ),
    machine(
        "the last row is in no sum",
        "sums",
        ("y.sum(0)", "y[:-1].sum(0)"),
        owner=_loop_py,
    ),
    machine(
        "the state before the last step is the last",
        "_final",
        ("states[0 if frame.reverse else -1]", "states[1 if frame.reverse else -2]"),
        owner=_routine_py,
    ),
    machine(
        "in reverse, states are those of one step later",
        "_output",
        ("(part == BEFORE) != frame.reverse", "part == BEFORE"),
        owner=_routine_py,
    ),
    machine(
        "the first weight for all",
        "bind",
        (
            "[_backend.loop.pack(tensors[i]) for i in layout.weights]",
            "[_backend.loop.pack(next(t for t in tensors[layout.weights[0] :]"
            " if t.shape == tensors[i].shape)) for i in layout.weights]",
        ),
        owner=_routine_py,
    ),
    machine(
        "the initial state is taken twice",
        "bind",
        (
            "states[-1 if frame.reverse else 0] = initial",
            "states[-1 if frame.reverse else 0] = 2 * initial",
        ),
        owner=_routine_py,
    ),
    machine(
        "rows that never run end in zeros",
        "bind",
        (
            "            states[:] = initial",
            "            states[:] = initial\n            states[1] = 0",
        ),
        owner=_routine_py,
    ),
    machine(
        "sequences rounded to float32",
        "rows",
        (
            "    if array.ndim and",
            "    array = np.float32(array).astype(array.dtype)\n    if array.ndim and",
        ),
        owner=_routine_py,
    ),
]
