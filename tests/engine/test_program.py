"""Program: what a function did, as a list that can be printed, checked and run."""

import dataclasses

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError, GraphError, ShapeError
from minigrad.op import OPS
from minigrad.program import Instruction, Program, Var

F64 = np.dtype(np.float64)
W = nn.Parameter(np.random.default_rng(3).standard_normal((3, 4)))
IDS = mg.tensor([[2, 0], [1, 1]])


def gates(x, h):
    i, f, g = mg.chunk(x @ W.T + h, 3, -1)
    return i.sigmoid() * g.tanh(), f.softmax(-1)


def slope(x):
    """A derivative: the backward pass is a part of what is traced."""
    (g,) = mg.grad((mg.relu(x) * x.tanh()).sum(), x, create_graph=True)
    return g


def curvature(x):
    (g,) = mg.grad((x**3).sum(), x, create_graph=True)
    return mg.grad((g * g).sum(), x)


FUNCTIONS = {
    "an op": (mg.tanh, [(2, 3)]),
    "scalars on both sides": (lambda x: 2 - x / 3 + 1.5**x, [(2,)]),
    "two outputs": (lambda x: (x.sum(), x * 2), [(2, 3)]),
    "the input itself": (lambda x: (x, x), [(2,)]),
    "an input that is not used": (lambda x, y: x * 2, [(2,), (3,)]),
    "a constant": (lambda x: (mg.ones(2), x), [(2,)]),
    "captured tensors": (gates, [(2, 4), (2, 3)]),
    "a captured array": (lambda x: x * np.array([1.0, 0.0]), [(2,)]),
    "comparisons": (lambda x: mg.where(x > 0, x, (x < -1).to(F64)), [(5,)]),
    "indices that are computed": (
        lambda x: x.gather(1, x.argmax(1, keepdim=True)),
        [(3, 4)],
    ),
    "values and indices": (lambda x: x.max(1), [(3, 4)]),
    "indexing": (lambda x: x[1:, None, ::-1][..., np.array([0, 0])], [(3, 4)]),
    "pieces and their joint": (lambda x: mg.cat(x.split([1, 2], 1)[::-1], 1), [(2, 3)]),
    "one piece of many": (lambda x: x.unbind(1)[1], [(2, 3)]),
    "a stack": (lambda x, y: mg.stack([x, y, x]), [(2,), (2,)]),
    "rows of a table": (lambda w: mg.embedding(IDS, w), [(3, 2)]),
    "a loss": (lambda x: mg.cross_entropy(x, np.array([1, 0])), [(2, 3)]),
    "detached": (lambda x: x * x.detach(), [(3,)]),
    "a loop": (
        lambda x: mg.scan(lambda c, x: (c * x, c), mg.ones(2, dtype=F64), x),
        [(3, 2)],
    ),
    "a derivative": (slope, [(4,)]),
    "a second derivative": (curvature, [(4,)]),
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)


def draws(name, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in map(tuple, FUNCTIONS[name][1])]


def eager(name, arrays):
    leaves = [mg.tensor(a, requires_grad=True) for a in arrays]
    result = FUNCTIONS[name][0](*leaves)
    result = result if isinstance(result, tuple) else (result,)
    return [y.detach().numpy() for y in result]


def traced(name):
    return mg.trace(FUNCTIONS[name][0], *map(mg.tensor, draws(name)))


# -- what it means ---------------------------------------------------------------------


@each_function
def test_a_program_computes_what_the_function_does_on_any_values(name):
    program, captured = traced(name)
    program.check()
    for seed in (0, 1, 2):
        arrays = draws(name, seed)
        found = program.run(*arrays, *captured)
        assert len(found) == len(program.outputs)
        for y, expected, var in zip(
            found, eager(name, arrays), program.outputs, strict=True
        ):
            assert np.array_equal(y, expected)
            assert (y.shape, y.dtype) == (var.shape, var.dtype)


@each_function
def test_a_program_prints_every_instruction(name):
    program, _ = traced(name)
    head, *lines, last = str(program).splitlines()
    assert head.startswith("program(%0: float64[") and last.startswith("  return %")
    written = [line for line in lines if line]
    assert len(written) == len(program.instructions)
    for line, instruction in zip(written, program.instructions, strict=True):
        assert f"= {instruction.op.name}(" in line


def test_how_a_program_looks():
    program, captured = mg.trace(
        lambda x: mg.where(x @ W.T > 0, 1.0, mg.split(x, 2)[0].sum((0, 1))),
        mg.ones(2, 4, dtype=F64),
    )
    assert len(captured) == 1 and np.shares_memory(captured[0], W._data)
    with pytest.raises(ValueError, match="WRITEABLE"):  # no way to change the tensor
        captured[0].flags.writeable = True
    assert str(program) == "\n".join(
        [
            "program(%0: float64[2, 4], %1: float64[3, 4]):",
            "  %2: float64[4, 3] = permute(%1, (1, 0))",
            "  %3: float64[2, 3] = matmul(%0, %2)",
            "  %4: bool[2, 3] = gt(%3, 0)",
            "  %5: float64[2, 4] = split(%0, 2, 0)",
            "  %6: float64[] = sum(%5, (0, 1), False)",
            "  %7: float64[2, 3] = where(%4, 1.0, %6)",
            "  return %7",
        ]
    )


def test_a_recorded_graph_is_linearised_between_any_two_tensors():
    x = mg.tensor([1.0, 2.0, 3.0, 4.0], mg.float64, requires_grad=True)
    a, b = (x * 2).split(2)
    y = (a * b).sum()
    program, captured = mg.linearise([y, a], [a])
    program.check()
    assert [v.tolist() for v in program.run(np.ones(2), *captured)] == [14.0, [1, 1]]
    assert "split(" in str(program)
    y.backward()
    assert x.grad.tolist() == [12.0, 16.0, 4.0, 8.0]


def test_a_derived_backward_is_a_program_too():
    x = mg.tensor([-1.0, 2.0], mg.float64, requires_grad=True)
    g = mg.tensor([1.0, 1.0], mg.float64, requires_grad=True)
    (slope,) = mg.grad(x.exp(), x, g, create_graph=True)
    program, captured = mg.linearise([slope], [x, g])
    program.check()
    at, by = np.array([0.5, 0.25]), np.array([3.0, 4.0])
    assert "exp(" in str(program)
    assert np.array_equal(program.run(at, by, *captured)[0], by * np.exp(at))


# -- what it keeps apart ---------------------------------------------------------------


def test_running_leaves_the_callers_arrays_alone_and_apart():
    program, _ = mg.trace(lambda x: (x, x.T, x * 2), mg.ones(2, 2, dtype=F64))
    mine = np.ones((2, 2))
    found = program.run(mine)
    mine[:] = 7
    assert mine.flags.writeable
    assert [np.unique(y).tolist() for y in found] == [[1], [1], [2]]
    assert not any(y.flags.writeable for y in found)


def test_tracing_leaves_tensors_and_gradients_alone():
    x = mg.ones(2, requires_grad=True)
    mg.trace(lambda x: x * 2, x)
    assert x.grad is None and x.is_leaf
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and mg.is_grad_enabled()


def test_a_program_is_immutable():
    program, _ = traced("an op")
    for target, name in [
        (program, "outputs"),
        (program.instructions[0], "op"),
        (program.inputs[0], "shape"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(target, name, ())
    parts = (program.inputs, program.instructions, program.outputs)
    assert all(isinstance(part, tuple) for part in parts)


LOOKS = {
    "item": lambda x: x * x.sum().item(),
    "tolist": lambda x: x * x.tolist()[0],
    "float": lambda x: x * float(x[0]),
    "bool": lambda x: x if x.sum() > 0 else -x,
    "numpy": lambda x: x * x.numpy(),
    "detach and numpy": lambda x: x * x.detach().numpy(),
    "asarray": lambda x: x * np.asarray(x),
    "a new tensor": lambda x: x * mg.tensor(x),
    "a mask as an index": lambda x: x[x > 0],
    "an index of a slice": lambda x: x[: x.argmax()],
    "no_grad": lambda x: mg.no_grad()(lambda: x * 2)(),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_would_freeze_a_value_raises_and_the_mode_is_restored(name):
    with pytest.raises(GraphError, match=r"frozen|freeze"):
        mg.trace(LOOKS[name], mg.ones(2))
    assert mg.is_grad_enabled() and not (mg.ones(2) > 0).requires_grad


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda p: p.run(), ArgumentError, "1 inputs, not 0"),
        (lambda p: p.run(np.ones(3)), ShapeError, "must be float64[2]"),
        (lambda p: p.run(np.ones(2, np.float32)), DTypeError, "must be float64[2]"),
        (lambda p: mg.linearise([mg.ones(2)], [mg.ones(2)]), ArgumentError, "recorded"),
        (lambda p: mg.trace(lambda x: 1.0, mg.ones(2)), DTypeError, "not float"),
        (lambda p: mg.trace(lambda x: [x], mg.ones(2)), DTypeError, "not list"),
        (lambda p: mg.trace(lambda x: x, np.ones(2)), DTypeError, "not ndarray"),
    ],
)
def test_bad_requests(call, error, match):
    with pytest.raises(error) as caught:
        call(traced("scalars on both sides")[0])
    assert match in str(caught.value)


def test_a_graph_that_was_let_go_is_not_linearised_but_may_be_captured():
    x = mg.ones(2, dtype=F64, requires_grad=True)
    y = (x * 2).exp()
    y.sum().backward()
    with pytest.raises(GraphError, match="retain_graph"):
        mg.linearise([y], [x])
    program, captured = mg.trace(lambda x: x * y, x)
    assert np.array_equal(program.run(np.ones(2), *captured)[0], y.detach().numpy())


# -- check -----------------------------------------------------------------------------

A, B, C = (Var(n, (2,), F64) for n in range(3))
EXP, ADD, SPLIT = OPS["exp"], OPS["add"], OPS["split"]
WRONG = {
    "a wrong shape": ([Instruction(EXP, (A,), (Var(1, (3,), F64),))], (A,)),
    "a wrong dtype": (
        [Instruction(EXP, (A,), (Var(1, (2,), np.dtype(np.float32)),))],
        (A,),
    ),
    "read before it is written": (
        [Instruction(EXP, (B,), (C,)), Instruction(EXP, (A,), (B,))],
        (C,),
    ),
    "read with another type": ([Instruction(EXP, (Var(0, (), F64),), (B,))], (B,)),
    "never written": ([Instruction(EXP, (A,), (B,))], (C,)),
    "written twice": (
        [Instruction(EXP, (A,), (B,)), Instruction(ADD, (A, A), (B,))],
        (B,),
    ),
    "written twice with two types": (
        [
            Instruction(EXP, (A,), (B,)),
            Instruction(SPLIT, (A, 2, 0), (Var(1, (), F64),)),
        ],
        (B,),
    ),
    "an input written": ([Instruction(EXP, (A,), (A,))], (A,)),
    "an output too few": ([Instruction(SPLIT, (A, 1, 0), (Var(1, (1,), F64),))], (A,)),
    "an output too many": ([Instruction(EXP, (A,), (B, C))], (B,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_check_refuses(name):
    lines, outputs = WRONG[name]
    with pytest.raises((ArgumentError, ShapeError, DTypeError), match="%"):
        Program((A,), tuple(lines), outputs).check()


def test_check_refuses_an_input_that_stands_twice_and_a_type_that_depends_on_values():
    with pytest.raises(ArgumentError, match="%0 is written twice"):
        Program((A, A), (), (A,)).check()
    program, _ = mg.trace(lambda x: mg.one_hot(x), mg.tensor([2, 0]))
    with pytest.raises(ShapeError, match="one_hot"):
        program.check()


@pytest.mark.parametrize("size", [1, 3])
def test_check_has_indices_that_are_in_range(size):
    def look_up(w, ids):
        rows = mg.embedding(ids, w) + w[:1].gather(0, ids[:, None] * 0)
        return mg.scatter_add(rows, 0, ids[:, None] * 0, rows), mg.one_hot(ids, size)

    w, ids = mg.ones(size, 1), mg.tensor([0, size - 1])
    program, _ = mg.trace(look_up, w, ids)
    program.check()
