"""The parameters of a cell, held by a module under PyTorch's names."""

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import minigrad as mg
from minigrad import Tensor, init, nn, rng
from minigrad.errors import ArgumentError, ShapeError
from seq.boundary import as_tensor, check_dtype
from seq.cell import Cell, parameter_name
from seq.errors import located
from seq.signature import resolve


class CellModule(nn.Module):
    """A module around a cell, with its parameters at one or more places.

    A place is a layer in one direction; places maps the suffix of its parameters'
    names ("_l0_reverse"; "" for a single step) to its sizes I, H and P. Raises
    ArgumentError for sizes that are no positive ints, and for a projection that the
    cell doesn't have, lacks, or that isn't smaller than hidden_size.
    """

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, bias: bool, proj_size: int
    ) -> None:
        if not isinstance(cell, Cell):
            raise ArgumentError(f"expected a cell, made by seq.cell, got {cell!r}")
        input_size, hidden_size = plain_int(input_size), plain_int(hidden_size)
        proj_size = plain_int(proj_size)
        check_int("input_size", input_size, 1)
        check_int("hidden_size", hidden_size, 1)
        check_int("proj_size", proj_size, 0)
        check_bool("bias", bias)
        if proj_size >= hidden_size:
            raise ArgumentError(
                f"proj_size must be smaller than hidden_size={hidden_size}, "
                f"got {proj_size}"
            )
        if any(s[-1] == "P" for shape in cell.shapes.values() for s in shape):
            check_int(f"proj_size of cell {cell.name!r}", proj_size, 1)
        elif proj_size:
            raise ArgumentError(
                f"cell {cell.name!r} has no projection: proj_size must be 0, "
                f"got {proj_size}"
            )
        # All data come as the **data of forward, and may be called so, too.
        arguments = inspect.signature(type(self).forward).parameters.values()
        own = {a.name for a in arguments if a.kind != a.VAR_KEYWORD}
        for name in own & cell.data.keys():
            raise ArgumentError(
                f"cell {cell.name!r}: the data {name!r} would be an argument of the "
                f"call of {type(self).__name__}, which has its own {name!r}; give it "
                "another name"
            )
        self.cell = cell
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.proj_size = proj_size
        self.places: dict[str, Mapping[str, int]] = {}
        self.names: list[str] = []  # of the parameters of all places

    def __setattr__(self, name: str, value: Any) -> None:
        if value is None and name in vars(self).get("names", ()):
            raise ArgumentError(
                f"{type(self).__name__}.{name} is read by the cell and can't be None; "
                "assign() zeros to it, or make the layer without biases, bias=False"
            )
        super().__setattr__(name, value)

    def add_place(self, suffix: str, input_size: int, dtype: DTypeLike) -> None:
        """Register the parameters of one place, as zeros."""
        sizes = {"I": input_size, "H": self.hidden_size, "P": self.proj_size}
        self.places[suffix] = sizes
        for name, shape in self.cell.params.items():
            if not self._is_present(name):
                continue
            full = parameter_name(name, suffix)
            if hasattr(self, full):
                raise ArgumentError(
                    f"cell {self.cell.name!r}: the parameter {name!r} would be "
                    f"{full!r}, which the module has already; give it another name"
                )
            zeros = np.zeros(resolve(shape, sizes), np.float32)  # so is dtype=None
            setattr(self, full, nn.Parameter(zeros, dtype))
            self.names.append(full)
        if not self.names:  # a buffer: `to` of a model that holds this casts it
            self.register_buffer("_empty", mg.zeros(0, dtype=dtype), persistent=False)

    def reset_parameters(self, generator: rng.Seed = None) -> None:
        """Draw all initial values anew, or set them as the cell's defaults say."""
        generator = rng.generator(generator)
        for suffix in self.places:
            for name in filter(self._is_present, self.cell.params):
                parameter = getattr(self, parameter_name(name, suffix))
                with located(f"cell {self.cell.name!r}: initial value of {name!r}"):
                    self._initialise(name, parameter, generator)

    def place_parameters(self, suffix: str, dtype: DTypeLike) -> dict[str, Tensor]:
        """What the cell takes as parameters at one place; an absent bias is zeros."""
        sizes = self.places[suffix]
        return {
            name: getattr(self, parameter_name(name, suffix))
            if self._is_present(name)
            else _zeros(resolve(shape, sizes), np.dtype(dtype))
            for name, shape in self.cell.params.items()
        }

    def own_parameters(self) -> list[Tensor]:
        """The parameters of all places."""
        return [getattr(self, name) for name in self.names]

    def parameter_dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters; they would have it, too, if there are none."""
        dtype: np.dtype[Any] = getattr(self, (*self.names, "_empty")[0]).dtype
        return dtype

    def read_input(self, input: Any, ranks: Mapping[int, str]) -> Tensor:
        """The input as a Tensor, if its rank, last size and dtype are right."""
        x = as_tensor("input", input)
        if x.ndim not in ranks:
            raise ShapeError(
                f"input must be {' or '.join(ranks.values())}; "
                f"got {x.ndim} dimensions, {x.shape}"
            )
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"input must have input_size={self.input_size} as its last size, "
                f"got {x.shape}"
            )
        if self.names:
            check_dtype("input", x, self.parameter_dtype())
        return x

    def extra_repr(self) -> str:
        """The sizes, and what differs from PyTorch's defaults, in its order."""
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        values = {name: getattr(self, name, defaults[name]) for name in defaults}
        changed = [f"{k}={v}" for k, v in values.items() if v != defaults[k]]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])

    def _is_present(self, name: str) -> bool:
        return self.bias or not name.startswith("b_")

    def _initialise(
        self, name: str, parameter: nn.Parameter, generator: np.random.Generator
    ) -> None:
        initial = self.cell.initial.get(name)
        if initial is None:
            bound = 1 / math.sqrt(self.hidden_size)
            init.uniform_(parameter, -bound, bound, generator=generator)
        elif callable(initial):
            parameter.assign(initial(*parameter.shape, dtype=parameter.dtype))
        else:
            init.constant_(parameter, initial)


@functools.lru_cache(64)
def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    return mg.zeros(*shape, dtype=dtype)


def check_bool(name: str, value: Any) -> None:
    """Raise ArgumentError unless the value is a bool."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be True or False, got {value!r}")


def check_int(name: str, value: Any, least: int) -> None:
    """Raise ArgumentError unless the value is an int of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name} must be an int >= {least}, got {value!r}")


def plain_int(value: Any) -> Any:
    """numpy's integer, such as a maximum + 1, as an int; anything else as it is."""
    return int(value) if isinstance(value, np.integer) else value
