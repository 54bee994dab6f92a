"""A layer fed one step at a time: numpy in, numpy out, the state kept between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Tensor, _backend
from minigrad.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    describe,
)
from minigrad.fused.call import plan_of
from minigrad.fused.passes import UNHOISTED, without
from minigrad.fused.stepper import Stepper
from seq import boundary
from seq.boundary import Frame, State
from seq.signature import resolve

if TYPE_CHECKING:
    from seq.recurrent import Recurrent

Array = np.ndarray[Any, Any]


class Stream:
    """What `Recurrent.stream` returns: called with the input of a step, it gives the
    output; bit for bit those of the layer on the whole sequence.

    Its weights are those that the layer had when it was made; dropout is off. One
    thread at a time may use it.
    """

    def __init__(
        self, layer: Recurrent, batch: int | None, hx: Any, data: Mapping[str, Any]
    ) -> None:
        if layer.bidirectional:
            raise ArgumentError(
                "stream: the reverse direction starts at the end of a sequence; "
                "use a layer with bidirectional=False"
            )
        is_int = isinstance(batch, int | np.integer) and not isinstance(batch, bool)
        if batch is not None and not (is_int and batch >= 1):
            raise ArgumentError(
                f"stream: batch must be an int >= 1, or None for one example without "
                f"a batch axis; got {batch!r}"
            )
        batched = batch is not None
        sizes = {**layer.places["_l0"], "T": 1, "B": 1 if batch is None else batch}
        dtype = layer.parameter_dtype()
        self._frame = Frame(sizes, dtype, batched, (len(layer.places),))
        self._cell = layer.cell
        self._input = np.zeros((1, sizes["B"], layer.input_size), dtype)
        shapes = layer.cell.data
        fixed = {name: shape for name, shape in shapes.items() if shape[0] != "T"}
        self._shapes = {n: s[1:] for n, s in shapes.items() if n not in fixed}
        given = boundary.given_data(layer.cell, data, self._frame, fixed, "stream()")
        self._now: list[dict[str, Array]] = []  # the data of a step, by place
        # It isn't in the signature: floats, or masks if the equations refuse floats.
        self._kinds = layer.cell.data_dtypes(layer.places["_l0"], dtype)
        self._steppers = list(self._stack(layer, given))
        output = self._steppers[-1].outputs[0][0]
        self._x = self._input[0]
        if not batched:
            self._x, output = self._x[0], output[0]
        steps = [stepper.step for stepper in self._steppers]
        self._chain = _backend.routine.Chain(self._x, steps, output)
        self._output = output
        if hx is not None:
            self.state = hx

    def __repr__(self) -> str:
        call = f"{self._cell.name}({', '.join(['x', *self._shapes])})"
        return f"<stream of {call}: {describe(self._x)} -> {describe(self._output)}>"

    def __call__(self, x: Array, **data: Any) -> Array:
        """The output of the next step: (B, size) for x (B, input_size), no B unbatched.

        x: an array of the layer's dtype, or numbers, which are converted. data: what
        the cell takes at each step, (num_layers, B, ...) each. The output is an array
        of its own, of the layer's dtype. Raises ShapeError, DTypeError or, for what are
        no numbers and for other data, ArgumentError; the state is then as before.
        """
        if data or self._shapes:
            x = x if isinstance(x, np.ndarray) else self._read(x)
            self._read_data(data)
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

    def _stack(self, layer: Recurrent, data: Mapping[str, Tensor]) -> Iterator[Stepper]:
        """A stepper for each layer; each reads what the one before writes."""
        x, dtype = self._input, self._frame.dtype
        start = boundary.initial_carries(layer.cell, None, self._frame)
        for place, (suffix, carry) in enumerate(zip(layer.places, start, strict=True)):
            sizes = {**layer.places[suffix], "B": x.shape[1]}
            now = {
                name: np.zeros((1, *resolve(shape, sizes)), dtype)
                for name, shape in self._shapes.items()
            }
            self._now.append(now)
            stand_ins = {n: Tensor(a.astype(self._kinds[n])) for n, a in now.items()}
            fixed = {name: value[place] for name, value in data.items()}
            lifted = layer.place_step(suffix, {**fixed, **stand_ins})
            with without(*UNHOISTED):
                xs = (Tensor(x), *stand_ins.values())
                plan = plan_of(lifted, carry, xs, False)
            rest = [*lifted.tensors, *plan.traced.captured]
            stepper = Stepper(plan, carry, [x, *now.values()], rest)
            x = stepper.outputs[0]
            yield stepper

    def _read_data(self, data: Mapping[str, Any]) -> None:
        """Put the data of a step where the steppers read it."""
        given = boundary.given_data(
            self._cell, data, self._frame, self._shapes, "a step"
        )
        for name, value in given.items():
            kind = np.dtype(self._kinds[name])
            if value.dtype not in (kind, np.bool_):
                raise DTypeError(f"{name} must be {kind}, got {value.dtype}")
        for place, now in enumerate(self._now):
            for name, array in now.items():
                array[0] = given[name]._data[place]

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
