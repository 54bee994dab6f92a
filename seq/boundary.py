"""What a caller hands to a recurrent module: checked, named in errors, laid out."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.errors import ArgumentError, DTypeError, ShapeError, type_name
from minigrad.loops import checked_lengths
from seq.cell import Cell
from seq.errors import located
from seq.signature import Shape, resolve

State = Tensor | tuple[Tensor, ...]
Lengths = Sequence[int] | np.ndarray[Any, Any] | Tensor | int
_PLACES = "num_layers * num_directions"


@dataclass(slots=True)
class Frame:
    """What the shapes of one call are made of.

    sizes: I, H, P, B, and T if there is a time axis; dtype: that of every float;
    batched: whether the caller's arrays have a batch axis; places: the leading axes of
    what is given for each layer and direction, (num_layers * num_directions,) or ().
    """

    sizes: Mapping[str, int]
    dtype: np.dtype[Any]
    batched: bool
    places: tuple[int, ...] = ()

    def fit(self, what: str, value: Any, shape: Shape) -> Tensor:
        """The value with its batch axis, if it has the shape that the symbols say."""
        given = tuple(s for s in shape if s[-1] in self.sizes)
        symbols = tuple(s for s in given if self.batched or s != "B")
        tensor = as_tensor(what, value)
        expected = (*self.places, *resolve(symbols, self.sizes))
        if tensor.shape != expected:
            spelled = ", ".join([_PLACES] * len(self.places) + list(symbols))
            raise ShapeError(
                f"{what} must have the shape {expected} = ({spelled}), "
                f"got {tensor.shape}"
            )
        if not self.batched:
            tensor = tensor.unsqueeze(len(self.places) + given.index("B"))
        return tensor

    def zeros(self, shape: Shape) -> Tensor:
        """Zeros of the shape that the symbols say."""
        sizes = (*self.places, *resolve(shape, self.sizes))
        return mg.zeros(*sizes, dtype=self.dtype)


def as_tensor(what: str, value: Any) -> Tensor:
    """A Tensor as it is, a numpy array as a Tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        with located(what):
            return Tensor(value)
    raise DTypeError(
        f"{what} must be a Tensor or a numpy array, got {type_name(value)}; "
        "make it a Tensor with minigrad.tensor(...)"
    )


def check_dtype(what: str, tensor: Tensor, dtype: np.dtype[Any]) -> None:
    """Raise DTypeError unless the tensor has the dtype of the parameters."""
    if tensor.dtype != dtype:
        other = f" or module.to({tensor.dtype})" if tensor.dtype.kind == "f" else ""
        raise DTypeError(
            f"{what} is {tensor.dtype} but the parameters are {dtype}; convert with "
            f"tensor.to({dtype}){other}"
        )


def initial_carry(cell: Cell, hx: Any, frame: Frame) -> tuple[Tensor, ...]:
    """The initial state as a tuple, zeros if it is not given.

    hx: a Tensor if the carry is one state, else a tuple of Tensors.
    """
    if hx is None:
        sizes = [resolve(("B", *cell.shapes[name]), frame.sizes) for name in cell.carry]
        zeros = _zeros(tuple((*frame.places, *s) for s in sizes), frame.dtype)
        # A cell may return them, and its caller make them require a gradient.
        return tuple(z.detach() for z in zeros)
    shapes = {name: ("B", *cell.shapes[name]) for name in cell.carry}
    single = len(shapes) == 1
    given = (hx,) if single else hx
    if not isinstance(given, tuple | list) or len(given) != len(shapes):
        got = f"{len(hx)} values" if isinstance(hx, tuple | list) else type(hx).__name__
        raise ArgumentError(f"hx must be a tuple ({', '.join(shapes)}), got {got}")
    carry = []
    for i, (name, value) in enumerate(zip(shapes, given, strict=True)):
        what = "hx" if single else f"hx[{i}], the state {name!r},"
        carry.append(frame.fit(what, value, shapes[name]))
        check_dtype(what, carry[-1], frame.dtype)
    return tuple(carry)


@functools.lru_cache(32)
def _zeros(
    shapes: tuple[tuple[int, ...], ...], dtype: np.dtype[Any]
) -> tuple[Tensor, ...]:
    return tuple(mg.zeros(*shape, dtype=dtype) for shape in shapes)


def initial_carries(cell: Cell, hx: Any, frame: Frame) -> list[tuple[Tensor, ...]]:
    """The initial state of each place; zeros, the same for all, if it is not given."""
    if hx is None:
        one = Frame(frame.sizes, frame.dtype, frame.batched)
        return [initial_carry(cell, None, one)] * frame.places[0]
    states = initial_carry(cell, hx, frame)
    return list(zip(*(mg.unbind(state) for state in states), strict=True))


def given_data(
    cell: Cell,
    data: Mapping[str, Any],
    frame: Frame,
    shapes: Mapping[str, Shape] | None = None,
    call: str = "the call",
) -> dict[str, Tensor]:
    """The data of a call by name: all that the cell asks for, and nothing else.

    shapes: of what it asks for at this call; all of its data by default.
    """
    shapes = cell.data if shapes is None else shapes
    if set(data) != set(shapes):
        raise ArgumentError(
            f"cell {cell.name!r} takes the data {sorted(shapes)} as keyword "
            f"arguments of {call}, got {sorted(data)}"
        )
    tensors = {}
    for name, shape in shapes.items():
        tensors[name] = frame.fit(name, data[name], shape)
        if tensors[name].dtype.kind == "f":
            check_dtype(name, tensors[name], frame.dtype)
    return tensors


def time_major(x: Tensor, batched: bool, batch_first: bool) -> Tensor:
    """The caller's (T, B, n), (B, T, n) or (T, n) as (T, B, n)."""
    if not batched:
        return x[:, None]
    return x.permute(1, 0, 2) if batch_first else x


def written(
    x: Tensor, carries: Sequence[Sequence[Tensor]], batched: bool, batch_first: bool
) -> tuple[Tensor, State]:
    """Outputs (T, B, n) and each place's last carry, as the caller has them."""
    if len(carries) == 1:
        h_n = [state.reshape(1, *state.shape) for state in carries[0]]
    else:
        h_n = [mg.stack(states) for states in zip(*carries, strict=True)]
    if not batched:
        x, h_n = x[:, 0], [state.squeeze(1) for state in h_n]
    elif batch_first:
        x = x.permute(1, 0, 2)
    return x, tuple(h_n) if len(h_n) > 1 else h_n[0]


def check_lengths(lengths: Any, frame: Frame) -> np.ndarray[Any, Any] | None:
    """Lengths as int64 (B,), one an example, each in 0..T; one int if unbatched."""
    if lengths is None:
        return None
    if not frame.batched and np.ndim(lengths):
        raise ShapeError(
            "lengths must be one int, as the input has no batch; "
            f"it is {np.shape(lengths)}"
        )
    given = lengths if frame.batched else [lengths]
    return checked_lengths(given, frame.sizes["T"], frame.sizes["B"])


def check_masks(
    masks: Any, widths: Sequence[int], frame: Frame, batch_first: bool
) -> list[Tensor | None]:
    """Dropout masks as (T, B, width), one for each layer but the last; None: drawn."""
    if masks is None:
        return [None] * len(widths)
    if not isinstance(masks, tuple | list) or len(masks) != len(widths):
        got = f"{len(masks)}" if isinstance(masks, tuple | list) else repr(masks)
        raise ArgumentError(
            f"dropout_masks must be a list of num_layers - 1 = {len(widths)} masks, "
            f"got {got}"
        )
    leading = [frame.sizes[s] for s in ("T", "B") if frame.batched or s == "T"]
    if batch_first:
        leading.reverse()
    checked: list[Tensor | None] = []
    for i, (value, width) in enumerate(zip(masks, widths, strict=True)):
        mask = as_tensor(f"dropout_masks[{i}]", value)
        if mask.shape != (*leading, width):
            raise ShapeError(
                f"dropout_masks[{i}] must have the shape of layer {i}'s output, "
                f"{(*leading, width)}; got {mask.shape}"
            )
        if mask.dtype != np.bool_:
            raise DTypeError(
                f"dropout_masks[{i}] must be bool (True keeps), got {mask.dtype}"
            )
        checked.append(time_major(mask, frame.batched, batch_first))
    return checked
