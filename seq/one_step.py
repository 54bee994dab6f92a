"""One step of a cell as a module: torch.nn.LSTMCell and its kin, for any cell."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import DTypeLike

import minigrad as mg
from minigrad import Tensor, rng
from seq import boundary, cells
from seq.boundary import Frame, State
from seq.cell import Cell
from seq.errors import located
from seq.internals import Internals, check_names, observed_step
from seq.layers import rnn_cell
from seq.parameters import CellModule


class OneStep(CellModule):
    """What RecurrentCell and PyTorch's cells share: the parameters, and the step."""

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(cell, input_size, hidden_size, bias, proj_size)
        self.add_place("", self.input_size, dtype)
        cell.output_size(self.places[""], dtype)
        self.reset_parameters(generator)

    def run(
        self,
        input: Any,
        hx: State | None,
        data: Mapping[str, Any],
        return_internals: Sequence[str] | None = None,
    ) -> tuple[Tensor, State, Internals]:
        """The output, the new state and the internals, in the caller's layout."""
        with located(type(self).__name__):
            x, frame = self._read_input(input)
            carry = boundary.initial_carry(self.cell, hx, frame)
            given = boundary.given_data(self.cell, data, frame)
            names = check_names(self.cell, return_internals)
            params = self.place_parameters("", x.dtype)
            carry, found = observed_step(self.cell, names, carry, x, params, given)
            if not frame.batched:
                found = tuple(value.squeeze(0) for value in found)
                carry = tuple(state.squeeze(0) for state in carry)
            internals = dict(zip(names, found[1:], strict=True))
            return found[0], carry if len(carry) > 1 else carry[0], internals

    def _read_input(self, input: Any) -> tuple[Tensor, Frame]:
        """The input as (B, I), and what the shapes of the call are made of."""
        x = self.read_input(input, {1: "1-D (input_size,)", 2: "2-D (B, input_size)"})
        batched = x.ndim == 2
        x = x if batched else x[None]
        return x, Frame({**self.places[""], "B": x.shape[0]}, x.dtype, batched)


class RecurrentCell(OneStep):
    """One step of any cell: `output, hx = module(input, hx=None, **data)`.

    Parameters are named as PyTorch's, `weight_ih`, ..., with its initial values unless
    the cell says otherwise; the errors are those of `seq.Recurrent`.

    >>> module = RecurrentCell(cells.lstm_peephole, 3, 5)
    >>> module
    RecurrentCell(lstm_peephole, 3, 5)
    >>> output, (h, c) = module(mg.zeros(2, 3))
    >>> output.shape, h.shape, c.shape
    ((2, 5), (2, 5), (2, 5))
    """

    def forward(
        self,
        input: Tensor,
        hx: State | None = None,
        *,
        return_internals: Sequence[str] | None = None,
        **data: Any,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, Internals]:
        """Run one step; returns (output, hx), or (output, hx, internals).

        input: (B, input_size) or (input_size,). hx: (B, size), a tuple of them if the
        cell has several states; zeros if not given. data: what the cell takes, without
        a time axis. No B if unbatched. return_internals: names in the cell's equations,
        given back by name, each (B, ...); see `seq.Recurrent`. Raises ShapeError,
        DTypeError or ArgumentError, naming the argument.
        """
        output, state, internals = self.run(input, hx, data, return_internals)
        if return_internals is None:
            return output, state
        return output, state, internals

    def extra_repr(self) -> str:
        """The cell's name and the arguments."""
        return f"{self.cell.name}, {super().extra_repr()}"


class TorchCell(OneStep):
    """A cell module that returns its new state alone, as PyTorch's do."""

    def forward(self, input: Tensor, hx: State | None = None) -> State:
        """Run one step; returns hx. See `RecurrentCell.forward`."""
        _, state, _ = self.run(input, hx, {})
        return state


class RNNCell(TorchCell):
    """torch.nn.RNNCell: `h = cell(input, hx=None)`.

    >>> RNNCell(3, 5, nonlinearity="relu")
    RNNCell(3, 5, nonlinearity=relu)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(
            rnn_cell(nonlinearity),
            input_size,
            hidden_size,
            bias,
            dtype=dtype,
            generator=generator,
        )

    def extra_repr(self) -> str:
        """PyTorch's list of arguments, which names a nonlinearity other than tanh."""
        arguments = super().extra_repr()
        if self.nonlinearity == "tanh":
            return arguments
        return f"{arguments}, nonlinearity={self.nonlinearity}"


class GRUCell(TorchCell):
    """torch.nn.GRUCell: `h = cell(input, hx=None)`.

    >>> GRUCell(3, 5)(mg.zeros(2, 3)).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(
            cells.gru, input_size, hidden_size, bias, dtype=dtype, generator=generator
        )


class LSTMCell(TorchCell):
    """torch.nn.LSTMCell: `h, c = cell(input, hx=None)`.

    >>> h, c = LSTMCell(3, 5)(mg.zeros(2, 3))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        super().__init__(
            cells.lstm, input_size, hidden_size, bias, dtype=dtype, generator=generator
        )
