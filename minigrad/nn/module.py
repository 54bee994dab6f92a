"""Parameters, and the modules that hold them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ..errors import (
    ArgumentError,
    DTypeError,
    MinigradError,
    MissingMethodError,
    ShapeError,
    StateDictError,
    describe,
)
from ..tensor import Tensor

T = TypeVar("T")


class Parameter(Tensor):
    """A leaf Tensor that a Module registers and an optimiser trains.

    `data` is whatever Tensor takes. It is copied.

    >>> weight = Parameter([1.0, 2.0])
    >>> weight.assign([3.0, 4.0])
    >>> weight.tolist()
    [3.0, 4.0]
    """

    def __init__(
        self, data: Any, dtype: DTypeLike | None = None, requires_grad: bool = True
    ) -> None:
        super().__init__(data, dtype, requires_grad)

    def assign(self, value: Any) -> None:
        """Give the parameter a new array: the only mutation there is.

        `value` is a Tensor or anything numpy reads as an array. Its shape must be the
        parameter's (ShapeError) and so must its dtype (DTypeError); Python numbers
        take the parameter's dtype. A Tensor is read, not differentiated through.
        """
        exact = hasattr(value, "dtype")
        self._replace(fit(value, self, "equiv" if exact else "same_kind"))

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A thing with parameters, sub-modules and a `forward`.

    Whatever attribute holds a Parameter or a Module is registered under the
    attribute's name; nothing else is. No call of `super().__init__()` is needed.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0])
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(3).tolist()
    [6.0]
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation: what calling the module does. Every module defines it."""
        raise MissingMethodError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        # Any other value in a Parameter's place would leave it untrained, in silence.
        if isinstance(self.__dict__.get(name), Parameter) and not (
            value is None or isinstance(value, Parameter | Module)
        ):
            raise DTypeError(
                f"{type(self).__name__}.{name} is a Parameter, which can't be replaced "
                f"by {describe(value)}; give it new values with {name}.assign(...), or "
                "make a Parameter of them"
            )
        super().__setattr__(name, value)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, each once, with their names."""
        return _unique(_members(self, Module))

    def children(self) -> Iterator["Module"]:
        """The modules held directly, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, each once, with dotted names."""
        return _unique(_walk(self, prefix))

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names, each once (a tied one by its first name).

        A module's own parameters come first, in the order they were set. Without
        remove_duplicate a tied one comes under each of its names.
        """
        found = _named_parameters(self, prefix, recurse)
        return _unique(found) if remove_duplicate else found

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The value of every parameter by name; a tied one under all its names.

        A snapshot: later steps of an optimiser do not show in it.
        """
        return {prefix + name: p.detach() for name, p in _named_parameters(self)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Assign every parameter from a mapping of names to arrays, or none at all.

        Values are anything numpy reads as an array (a PyTorch state dict will do) and
        are cast to the parameter's dtype. With strict=False, keys found on one side
        only are returned and ignored. Raises StateDictError, listing everything that
        does not fit, and what a tied parameter is given under two names if it differs;
        and ArgumentError if state_dict is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(
                "load_state_dict expected a mapping of names to arrays, "
                f"got {type(state_dict).__name__}"
            )
        parameters = dict(_named_parameters(self))
        keys = IncompatibleKeys(
            [name for name in parameters if name not in state_dict],
            [name for name in state_dict if name not in parameters],
        )
        problems = _key_problems(keys) if strict else []
        arrays: dict[str, np.ndarray] = {}
        for name in (name for name in parameters if name in state_dict):
            try:
                arrays[name] = fit(state_dict[name], parameters[name], "same_kind")
            except MinigradError as error:
                problems.append(f"mismatch for {name}: {error}")
        problems += _tie_problems(parameters, arrays)
        if problems:
            raise StateDictError(
                "\n\t".join([f"cannot load into {type(self).__name__}:", *problems])
            )
        for name, array in arrays.items():
            parameters[name]._replace(array)
        return keys

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and below. Raises ArgumentError unless mode is a bool."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train expected True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Leave the training mode: `train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train every parameter, or freeze it."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, dtype: DTypeLike) -> Self:
        """Cast every parameter, and its gradient, to float32 or float64.

        Raises DTypeError for any other dtype.
        """
        try:
            target = None if dtype is None else np.dtype(dtype)
        except TypeError:
            target = None
        if target not in (np.float32, np.float64):
            raise DTypeError(f"Module.to expected float32 or float64, got {dtype}")
        for parameter in self.parameters():
            grad = parameter.grad
            parameter._replace(parameter.detach().to(dtype).numpy())
            if grad is not None:
                parameter.grad = grad.to(dtype)
        return self

    def float(self) -> Self:
        """Cast every parameter to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Cast every parameter to float64."""
        return self.to(np.float64)

    def extra_repr(self) -> str:
        """What `repr` shows of the module itself: its arguments."""
        return ""

    def __repr__(self) -> str:
        name, extra = type(self).__name__, self.extra_repr()
        lines = [f"({key}): {child!r}" for key, child in _members(self, Module)]
        if not lines:
            return f"{name}({extra})"
        body = "\n".join([extra, *lines] if extra else lines).replace("\n", "\n  ")
        return f"{name}(\n  {body}\n)"


def _members(module: Module, kind: type[T]) -> list[tuple[str, T]]:
    return [(k, v) for k, v in vars(module).items() if isinstance(v, kind)]


def _walk(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """This module and all below it, by every name that leads to one."""
    yield prefix, module
    for name, child in _members(module, Module):
        yield from _walk(child, _join(prefix, name))


def _named_parameters(
    module: Module, prefix: str = "", recurse: bool = True
) -> Iterator[tuple[str, Parameter]]:
    """The parameters, by every name that leads to one."""
    for path, owner in _walk(module, prefix) if recurse else [(prefix, module)]:
        for name, parameter in _members(owner, Parameter):
            yield _join(path, name), parameter


def _unique(pairs: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _key_problems(keys: IncompatibleKeys) -> list[str]:
    sides = (("missing", keys.missing_keys), ("unexpected", keys.unexpected_keys))
    return [f"{side} keys: {', '.join(map(repr, ks))}" for side, ks in sides if ks]


def _tie_problems(
    parameters: Mapping[str, Parameter], arrays: Mapping[str, np.ndarray]
) -> list[str]:
    """A parameter with two names can't hold two values."""
    first: dict[int, str] = {}
    problems = []
    for name, array in arrays.items():
        other = first.setdefault(id(parameters[name]), name)
        if not np.array_equal(array, arrays[other], equal_nan=True):
            problems.append(f"{other} and {name} are one parameter, but differ there")
    return problems


def fit(
    value: Any, parameter: Parameter, casting: Literal["equiv", "same_kind"]
) -> np.ndarray:
    """Read a value as a fresh read-only array of the parameter's shape and dtype."""
    try:
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"expected an array, got {value!r}: {error}") from error
    if array.shape != parameter.shape:
        raise ShapeError(
            f"expected an array of shape {parameter.shape}, got {array.shape}"
        )
    if not np.can_cast(array.dtype, parameter.dtype, casting):
        raise DTypeError(
            f"expected an array of {parameter.dtype}, got {array.dtype}; "
            "cast the array, or the module with Module.to"
        )
    array = array.astype(parameter.dtype)
    array.flags.writeable = False
    return array
