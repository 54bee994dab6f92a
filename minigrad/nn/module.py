"""Modules: what they hold, under which names, and what is saved of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .._backend import wrap
from ..errors import (
    ArgumentError,
    DTypeError,
    MinigradError,
    MissingMethodError,
    StateDictError,
    describe,
)
from ..mode import refuse_in_step
from ..tensor import Tensor
from .forward_hooks import Hooked
from .names import join, unique
from .parameter import Parameter, clear_grads, fit

T = TypeVar("T")


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Hooked):
    """A thing with parameters, buffers, sub-modules and a `forward`.

    Whatever attribute holds a Parameter or a Module is registered under the
    attribute's name, and what `register_buffer` is given; nothing else is. No call of
    `super().__init__()` is needed.

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

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        if isinstance(held, Parameter | Module) and not (
            value is None or isinstance(value, Parameter | Module)
        ):
            raise _not_registered(self, name, value)
        if name in _kept_buffers(self):
            if isinstance(value, Parameter | Module):
                _keep_buffer(self, name, None)
            else:
                _check_buffer(self, name, value)
                refuse_in_step(f"setting the buffer {name!r}", "make it a carry")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in _kept_buffers(self):
            _keep_buffer(self, name, None)

    def register_buffer(
        self, name: str, tensor: Tensor | None, persistent: bool = True
    ) -> None:
        """Have a Tensor as the attribute `name` that is no parameter, but is saved.

        It is in the state dict, if persistent, and `to` casts it if it holds floats. A
        Tensor, which never changes, or None that the attribute is set to takes its
        place. Raises ArgumentError for a name that is taken, is empty or has a dot, and
        DTypeError for what is no Tensor, or is a Parameter.

        >>> class Count(Module):
        ...     def __init__(self):
        ...         self.register_buffer("calls", Tensor(0))
        ...
        ...     def forward(self, x):
        ...         self.calls = self.calls + 1
        ...         return x
        >>> count = Count()
        >>> count(3), count.state_dict()
        (3, {'calls': tensor(1)})
        """
        if name not in _kept_buffers(self):
            check_name(self, name, "buffer")
        if isinstance(tensor, Parameter):
            raise DTypeError(
                f"buffer {name!r} can't be a Parameter, which is registered by itself; "
                f"give its detach(), or set {type(self).__name__}.{name} to it"
            )
        _check_buffer(self, name, tensor)
        _keep_buffer(self, name, bool(persistent))
        self.__dict__[name] = tensor

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, each once, with their names."""
        return unique(_members(self, Module))

    def children(self) -> Iterator["Module"]:
        """The modules held directly, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, each once, with dotted names."""
        return unique(_walk(self, prefix))

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
        return unique(found) if remove_duplicate else found

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers, as `named_parameters` gives parameters; none that is None."""
        owners = _walk(self, prefix) if recurse else [(prefix, self)]
        found = (
            (join(path, name), buffer)
            for path, owner in owners
            for name, buffer in _buffers(owner)
        )
        return unique(found) if remove_duplicate else found

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers("", recurse))

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """The value of every parameter and persistent buffer by name; a tied one under
        all its names.

        A snapshot: later steps of an optimiser do not show in it.
        """
        return {prefix + name: s.value.detach() for name, s in _state(self)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Assign all that `state_dict` gives from a mapping of names to arrays, or
        nothing at all.

        Values are anything numpy reads as an array (a PyTorch state dict will do) and
        are cast to the dtype that is there. With strict=False, keys found on one side
        only are returned and ignored. Raises StateDictError, listing everything that
        does not fit, and what a tied parameter is given under two names if it differs;
        and ArgumentError if state_dict is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(
                "load_state_dict expected a mapping of names to arrays, "
                f"got {type(state_dict).__name__}"
            )
        places = dict(_state(self))
        keys = IncompatibleKeys(
            [name for name in places if name not in state_dict],
            [name for name in state_dict if name not in places],
        )
        problems = _key_problems(keys) if strict else []
        arrays: dict[str, np.ndarray] = {}
        for name in (name for name in places if name in state_dict):
            try:
                arrays[name] = fit(state_dict[name], places[name].value, "same_kind")
            except MinigradError as error:
                problems.append(f"mismatch for {name}: {error}")
        problems += _tie_problems(places, arrays)
        if problems:
            raise StateDictError(
                "\n\t".join([f"cannot load into {type(self).__name__}:", *problems])
            )
        found: dict[int, Tensor] = {}
        loaded: dict[str, Tensor] = {}
        for name, array in arrays.items():
            first = found.setdefault(id(places[name].value), wrap(array))
            # Only buffers differ here, which were one Tensor until they were set.
            loaded[name] = first if _is_same(first._data, array) else wrap(array)
        for name, place in places.items():
            new = loaded.get(name, found.get(id(place.value)))
            if isinstance(place.value, Parameter) and new is not None:
                place.value._replace(new._data)
            elif new is not None:
                setattr(place.owner, place.name, new)
        return keys

    def apply(self, fn: Callable[["Module"], Any]) -> Self:
        """Call fn on every module below, then on this one: to initialise each."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and below. Raises ArgumentError unless mode is a bool."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train expected True or False, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)  # which a class may have made its own, to stay frozen
        return self

    def eval(self) -> Self:
        """Leave the training mode: `train(False)`."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None, or those that are there to 0."""
        clear_grads(self.parameters(), set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train every parameter, or freeze it."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, dtype: DTypeLike) -> Self:
        """Cast every parameter with its gradient, and every buffer of floats.

        dtype: float32 or float64.

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
        for module in self.modules():
            for name, buffer in _buffers(module):
                if buffer.dtype.kind == "f":
                    setattr(module, name, buffer.to(dtype))
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
        yield from _walk(child, join(prefix, name))


def _kept_buffers(module: Module) -> dict[str, bool]:
    """The names of a module's buffers, and whether each is persistent."""
    kept: dict[str, bool] = vars(module).get("_buffers", {})
    return kept


def _keep_buffer(module: Module, name: str, persistent: bool | None) -> None:
    """Note a buffer, or that it is none any more, and not in a shallow copy, too."""
    kept = {**_kept_buffers(module), name: persistent}
    if persistent is None:
        del kept[name]
    vars(module)["_buffers"] = kept


def _buffers(module: Module) -> list[tuple[str, Tensor]]:
    """A module's own buffers, but those that are None."""
    found = [(name, vars(module)[name]) for name in _kept_buffers(module)]
    return [(name, buffer) for name, buffer in found if buffer is not None]


def _check_buffer(module: Module, name: str, value: Any) -> None:
    if not (value is None or isinstance(value, Tensor)):
        raise DTypeError(
            f"{type(module).__name__}.{name} is a buffer, a Tensor or None, not "
            f"{describe(value)}; make it a Tensor first"
        )


def _not_registered(module: Module, name: str, value: Any) -> DTypeError:
    """What would leave a Parameter or a Module in its place untrained, in silence."""
    if isinstance(vars(module)[name], Parameter):
        kind, instead = "Parameter", f"give it new values with {name}.assign(...), or "
    else:
        kind, instead = "Module", "set it to None first, or "
    return DTypeError(
        f"{type(module).__name__}.{name} is a {kind}, which can't be replaced by "
        f"{describe(value)}; {instead}make a {kind} of it"
    )


def check_name(module: Module, name: Any, what: str) -> None:
    """Refuse a name for what a module is to hold that is taken, or is no name."""
    if not isinstance(name, str) or not name or "." in name or hasattr(module, name):
        raise ArgumentError(
            f"{type(module).__name__} can't name a {what} {name!r}: it must be a "
            "name without a dot that is not taken"
        )


class _Place(NamedTuple):
    """What a state dict saves, and the attribute that it is."""

    owner: Module
    name: str
    value: Tensor


def _state(module: Module) -> Iterator[tuple[str, _Place]]:
    """What a state dict saves, by every name that leads to it."""
    for path, owner in _walk(module):
        kept = _kept_buffers(owner)
        saved = [(name, buffer) for name, buffer in _buffers(owner) if kept[name]]
        for name, value in [*_members(owner, Parameter), *saved]:
            yield join(path, name), _Place(owner, name, value)


def _named_parameters(
    module: Module, prefix: str = "", recurse: bool = True
) -> Iterator[tuple[str, Parameter]]:
    """The parameters, by every name that leads to one."""
    for path, owner in _walk(module, prefix) if recurse else [(prefix, module)]:
        for name, parameter in _members(owner, Parameter):
            yield join(path, name), parameter


def _key_problems(keys: IncompatibleKeys) -> list[str]:
    sides = (("missing", keys.missing_keys), ("unexpected", keys.unexpected_keys))
    return [f"{side} keys: {', '.join(map(repr, ks))}" for side, ks in sides if ks]


def _tie_problems(
    places: Mapping[str, _Place], arrays: Mapping[str, np.ndarray]
) -> list[str]:
    """A parameter, or a buffer of one module, can't hold two values for two names."""
    first: dict[Any, str] = {}
    problems = []
    for name, array in arrays.items():
        owner, attribute, value = places[name]
        one = id(value) if isinstance(value, Parameter) else (id(owner), attribute)
        other = first.setdefault(one, name)
        if not _is_same(array, arrays[other]):
            problems.append(f"{other} and {name} are one tensor, but differ there")
    return problems


def _is_same(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(x, y, equal_nan=True)
