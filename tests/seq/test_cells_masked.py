"""Masks are drawn while training, and are what they are on average in evaluation."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError
from seq import CELLS, Recurrent
from seq.cell import cell
from seq.models.masked import Masked

WITH_MASKS = [name for name, cell in CELLS.items() if cell.data]


def made(name: str, rate: float, layers: int = 1) -> Masked:
    sizes = (3, 5, layers)
    return Masked(CELLS[name], *sizes, rate=rate, dtype=mg.float64, generator=0)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_masks_are_drawn_at_each_call(name: str) -> None:
    layer, x = made(name, 0.5, 2), mg.randn(7, 4, 3, dtype=mg.float64, generator=1)
    first, other = (layer(x)[0].detach().numpy() for _ in range(2))
    assert not np.array_equal(first, other)
    layer.eval()
    first, other = (layer(x)[0].detach().numpy() for _ in range(2))
    assert np.array_equal(first, other)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_in_evaluation_masks_are_what_they_are_on_average(name: str) -> None:
    layer, x = made(name, 0.25), mg.randn(7, 4, 3, dtype=mg.float64, generator=1)
    layer.eval()
    value = 1.0 if name.endswith("dropout") else 0.25
    shape = (1, 4, 5) if name.endswith("dropout") else (1, 7, 4, 5)
    given = {data: mg.full(shape, value, dtype=mg.float64) for data in layer.cell.data}
    expected, _ = Recurrent.forward(layer, x, **given)
    assert np.array_equal(layer(x)[0].detach().numpy(), expected.detach().numpy())


def test_the_masks_have_the_rate() -> None:
    layer = made("lstm_zoneout", 0.2)
    sizes = {"T": 50, "B": 40, "H": 5}
    keep = layer._draw("keep_h", ("T", "B", "H"), sizes)
    assert keep.shape == (1, 50, 40, 5) and abs(keep.mean() - 0.2) < 0.02
    mask = layer._draw("mask_h", ("B", "H"), {**sizes, "B": 2000})
    assert set(np.unique(mask)) == {0, 1.25} and abs(mask.mean() - 1) < 0.02


def test_what_is_no_mask() -> None:
    @cell
    def other(x: "I", h: "H", *, w_ih: "H I", target: "B H"):
        return h + x @ w_ih.T + target

    for which, rate in ((other, 0.1), (CELLS["gru_zoneout"], 1.0)):
        with pytest.raises(ArgumentError, match="masks are keep_h, keep_c and mask_h"):
            Masked(which, 3, 5, rate=rate)


@pytest.mark.parametrize("name", WITH_MASKS)
def test_one_example_without_a_batch_is_a_batch_of_one(name: str) -> None:
    x = mg.randn(7, 3, dtype=mg.float64, generator=1)
    alone, _ = made(name, 0.5, 2)(x)
    batch, _ = made(name, 0.5, 2)(x[:, None])
    assert np.array_equal(alone.detach(), batch[:, 0].detach())
