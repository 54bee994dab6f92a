"""What a cell's signature may say, and what is said when it may not."""

import __future__

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import pytest

import minigrad as mg
import seq
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from seq.cell import parameter_name

SIZES = {"I": 3, "H": 5, "P": 2}


def define(source: str, postponed: bool = False) -> Callable[..., Any]:
    """The function of a source text: its annotations are strings to no linter."""
    flags = __future__.annotations.compiler_flag if postponed else 0
    code = compile(source, "<cell>", "exec", flags=flags, dont_inherit=True)
    scope: dict[str, Any] = {"Annotated": Annotated, "Any": Any, "mg": mg}
    exec(code, scope)
    function: Callable[..., Any] = scope["f"]
    return function


@pytest.mark.parametrize("postponed", [False, True])
@pytest.mark.parametrize("quoted", ["{!r}", "Annotated[Any, {!r}]"])
def test_a_shape_is_read_however_it_is_written(postponed: bool, quoted: str) -> None:
    x, h, w, m = (quoted.format(shape) for shape in ("I", "H", "4H I", "T B H"))
    source = f"def f(x: {x}, h: {h}, *, w: {w}, m: {m}): return h"
    cell = seq.cell(define(source, postponed))
    assert cell.shapes == {"x": ("I",), "h": ("H",), "w": ("4H", "I"), "m": (*"TBH",)}


def test_the_signature_says_what_each_argument_is() -> None:
    cell = seq.CELLS["lstm_proj"]
    assert (cell.name, cell.torch) == ("lstm_proj", "torch.nn.LSTM")
    assert (cell.input, cell.carry) == ("x", ("h", "c"))
    assert list(cell.params) == ["w_ih", "w_hh", "b_ih", "b_hh", "w_hr"]
    assert cell.params["w_hr"] == ("P", "H")
    assert cell.data == {}
    assert "b_ih" in inspect.signature(cell).parameters
    assert repr(cell) == "<cell lstm_proj(x, h, c, *, w_ih, w_hh, b_ih, b_hh, w_hr)>"


def test_a_cell_is_its_function() -> None:
    cell = seq.cell(define("def f(x: 'I', h: 'H'): return x + h"))
    assert cell(1, 2) == 3


def test_only_the_built_in_cells_are_listed() -> None:
    before = list(seq.CELLS)
    seq.cell(define("def f(x: 'I', h: 'H'): return h"))
    assert list(seq.CELLS) == before
    assert all(cell.name == name for name, cell in seq.CELLS.items())


@pytest.mark.parametrize(
    ("name", "full"),
    [("w_ih", "weight_ih_l1"), ("b_", "bias__l1"), ("row_w_", "row_w__l1")],
)
def test_names_change_by_their_prefix_only(name: str, full: str) -> None:
    assert parameter_name(name, "_l1") == full


@pytest.mark.parametrize(
    ("signature", "match"),
    [
        ("x: 'I', h: 'Q'", r"cell 'f': argument 'h' has the shape 'Q'.*I \(input size"),
        ("x: 'I', h: 'H', *, w: '0H I'", "argument 'w' has the shape '0H I'"),
        ("x: 'I', h: 'H', *, w: 'H 4'", "argument 'w' has the shape 'H 4'"),
        ("x: 'I', h: 'H', *, w: ''", "argument 'w' has the shape ''"),
        ("x: 'I', h: 'H', *, w: 'H B'", "argument 'w' has the shape 'H B'"),
        ("x: 'I', h: 'H', *, w: 'T H'", "argument 'w' has the shape 'T H'"),
        ("x: 'I', h: 'H', *, w: int", "argument 'w' has the shape .*int"),
        ("x: 'I', h: 'H', *, w: Annotated[Any, 4]", "argument 'w' has the shape"),
        ("x: 'I', h", "argument 'h' has no shape"),
        ("x, h, w, b", r"'x' has no shape; write it as in \(x: \"I\", h: \"H\", \*, w"),
        (
            "x: 'H', h: 'H'",
            r"'x' is the first.*the input: its shape must be \"I\", not",
        ),
        ("x: 'B I', h: 'H'", r"\"I\", not \"B I\" \(the batch axis is not written\)"),
        (
            "x: 'I', h: 'B H'",
            r"argument 'h' stands before .*a state.*put \* before data",
        ),
        ("x: 'I', h: 'H' = 1", "argument 'h' has a default; only a parameter"),
        (
            "x: 'I', h: 'H', w: 'H I' = 1",
            r"'w' has a default; only .*stands after the \*",
        ),
        ("x: 'I', h: 'H', *, m: 'B H' = 1", "argument 'm' has a default; only"),
        ("x: 'I', h: 'H', *, w: 'H' = 'ones'", "'w' has the default 'ones'; give a"),
        (
            "x: 'I', h: 'H', *, w: 'H' = mg.ones(5)",
            r"float32\(5,\); give a number or a",
        ),
        ("x: 'I', h: 'H', *rest: 'H'", "argument 'rest' has a star: name"),
        ("x: 'I', h: 'H', **rest: 'H'", "argument 'rest' has a star: name"),
        ("x: 'I', *, w: 'H I'", r"at least one state.*it takes \['x'\]"),
    ],
)
def test_any_other_signature_is_refused(signature: str, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        seq.cell(define(f"def f({signature}): return h"))


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("'H, I'", "H I"),
        ("('H', 'I')", "H I"),
        ("['4H', 'I']", "4H I"),
        ("'H x I'", "H I"),
        ("'4*H I'", "4H I"),
        ("'b h'", "B H"),
        ("'H 4'", None),
        ("'H B'", None),
        ("'hidden'", None),
        ("mg.Tensor", None),
    ],
)
def test_a_shape_in_another_spelling_is_named(written: str, right: str | None) -> None:
    with pytest.raises(ArgumentError, match="'w' has the shape") as caught:
        seq.cell(define(f"def f(x: 'I', h: 'H', *, w: {written}): return h"))
    assert (f'; write "{right}". A shape is' in str(caught.value)) == bool(right)
    assert ("; write" in str(caught.value)) == bool(right)


@pytest.mark.parametrize(
    ("source", "right"),
    [
        (
            "h: 'H', W: 'H I', U: 'H H', b: 'H'",
            "if W, U, b should be trained, write (x,",
        ),
        ("h: 'H', W: 'H I', *, U: 'H H', b: 'H'", "write (x, h, *, W, U, b)"),
        ("W: 'H I', h: 'H', *, U: 'H H', b: 'H'", "write (x, h, *, W, U, b)"),
        ("h: 'H', b: 'H'", "if b should be trained, write (x, h, *, b)"),
    ],
)
def test_parameters_before_the_star_are_found_when_a_layer_is_made(
    source: str, right: str
) -> None:
    names = [part.split(":")[0].strip() for part in source.split(",")]
    weights = "x @ W.T + h @ U.T" if "W" in names else "x"
    cell = seq.cell(define(f"def f(x: 'I', {source}): return mg.tanh({weights} + b)"))
    for make in (seq.Recurrent, seq.RecurrentCell):
        with pytest.raises((ShapeError, ArgumentError)) as caught:
            make(cell, 3, 5)
        assert "(what stands before the * is a state: " in str(caught.value)
        assert right in str(caught.value)


def test_a_builtin_has_no_signature_to_read() -> None:
    for function in (max, int):
        with pytest.raises(ArgumentError, match="made of a function of Python, not of"):
            seq.cell(function)


def test_what_has_no_name_is_no_function() -> None:
    class Called:
        def __call__(self, x: "I", h: "H") -> Any:  # noqa: F821
            return h

    for value in (Called(), functools.partial(Called(), h=None)):
        with pytest.raises(ArgumentError, match="write one that calls it"):
            seq.cell(value)


STEP = "def f(x: 'I', h: 'H', c: 'H', *, w: 'H I'): "


def test_the_number_of_results_says_which_one_is_the_output() -> None:
    x, h, c = mg.zeros(2, 3), mg.ones(2, 5), mg.zeros(2, 5)
    w = {"w": mg.ones(5, 3)}
    carry, output = seq.cell(define(STEP + "return h, c")).step((h, c), x, w, {})
    assert carry == (h, c)
    assert output is h
    carry, output = seq.cell(define(STEP + "return x, h, c")).step((h, c), x, w, {})
    assert carry == (h, c)
    assert output is x


@pytest.mark.parametrize(
    ("result", "error", "match"),
    [
        ("h", ArgumentError, r"cell 'f': it must return its carry \(h, c\)"),
        ("h, h, c, c", ArgumentError, r"4: \(Tensor, Tensor, Tensor, Tensor\)"),
        ("None", ArgumentError, r"returned 1: \(NoneType\)"),
        ("h, None", ArgumentError, r"returned 2: \(Tensor, NoneType\)"),
        ("h, x", ShapeError, r"the state 'c' as float32\(2, 3\).*as float32\(2, 5\)"),
        ("h @ w, c", ShapeError, r"the state 'h' as.*\(h, c\), in this order"),
        ("h.double(), c", DTypeError, r"the state 'h' as float64\(2, 5\), but"),
        ("x.sum(), h, c", ShapeError, r"output of shape \(B, size\).*one of \(\)"),
    ],
)
def test_a_wrong_result_is_found_when_a_layer_is_made(
    result: str, error: type[Exception], match: str
) -> None:
    cell = seq.cell(define(STEP + "return " + result))
    for make in (seq.Recurrent, seq.RecurrentCell):
        with pytest.raises(error, match=match):
            make(cell, 3, 5)


def test_the_output_has_the_size_that_the_equations_give_it() -> None:
    assert seq.CELLS["lstm"].output_size(SIZES) == 5
    assert seq.CELLS["lstm_proj"].output_size(SIZES) == 2
    wide = "def f(x: 'I', h: 'H'): return mg.cat([x, h], -1), h"
    assert seq.cell(define(wide)).output_size(SIZES) == 8


@pytest.mark.parametrize(
    "equation", ["m * h", "mg.where(m, h, 0.0)", "mg.one_hot(m, 5) * h", "(1 - m) * h"]
)
def test_data_is_tried_in_the_dtypes_that_it_may_have(equation: str) -> None:
    shape = "B" if "one_hot" in equation else "B H"
    cell = define(f"def f(x: 'I', h: 'H', *, m: {shape!r}): return {equation}")
    assert seq.cell(cell).output_size(SIZES) == 5


def test_equations_that_assign_outside_are_refused_as_a_loop_runs_them_once() -> None:
    source = STEP.replace(", c: 'H'", "") + "global n; n = 2; return mg.tanh(h) * n"
    layer = seq.Recurrent(seq.cell(define(source)), 3, 5)
    with pytest.raises(ArgumentError, match=r"assign to 'n'.*for all steps; make it a"):
        layer(mg.zeros(4, 2, 3))
