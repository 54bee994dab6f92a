"""A recurrent layer that draws the masks of its cell: of zoneout, of dropout."""

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, rng
from minigrad.errors import ArgumentError
from seq.boundary import State
from seq.cell import Cell
from seq.recurrent import Recurrent
from seq.signature import Shape, resolve


class Masked(Recurrent):
    """A `Recurrent` around a cell with masks, given anew at each call.

    keep_h and keep_c, those of zoneout, are 1 with the probability `rate`, and `rate`
    in evaluation; mask_h, that of recurrent dropout, is 0 with it and 1/(1 - rate)
    else, and 1 in evaluation. Raises ArgumentError for a cell that takes other data.

    >>> from seq.cells import gru_zoneout
    >>> layer = Masked(gru_zoneout, 3, 5, rate=0.1)
    >>> layer(mg.zeros(7, 2, 3))[0].shape
    (7, 2, 5)
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        rate: float,
        generator: rng.Seed = None,
        **options: Any,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(cell, *sizes, generator=generator, **options)
        unknown = [n for n in cell.data if n not in ("keep_h", "keep_c", "mask_h")]
        if unknown or not 0 <= rate < 1:
            raise ArgumentError(
                "masks are keep_h, keep_c and mask_h, with a rate in [0, 1); "
                f"got {list(cell.data)} and {rate}"
            )
        self.rate = rate

    def forward(self, input: Tensor, hx: State | None = None, **options: Any) -> Any:
        """See `Recurrent.forward`; the masks aren't given, but drawn."""
        x, frame = self._read_input(input)
        for name, shape in self.cell.data.items():
            given = tuple(s for s in shape if frame.batched or s != "B")
            mask = self._draw(name, given, frame.sizes)
            options[name] = mg.tensor(mask.astype(x.dtype))
        return super().forward(input, hx, **options)

    def _draw(self, name: str, shape: Shape, sizes: Any) -> Any:
        size = (len(self.places), *resolve(shape, sizes))
        keeps = name.startswith("keep")
        if not self.training:
            return np.full(size, self.rate if keeps else 1.0)
        hit = rng.generator(self.generator).random(size, np.float32) < self.rate
        return hit if keeps else ~hit / (1 - self.rate)
