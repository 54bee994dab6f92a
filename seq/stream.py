"""A layer fed one step at a time: numpy in, numpy out, the state kept between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, _backend
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
        self._steppers = list(self._stack(layer))
        output = self._steppers[-1].outputs[0][0]
        self._x = self._input[0]
        if not batched:
            self._x, output = self._x[0], output[0]
        steps = [stepper.step for stepper in self._steppers]
        self._chain = _backend.routine.Chain(self._x, steps, output)
        if hx is not None:
            self.state = hx

    def __call__(self, x: Array) -> Array:
        """The output of the next step: (B, size) for x (B, input_size), no B unbatched.

        x: an array of the layer's dtype, or numbers, which are converted. The output is
        an array of its own, of the layer's dtype. Raises ShapeError, DTypeError or, for
        what are no numbers, ArgumentError; the state is then as before.
        """
        output: Array = self._chain(x)
        if output is None:
            output = self._chain(self._read(x))
        return output

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

    def _stack(self, layer: Recurrent) -> Iterator[Stepper]:
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
        shape, dtype = self._x.shape, self._x.dtype
        try:
            array = x if isinstance(x, np.ndarray) else np.asarray(x, dtype)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"stream: x must be an array of the shape {shape}, or numbers"
            ) from None
        if array.shape != shape:
            raise ShapeError(
                f"stream: x must have the shape {shape}, got {array.shape}"
            )
        if not np.can_cast(array.dtype, dtype, "equiv"):
            raise DTypeError(
                f"stream: x is {array.dtype}, the layer {dtype}; convert one of them: "
                f"x.astype({str(dtype)!r}) or layer.to({str(array.dtype)!r})"
            )
        return np.array(array, dtype)


def _as_tensor(state: Any) -> Any:
    return Tensor(state) if isinstance(state, np.ndarray) else state
