"""Every built-in cell: the fused loop is the loop of single ops, and every pass too."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad.fused.passes import PASSES, without
from seq import CELLS

T, B, SIZE, HIDDEN, PROJ = 5, 3, 4, 6, 2
LENGTHS = {"all": None, "ragged": [2, 5, 0], "full": [T] * B, "empty": [0] * B}
NAMES = {  # of internals, by the cell
    "gru": ("r", "z", "n", "h"),
    "lstm": ("i", "f", "g", "o", "c"),
    "lstm_layer_norm": ("x_gates", "i", "c"),
    "lstm_zoneout": ("keep_h", "c_new", "h"),
    "gru_recurrent_dropout": ("mask_h", "r"),
    "mgu": ("f", "n"),
}
each_cell = pytest.mark.parametrize("name", CELLS)


def draw(*shape: int, seed: int) -> mg.Tensor:
    found = mg.randn(*shape, dtype=mg.float64, generator=seed)
    return found.requires_grad_()


def make(name: str, **options: Any) -> seq.Recurrent:
    proj = PROJ if name == "lstm_proj" else 0
    arguments = {"num_layers": 2, "bidirectional": True, **options}
    return seq.Recurrent(
        CELLS[name],
        SIZE,
        HIDDEN,
        proj_size=proj,
        dtype=mg.float64,
        generator=3,
        **arguments,
    )


def inputs_of(layer: seq.Recurrent, kind: str = "floats") -> tuple[Any, Any, Any]:
    """(x, hx, data): all of them leaves, but for masks of bool."""
    places = len(layer.places)
    sizes = {**layer.places["_l0"], "B": B, "T": T}

    def shape_of(name: str) -> tuple[int, ...]:
        return tuple(sizes[s] for s in layer.cell.shapes[name])

    states = tuple(
        draw(places, B, *shape_of(name), seed=10 + i)
        for i, name in enumerate(layer.cell.carry)
    )
    data: dict[str, Any] = {
        name: draw(places, *(sizes[s] for s in shape), seed=20 + i)
        for i, (name, shape) in enumerate(layer.cell.data.items())
    }
    if kind == "masks":
        data = {name: mask.detach() > 0 for name, mask in data.items()}
    return draw(T, B, SIZE, seed=1), states if len(states) > 1 else states[0], data


def flat(result: Any) -> list[mg.Tensor]:
    if isinstance(result, mg.Tensor):
        return [result]
    parts = result.values() if isinstance(result, dict) else result
    return [t for part in parts for t in flat(part)]


def results(
    layer: seq.Recurrent, given: Any, loops: Any = nullcontext, **options: Any
) -> list[mg.Tensor]:
    """All outputs, and the gradient of each input and parameter."""
    x, hx, data = given
    with loops():
        outputs = flat(layer(x, hx, **data, **options))
        gs = [draw(*y.shape, seed=30 + i).detach() for i, y in enumerate(outputs)]
        leaves = [t for t in flat([x, hx, data]) if t.requires_grad]
        leaves += layer.parameters()
        pairs = [(y, g) for y, g in zip(outputs, gs, strict=True) if y.requires_grad]
        ys, seeds = zip(*pairs, strict=True)
        return [*outputs, *mg.grad(ys, leaves, seeds)]


def agree(found: list[mg.Tensor], expected: list[mg.Tensor]) -> bool:
    return all(
        relative_error(a.detach(), b.detach()) <= FLOAT64_RTOL
        for a, b in zip(found, expected, strict=True)
    )


def fused(layer: seq.Recurrent) -> bool:
    return all(found.reason is None for found in mg.explain(layer))


@each_cell
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_the_fused_loop_is_the_loop_of_single_ops(name: str, lengths: Any) -> None:
    layer = make(name)
    assert fused(layer)
    given = inputs_of(layer)
    options = {"lengths": lengths}
    assert agree(
        results(layer, given, **options),
        results(layer, given, mg.eager_loops, **options),
    )


@pytest.mark.parametrize("lengths", [None, [2, 5, 0]], ids=["all", "ragged"])
@pytest.mark.parametrize("name", [n for n, cell in CELLS.items() if cell.data])
def test_masks_of_bool(name: str, lengths: Any) -> None:
    layer = make(name)
    given = inputs_of(layer, "masks")
    assert agree(
        results(layer, given, lengths=lengths),
        results(layer, given, mg.eager_loops, lengths=lengths),
    )


@pytest.mark.parametrize("lengths", [None, [2, 5, 0]], ids=["all", "ragged"])
@pytest.mark.parametrize("name", NAMES)
def test_internals(name: str, lengths: Any) -> None:
    layer = make(name)
    options = {"lengths": lengths, "return_internals": NAMES[name]}
    given = inputs_of(layer)
    assert agree(
        results(layer, given, **options),
        results(layer, given, mg.eager_loops, **options),
    )


@each_cell
def test_second_derivatives(name: str) -> None:
    layer = make(name, num_layers=1)
    x, hx, data = inputs_of(layer)
    found = []
    for loops in (nullcontext, mg.eager_loops):
        with loops():
            output, _ = layer(x, hx, lengths=[5, 2, 3], **data)
            leaves = (x, *layer.parameters())
            slopes = mg.grad((output * output).sum(), leaves, create_graph=True)
            square = sum((g * g).sum() for g in slopes)
            found.append([*slopes, *mg.grad(square, leaves)])
    assert agree(*found)


@each_cell
@pytest.mark.parametrize("off", [*((name,) for name in PASSES), PASSES], ids="+".join)
def test_a_pass_that_is_left_out_changes_nothing(
    name: str, off: tuple[str, ...]
) -> None:
    layer = make(name, num_layers=1)
    given = inputs_of(layer)
    for lengths in (None, [2, 5, 0]):
        everything = results(layer, given, lengths=lengths)
        with without(*off):
            assert fused(layer)
            assert agree(results(layer, given, lengths=lengths), everything)


@each_cell
def test_a_part_of_the_gradients(name: str) -> None:
    """What nobody asks for is not made; what is asked for is the same."""
    layer = make(name, num_layers=1)
    x, hx, data = inputs_of(layer)
    _, h_n = layer(x, hx, **data)
    last = flat(h_n)[-1]
    every = mg.grad(last.sum(), (x, *layer.parameters()), retain_graph=True)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    assert agree(
        list(mg.grad(flat(layer(x, hx, **data)[1])[-1].sum(), [x])), list(every[:1])
    )
    with mg.no_grad():
        assert np.array_equal(flat(layer(x, hx, **data)[1])[-1], last.detach())
