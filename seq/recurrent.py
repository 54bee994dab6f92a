"""A recurrent layer around any cell: stacked, in one or both directions."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import minigrad as mg
from minigrad import Tensor, rng
from minigrad.errors import ArgumentError, ShapeError
from seq import boundary
from seq.again import call_again, remember_call
from seq.boundary import Frame, Lengths, State
from seq.cell import Cell
from seq.errors import located
from seq.fused import Calls, CellStep, cell_step
from seq.internals import Internals, check_names, stack_places
from seq.parameters import CellModule, check_bool, check_int, plain_int
from seq.signature import resolve
from seq.stream import Stream


class Recurrent(CellModule):
    """A cell run along time; torch.nn.LSTM's arguments, for any cell.

    Called as `output, h_n = layer(input, hx=None, *, lengths=None,
    dropout_masks=None, return_internals=None, **data)`; see `forward`. Parameters have
    PyTorch's names and order, `weight_ih_l0`, ..., `weight_ih_l0_reverse`, and its
    initial values, U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)), unless the cell says
    otherwise. With bias=False, parameters named b_* are zeros that the state dict does
    not have. dropout is applied to the output of every layer but the last while
    training, drawn from `generator`, which also draws the initial values. Warns of a
    dropout that has no effect; raises ArgumentError for bad arguments, ShapeError and
    DTypeError for a cell whose results do not fit its signature.

    >>> from seq.cells import mgu
    >>> layer = Recurrent(mgu, 3, 5, bidirectional=True)
    >>> layer
    Recurrent(mgu, 3, 5, bidirectional=True)
    >>> output, h_n = layer(mg.zeros(7, 2, 3))
    >>> output.shape, h_n.shape
    ((7, 2, 10), (2, 2, 5))
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(cell, input_size, hidden_size, bias, proj_size)
        num_layers = plain_int(num_layers)
        check_int("num_layers", num_layers, 1)
        check_bool("batch_first", batch_first)
        check_bool("bidirectional", bidirectional)
        _check_dropout(dropout)
        if dropout and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so "
                "non-zero dropout expects num_layers greater than 1, but got "
                f"dropout={dropout} and num_layers=1",
                stacklevel=2,
            )
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self._calls = Calls()
        # An int seeds one stream, once: every call draws other masks.
        self.generator = None if generator is None else rng.generator(generator)
        input_size = self.input_size
        for layer in range(num_layers):
            for direction in self.directions:
                self.add_place(f"_l{layer}{direction}", input_size, dtype)
            sizes = self.places[f"_l{layer}"]
            input_size = cell.output_size(sizes, dtype) * len(self.directions)
        self._check_stackable()
        self.reset_parameters(self.generator)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: all but what is known of the calls of this one."""
        return {**self.__dict__, "_calls": Calls()}

    @property
    def directions(self) -> tuple[str, ...]:
        """What the directions add to the names of parameters."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def forward(
        self,
        input: Tensor,
        hx: State | None = None,
        *,
        lengths: Lengths | None = None,
        dropout_masks: Sequence[Any] | None = None,
        return_internals: Sequence[str] | None = None,
        checkpoint: int | str | None = None,
        **data: Any,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Internals]:
        """Run the sequences; returns (output, h_n), or (output, h_n, internals).

        input: (T, B, input_size), or (B, T, input_size) if batch_first, or unbatched
        (T, input_size); output likewise, its last size being that of the cell's output
        times the directions. hx and h_n: (num_layers * num_directions, B, size), or a
        tuple of them if the cell has several states; zeros if hx is not given. No B if
        unbatched.

        lengths: B integers in 0..T (list, array or int64 Tensor, in any order; one int
        if unbatched). Beyond its length an example's output is 0, its state stays, its
        input does not matter; the reverse direction starts at its own end.
        dropout_masks: num_layers - 1 bool arrays of the shape of a layer's output, True
        keeps, in place of drawn ones.
        data: what the cell takes at each call, or at each step in the order of the
        input, with a leading axis of num_layers * num_directions; never batch-first.
        return_internals: names in the cell's equations, such as ("i", "f"). internals
        has the Tensor of each, differentiable, and laid out as data of each step is:
        (num_layers * num_directions, T, B, ...), 0 beyond an example's length. A name
        that the equations use twice has the value that it has at the end.

        checkpoint: a number of steps, at least 1, or "sqrt": keep the states so often
        only, and run the steps between again in the backward, as `minigrad.scan` says.

        Raises ShapeError, DTypeError, ArgumentError or IndexRangeError (lengths),
        naming the argument, or the layer and the direction.
        """
        plain = dropout_masks is return_internals is checkpoint is None
        plain = plain and not data and not (self.dropout and self.training)
        if plain := plain and isinstance(input, Tensor) and input.ndim == 3:
            x = boundary.time_major(input, True, self.batch_first)
            found = call_again(self, (x,), hx, lengths)
            if found is not None:
                return found
        with located(type(self).__name__):
            sequence, frame = self._read_input(input)
            x = sequence
            h_0 = boundary.initial_carries(self.cell, hx, frame)
            given = boundary.given_data(self.cell, data, frame)
            ends = boundary.check_lengths(lengths, frame)
            names = check_names(self.cell, return_internals)
            widths = [self.places[f"_l{n}"]["I"] for n in range(1, self.num_layers)]
            masks = boundary.check_masks(dropout_masks, widths, frame, self.batch_first)
            carries: list[tuple[Tensor, ...]] = []
            values: list[tuple[Tensor, ...]] = []
            for layer in range(self.num_layers):
                if layer:
                    x = self._drop(x, masks[layer - 1])
                runs = [
                    self._run(place, x, h_0, given, ends, names, checkpoint)
                    for place in self._layer_places(layer)
                ]
                carries += [carry for carry, _ in runs]
                values += [ys[1:] for _, ys in runs]
                outputs = [ys[0] for _, ys in runs]
                x = mg.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if plain:
                remember_call(self, sequence, hx, lengths, h_0[0])
            output, h_n = boundary.written(x, carries, frame.batched, self.batch_first)
            if return_internals is None:
                return output, h_n
            return output, h_n, stack_places(names, values, frame.batched)

    def stream(
        self, batch: int | None = None, hx: State | None = None, **data: Any
    ) -> Stream:
        """The layer fed one step at a time, from numpy to numpy.

        batch: the number of examples, None for one without a batch axis; hx: the
        initial state as `forward` takes it, Tensors or arrays. A step takes an array
        (batch, input_size) of the layer's dtype, or numbers, and returns the output
        (batch, size), with the bits that it has in the whole sequence. The weights are
        those of now, dropout is off, and no gradient is kept. `state` of what is
        returned is the state, which can be assigned; `reset()` makes it zeros.
        data: what the cell takes at each call, as `forward` takes it; what it takes at
        each step is given with the input of the step, without the axis of time.

        Raises ArgumentError for two directions, for a cell that can't be fused and for
        a bad batch; for hx and data what `forward` raises.

        >>> from seq.cells import mgu
        >>> stream = Recurrent(mgu, 3, 5).stream()
        >>> stream([1.0, 2.0, 3.0]).shape
        (5,)
        """
        return Stream(self, batch, hx, data)

    def place_step(self, suffix: str, data: Mapping[str, Tensor]) -> CellStep:
        """The step of a place, with its data."""
        params = self.place_parameters(suffix, self.parameter_dtype())
        return self._step(suffix, params, data)[0]

    def loop_steps(self) -> Iterator[tuple[str, CellStep, Any, Any]]:
        """Of each place: its name, its step, and stand-ins for its carry and its xs."""
        dtype = self.parameter_dtype()
        for suffix, sizes in self.places.items():
            frame = Frame({**sizes, "T": 2, "B": 2}, dtype, True)
            kinds = self.cell.data_dtypes(sizes, dtype)
            shapes = self.cell.data.items()
            data = {n: frame.zeros(shape).to(kinds[n]) for n, shape in shapes}
            params = self.place_parameters(suffix, dtype)
            step, now = self._step(suffix, params, data)
            carry = boundary.initial_carry(self.cell, None, frame)
            xs = (frame.zeros(("T", "B", "I")), *now)
            yield f"{type(self).__name__}{suffix}", step, carry, xs

    def extra_repr(self) -> str:
        """The arguments, after the cell's name unless the class says it."""
        arguments = super().extra_repr()
        generic = type(self) is Recurrent
        return f"{self.cell.name}, {arguments}" if generic else arguments

    def _layer_places(self, layer: int) -> range:
        """The places of one layer, as indices into the leading axis of h_0."""
        n = len(self.directions)
        return range(layer * n, (layer + 1) * n)

    def _read_input(self, input: Any) -> tuple[Tensor, Frame]:
        """The input as (T, B, I), and what the shapes of the call are made of."""
        batch = "(B, T, input_size)" if self.batch_first else "(T, B, input_size)"
        x = self.read_input(input, {2: "2-D (T, input_size)", 3: f"3-D {batch}"})
        batched = x.ndim == 3
        x = boundary.time_major(x, batched, self.batch_first)
        if not x.shape[0]:
            raise ShapeError("Expected sequence length to be larger than 0")
        sizes = {**self.places["_l0"], "T": x.shape[0], "B": x.shape[1]}
        return x, Frame(sizes, x.dtype, batched, (len(self.places),))

    def _drop(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Dropout between two layers."""
        if not self.training or (mask is None and not self.dropout):
            return x
        return mg.dropout(x, self.dropout, mask=mask, generator=self.generator)

    def _run(
        self,
        place: int,
        x: Tensor,
        h_0: Sequence[tuple[Tensor, ...]],
        data: Mapping[str, Tensor],
        lengths: np.ndarray[Any, Any] | None,
        names: tuple[str, ...],
        checkpoint: int | str | None,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """One layer in one direction: the last carry, and (T, B, ...) by step.

        Of each step the output is the first; what the names stand for follows.
        """
        layer, backwards = divmod(place, len(self.directions))
        suffix = list(self.places)[place]
        params = self.place_parameters(suffix, x.dtype)
        here = {name: value[place] for name, value in data.items()}
        step, now = self._step(suffix, params, here, names)
        direction = "reverse" if backwards else "forward"
        with located(f"layer {layer}, {direction} direction"):
            carry, ys = mg.scan(
                step,
                h_0[place],
                (x, *now),
                lengths=lengths,
                reverse=bool(backwards),
                checkpoint=checkpoint,
            )
        return carry, ys

    def _step(
        self,
        suffix: str,
        params: Mapping[str, Tensor],
        data: Mapping[str, Tensor],
        names: tuple[str, ...] = (),
    ) -> tuple[CellStep, list[Tensor]]:
        """The step of a place, and the data that come with x."""
        per_step = [name for name in data if self.cell.data[name][0] == "T"]
        fixed = {name: value for name, value in data.items() if name not in per_step}
        step = cell_step(self, suffix, names, params, fixed, per_step)
        return step, [data[name] for name in per_step]

    def _check_stackable(self) -> None:
        """States and data are stacked along the layers: their sizes must not change."""
        first = self.places["_l0"]
        for name in (*self.cell.carry, *self.cell.data):
            shape = tuple(s for s in self.cell.shapes[name] if s not in ("T", "B"))
            for suffix, sizes in self.places.items():
                if resolve(shape, sizes) != resolve(shape, first):
                    raise ArgumentError(
                        f"cell {self.cell.name!r}: {name!r} has the shape "
                        f"{' '.join(shape)!r}, which is {resolve(shape, first)} at _l0 "
                        f"but {resolve(shape, sizes)} at {suffix}, so it can't be "
                        "stacked; use a module of one layer for each"
                    )


def _check_dropout(dropout: Any) -> None:
    number = isinstance(dropout, Real) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ArgumentError(
            "dropout should be a number in range [0, 1] representing the probability "
            f"of an element being zeroed, got {dropout!r}"
        )
