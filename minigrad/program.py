"""Program: a recorded computation as a list of typed instructions; values stand beside.

Immutable, single-assignment, printable. `run` interprets it with numpy, and is what it
means; `check` derives every type anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _backend, tape
from .errors import (
    ArgumentError,
    DTypeError,
    GraphError,
    ShapeError,
    check_callable,
    describe,
)
from .mode import trace_mode
from .op import Op
from .tensor import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Var:
    """A value's name and type."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __hash__(self) -> int:
        return self.number  # one field tells most apart, and is quick

    def __str__(self) -> str:
        return f"%{self.number}"

    @property
    def type(self) -> str:
        """Such as float32[3, 4]."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Instruction:
    """outputs = op(*args): an arg is a Var, a number, or a plain parameter."""

    op: Op
    args: tuple[Any, ...]
    outputs: tuple[Var, ...]

    def __str__(self) -> str:
        left = ", ".join(f"{v}: {v.type}" for v in self.outputs)
        args = [str(a) if isinstance(a, Var) else describe(a) for a in self.args]
        return f"{left} = {self.op.name}({', '.join(args)})"


@dataclass(frozen=True)
class Program:
    """Instructions between inputs and outputs, in an order in which they can run."""

    inputs: tuple[Var, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[Var, ...]

    def __str__(self) -> str:
        head = ", ".join(f"{v}: {v.type}" for v in self.inputs)
        body = "\n".join(f"  {line}" for line in self.instructions)
        return f"program({head}):\n{body}\n  return {', '.join(map(str, self.outputs))}"

    def draw(self, path: Any) -> None:
        """Draw it, from top to bottom, into a file: .png, .svg or .pdf by its name.

        Raises MissingExtraError without matplotlib, which the extra `pictures` brings,
        ArgumentError for a name that ends in no format.
        """
        from .picture import draw

        draw(self, path)

    def run(self, *values: Any) -> list[Array]:
        """The outputs' arrays, read-only, from arrays for the inputs, by numpy.

        Raises ArgumentError, ShapeError or DTypeError for values that do not fit.
        """
        env = self._bind([np.array(v) for v in values])  # an output may be a view
        for line in self.instructions:
            self._step(line, env)
        return [env[v] for v in self.outputs]

    def check(self) -> None:
        """Derive every type from dummies; raise if one differs or a Var is wrong.

        A type that depends on values, such as that of one_hot without num_classes,
        can't be derived, and is refused.
        """
        # Dummies carry types only, but indices among them are looked up: 0 is there.
        env = self._bind([np.zeros(v.shape, v.dtype) for v in self.inputs])
        written: set[int] = set()
        _write(written, self.inputs, "input")
        for line in self.instructions:
            _read(env, line.args, line)
            _write(written, line.outputs, line)
            self._step(line, env)
            for v in line.outputs:
                _match(v, env[v], line)
        _read(env, self.outputs, "return")

    def _bind(self, values: Sequence[Array]) -> dict[Var, Array]:
        if len(values) != len(self.inputs):
            raise ArgumentError(
                f"the program has {len(self.inputs)} inputs, not {len(values)}"
            )
        for v, value in zip(self.inputs, values, strict=True):
            _match(v, value, "input")
        return dict(zip(self.inputs, values, strict=True))

    def _step(self, line: Instruction, env: dict[Var, Array]) -> None:
        args = tuple(
            _backend.wrap(env[a]) if isinstance(a, Var) else a for a in line.args
        )
        result = _backend.apply(line.op, args)  # on no leaf: nothing is recorded
        values = result if isinstance(result, tuple) else (result,)
        if len(values) != len(line.outputs):
            raise ArgumentError(f"{line}: the op has {len(values)} outputs")
        for v, value in zip(line.outputs, values, strict=True):
            env[v] = value.numpy()


def _read(env: dict[Var, Array], args: Sequence[Any], where: Any) -> None:
    for arg in args:
        if isinstance(arg, Var) and arg not in env:
            raise ArgumentError(
                f"{where}: {arg}: {arg.type} is read, but nothing wrote it before"
            )


def _write(written: set[int], variables: Sequence[Var], where: Any) -> None:
    for v in variables:
        if v.number in written:
            raise ArgumentError(f"{where}: {v} is written twice")
        written.add(v.number)


def _match(v: Var, value: Array, where: Any) -> None:
    if value.shape != v.shape:
        raise ShapeError(f"{where}: {v} must be {v.type}; it has shape {value.shape}")
    if value.dtype != v.dtype:
        raise DTypeError(f"{where}: {v} must be {v.type}; it has dtype {value.dtype}")


def linearise(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Program, list[Array]]:
    """The recorded computation of outputs from inputs: (program, captured values).

    What was used but is not among the inputs is captured: it becomes an input of the
    program after the given ones, and its value is returned beside.

    Raises GraphError if a backward pass has let go of the graph, ArgumentError for an
    input that is not recorded.
    """
    for given, name in ((outputs, "outputs"), (inputs, "inputs")):
        if isinstance(given, Tensor) or not isinstance(given, Iterable):
            raise ArgumentError(f"linearise: {name} must be a list of tensors")
    for x in (*outputs, *inputs):
        tape.check_tensor(x, "linearise: each output and input")
    slots = {(x._node, x._slot) for x in inputs if x._node}
    if len(slots) != len(inputs):
        raise ArgumentError(
            "linearise: each input must be a recorded tensor, given once"
        )
    builder = Builder()
    for x in inputs:
        builder.name_slot((x._node, x._slot), x._data)
    own = list(builder.vars)
    made = [y for y in outputs if (y._node, y._slot) not in slots]
    if any(y._node and tape.was_freed(y._node) for y in made):
        raise GraphError(
            "linearise: a backward pass has let go of this graph; pass "
            "retain_graph=True to it"
        )
    lines = builder.lines(outputs)
    results = tuple(map(builder.slot, outputs))
    program = Program((*own, *builder.captured), tuple(lines), results)
    # Views, as numpy() gives: an array itself could be unlocked, or its shape set.
    return program, [value.view() for value in builder.captured.values()]


class Builder:
    """Names for the values of a graph, counted from `first`."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.vars: list[Var] = []
        self.by_slot: dict[Any, Var] = {}
        self.by_array: dict[int, Var] = {}
        self.captured: dict[Var, Array] = {}

    def new(self, value: Array) -> Var:
        self.vars.append(Var(self.first + len(self.vars), value.shape, value.dtype))
        return self.vars[-1]

    def name_slot(self, slot: Any, value: Array) -> Var:
        self.by_slot[slot] = self.new(value)
        return self.by_slot[slot]

    def constant(self, value: Array) -> Var:
        if id(value) not in self.by_array:
            self.by_array[id(value)] = v = self.new(value)
            self.captured[v] = value  # holding it keeps its id its own
        return self.by_array[id(value)]

    def slot(self, y: Tensor) -> Var:
        found = self.by_slot.get((y._node, y._slot))
        return self.constant(y._data) if found is None else found

    def lines(self, results: Iterable[Tensor]) -> list[Instruction]:
        """What made these tensors of those that have a name."""
        known = set(self.by_slot)
        roots = [
            y._node for y in results if y._node and (y._node, y._slot) not in known
        ]
        nodes = tape.reachable(roots, stop=known)
        return [self.line(node) for node in reversed(nodes) if node.args]

    def line(self, node: Any) -> Instruction:
        args = list(node.args)
        for i, position in enumerate(node.op.places(node.args)):
            if not isinstance(args[position], np.ndarray):
                continue
            slot = (node.parents[i], node.slots[i])
            found = self.by_slot.get(slot) if node.parents[i] is not None else None
            args[position] = self.constant(args[position]) if found is None else found
        # A slot that is an input has its name: what is computed here is not used.
        outputs = tuple(
            self.new(v) if (node, i) in self.by_slot else self.name_slot((node, i), v)
            for i, v in enumerate(node.values)
        )
        return Instruction(node.op, tuple(args), outputs)


def leaf(values: Array) -> Any:
    """A Tensor that a trace begins with, whatever its dtype."""
    return _backend.wrap(values, _backend.Node())


def trace(fn: Callable[..., Any], *inputs: Tensor) -> tuple[Program, list[Array]]:
    """Run fn on the inputs and return what it did: (program, captured values).

    Every op is seen, a gradient's and a non-differentiable one's too. Raises GraphError
    if fn looks at a value or turns recording off, which would freeze what it did there.

    >>> import minigrad as mg
    >>> program, _ = trace(lambda x: (x * x).sum(), mg.ones(3))
    >>> print(program)
    program(%0: float32[3]):
      %1: float32[3] = mul(%0, %0)
      %2: float32[] = sum(%1, None, False)
      return %2
    """
    check_callable(fn, "trace: fn")
    for x in inputs:
        tape.check_tensor(x, "trace: each input")
    leaves = [leaf(x._data) for x in inputs]
    with trace_mode():
        result = fn(*leaves)
    return linearise(result if isinstance(result, tuple) else (result,), leaves)
