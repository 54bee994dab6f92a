"""A layer fed one step at a time: numpy in, numpy out, the state kept between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.fused.call import plan_of
from minigrad.fused.passes import without
from minigrad.fused.stepper import UNHOISTED, Stepper
from seq import boundary
from seq.boundary import Frame, State

if TYPE_CHECKING:
    from seq.recurrent import Recurrent

Array = np.ndarray[Any, Any]


class Stream:
    """What `Recurrent.stream` returns: called with the input of a step, it gives the
    output; bit for bit those of the layer on the whole sequence.

    Its weights are those that the layer had when it was made; dropout is off. One
    thread at a time may use it.
    """

    def __init__(self, layer: Recurrent, batch: int | None, hx: Any) -> None:
        if layer.bidirectional:
            raise ArgumentError(
                "stream: the reverse direction starts at the end of a sequence; "
                "use a layer with bidirectional=False"
            )
        if layer.cell.data:
            raise ArgumentError(
                f"stream: cell {layer.cell.name!r} takes the data "
                f"{sorted(layer.cell.data)} at each call, which a stream does not"
            )
        is_int = isinstance(batch, int | np.integer) and not isinstance(batch, bool)
        if batch is not None and not (is_int and batch >= 1):
            raise ArgumentError(
                f"stream: batch must be an int >= 1, or None for one example without "
                f"a batch axis; got {batch!r}"
            )
        batched = batch is not None
        sizes = {**layer.places["_l0"], "T": 1, "B": 1 if batch is None else batch}
        dtype = layer.parameter_dtype(mg.float32)
        self._frame = Frame(sizes, dtype, batched, (len(layer.places),))
        self._cell = layer.cell
        self._input = np.zeros((1, sizes["B"], layer.input_size), dtype)
        self._steppers = list(self._chain(layer))
        self._output = self._steppers[-1].outputs[0][0]
        self._x = self._input[0]
        if not batched:
            self._x, self._output = self._x[0], self._output[0]
        self._shape = self._x.shape
        self._steps = [stepper.step for stepper in self._steppers]
        if hx is not None:
            self.state = hx

    def __call__(self, x: Array) -> Array:
        """The output of the next step: (B, size) for x (B, input_size), no B unbatched.

        x: an array of the layer's dtype, or numbers, which are converted. The output is
        an array of its own, of the layer's dtype. Raises ShapeError, DTypeError or, for
        what are no numbers, ArgumentError; the state is then as before.
        """
        if type(x) is not np.ndarray or x.shape != self._shape:
            x = self._read(x)
        try:
            np.copyto(self._x, x, "equiv")
        except TypeError:
            raise DTypeError(
                f"stream: x is {x.dtype}, the layer {self._x.dtype}; convert one of "
                f"them: x.astype({str(self._x.dtype)!r}) or layer.to({str(x.dtype)!r})"
            ) from None
        for step in self._steps:
            step()
        return self._output.copy()

    @property
    def state(self) -> Any:
        """The state after the last step, as h_n of the layer, in numpy: a copy.

        Assign it, or anything that the layer takes as hx, to go on from there; None is
        zeros. Raises what the layer raises for a bad hx; the state is then as before.
        """
        carries = zip(*(s.carry() for s in self._steppers), strict=True)
        h_n = tuple(np.stack(states) for states in carries)
        if not self._frame.batched:
            h_n = tuple(h[:, 0] for h in h_n)
        return h_n if len(h_n) > 1 else h_n[0]

    @state.setter
    def state(self, hx: State | None) -> None:
        if isinstance(hx, tuple | list):
            hx = tuple(map(_as_tensor, hx))
        carries = boundary.initial_carries(self._cell, hx, self._frame)
        for stepper, carry in zip(self._steppers, carries, strict=True):
            stepper.set_carry([c._data for c in carry])

    def reset(self) -> None:
        """Go back to the state of zeros."""
        self.state = None

    def _chain(self, layer: Recurrent) -> Iterator[Stepper]:
        """A stepper for each layer; each reads what the one before writes."""
        x = self._input
        start = boundary.initial_carries(layer.cell, None, self._frame)
        for lifted, carry in zip(layer.layer_steps(), start, strict=True):
            with without(*UNHOISTED):
                plan = plan_of(lifted, carry, (Tensor(x),), False)
            rest = [*lifted.tensors, *plan.traced.captured]
            stepper = Stepper(plan, carry, [x], rest)
            x = stepper.outputs[0]
            yield stepper

    def _read(self, x: Any) -> Array:
        if isinstance(x, Tensor):
            x = x.numpy()
        try:
            array = x if isinstance(x, np.ndarray) else np.asarray(x, self._x.dtype)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"stream: x must be an array of the shape {self._shape}, or numbers"
            ) from None
        if array.shape != self._shape:
            raise ShapeError(
                f"stream: x must have the shape {self._shape}, got {array.shape}"
            )
        return array


def _as_tensor(state: Any) -> Any:
    return Tensor(state) if isinstance(state, np.ndarray) else state
