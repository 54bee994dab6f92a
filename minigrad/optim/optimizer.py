"""What the optimisers share: groups of parameters, the step, what is saved."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import (
    ArgumentError,
    DTypeError,
    MinigradError,
    StateDictError,
    describe,
)
from ..nn.parameter import Parameter, clear_grads, fit
from ..tensor import Tensor

Array = np.ndarray[Any, Any]
State = dict[str, Any]
Group = dict[str, Any]
Params = Iterable[Parameter] | Iterable[Group]


class Optimizer:
    """What the optimisers share: groups of parameters, their options, the step.

    `params` is an iterable of Parameters, or of groups: dicts with "params" and the
    options that differ from `defaults`. `param_groups` may be changed between steps
    (a learning rate schedule writes `group["lr"]`). Raises ArgumentError for an empty
    list, anything that is not a Parameter, one given twice, and unknown or bad options.
    """

    def __init__(self, params: Params, defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Parameter, State] = {}
        items = _items(params)
        if not all(isinstance(item, dict) for item in items):
            items = [{"params": items}]
        for group in items:
            self.add_param_group(group)

    def add_param_group(self, group: Group) -> None:
        """Optimise more parameters: {"params": parameters, **options}."""
        if not isinstance(group, dict):
            raise ArgumentError(
                'a group is a dict with "params" and options, '
                f"got {type(group).__name__}"
            )
        if unknown := group.keys() - self.defaults.keys() - {"params"}:
            raise ArgumentError(
                f"unknown options {sorted(unknown)}; {type(self).__name__} takes "
                f"{', '.join(self.defaults)}"
            )
        params = group.get("params", ())
        params = [params] if isinstance(params, Parameter) else _items(params)
        group = {**self.defaults, **group, "params": params}
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for parameter in group["params"]:
            _check_parameter(parameter)
            if id(parameter) in taken:
                raise ArgumentError(
                    f"a parameter of shape {parameter.shape} is given twice"
                )
            taken.add(id(parameter))
        self._check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None, or those that are there to 0."""
        for group in self.param_groups:
            clear_grads(group["params"], set_to_none)

    def step(self) -> None:
        """Update every parameter that has a gradient, or none at all.

        Raises DTypeError for a gradient from before its parameter changed dtype, and
        ArgumentError for an option that has become invalid.
        """
        work: list[tuple[Parameter, Array, Group]] = []
        for group in self.param_groups:
            self._check(group)
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is not None:
                    if grad.dtype != parameter.dtype:
                        raise _other_dtype(parameter, grad)
                    work.append((parameter, grad._data, group))
        # Under -W error a warning would stop the step half-way.
        with np.errstate(all="ignore"):
            for parameter, grad, group in work:
                value = parameter._data
                grad = -grad if group["maximize"] else grad
                if (state := self.state.get(parameter)) is None:
                    state = self.state[parameter] = {}
                elif state:
                    _cast(state, value.dtype)
                updated = self._update(value, grad, state, group)
                parameter._replace(np.asarray(updated))

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on: a snapshot, in PyTorch's structure.

        {"state": {number: {name: Tensor or int}}, "param_groups": [{option: value,
        "params": [number, ...]}]}; parameters are numbered in the groups' order.
        An optimiser of PyTorch's loads it once the Tensors are tensors of PyTorch::

            for entries in state_dict["state"].values():
                entries.setdefault("step", 0)  # which its RMSprop counts, too
                for name, entry in entries.items():
                    if isinstance(entry, mg.Tensor):
                        entries[name] = torch.tensor(entry.numpy())
        """
        numbers = {p: number for number, p in enumerate(self._parameters())}
        groups = [
            {**group, "params": [numbers[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {
            number: {name: _snapshot(entry) for name, entry in self.state[p].items()}
            for p, number in numbers.items()
            if p in self.state
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`; PyTorch's own of the same optimiser will do.

        Options and running averages are replaced, the latter in the parameters' dtype;
        an option that is a tensor of one number is taken as the number.
        The groups must be as many, with as many parameters each, and in the same order.
        Raises StateDictError for what does not fit, and changes nothing then.
        """
        try:
            states, saved = state_dict["state"].items(), state_dict["param_groups"]
            numbers = [number for group in saved for number in group["params"]]
        except (AttributeError, KeyError, TypeError) as error:
            raise StateDictError(
                'expected a mapping with "state" and "param_groups", as state_dict() '
                f"returns it, got {describe(state_dict)}"
            ) from error
        groups = self._read_groups(saved)
        owners = dict(zip(numbers, self._parameters(), strict=True))
        state = {}
        for number, entries in states:
            if number not in owners:
                raise StateDictError(f"there is state of {number!r}, but no parameter")
            state[owners[number]] = _read_entries(number, owners[number], entries)
        self.param_groups = groups
        self.state = state

    def _parameters(self) -> list[Parameter]:
        return [p for group in self.param_groups for p in group["params"]]

    def _read_groups(self, saved: Sequence[Group]) -> list[Group]:
        """The groups with the options that were saved, if they fit."""
        sizes = [len(group["params"]) for group in saved]
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise StateDictError(
                f"expected groups of {expected} parameters, got groups of {sizes}"
            )
        groups = []
        for i, (group, own) in enumerate(zip(saved, self.param_groups, strict=True)):
            if missing := [name for name in self.defaults if name not in group]:
                raise StateDictError(
                    f"group {i} has no {', '.join(missing)}; is it of another "
                    f"optimiser than {type(self).__name__}?"
                )
            options = {name: _as_number(option) for name, option in group.items()}
            groups.append({**options, "params": own["params"]})
            try:
                self._check(groups[-1])
            except ArgumentError as error:
                raise StateDictError(f"group {i}: {error}") from error
        return groups

    def _check(self, group: Group) -> None:
        """Raise ArgumentError for a bad option; make Python floats of the numbers."""
        raise NotImplementedError

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        """The new value of one parameter, a new array: neither `value` nor `grad`."""
        raise NotImplementedError


def _items(params: Any) -> list[Any]:
    """The members of an iterable that has an order."""
    if isinstance(params, set | str | Tensor) or not isinstance(params, Iterable):
        raise ArgumentError(
            "params must be a list of Parameters or of dicts of options, in an order "
            f"that stays, got {type(params).__name__}; pass module.parameters()"
        )
    items = list(params)
    if not items:
        raise ArgumentError("params is empty: there is nothing to optimise")
    return items


def _check_parameter(parameter: Any) -> None:
    if not isinstance(parameter, Parameter):
        raise ArgumentError(
            "an optimiser trains Parameters, which are leaves that can be assigned; "
            f"got {type(parameter).__name__}"
        )


def number(name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """A Python float in [low, high): numpy's would widen float32 arrays."""
    if type(value) is float and low <= value < high:  # as it is at every step
        return value
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or not low <= value < high:
        raise ArgumentError(f"{name} must be in [{low}, {high}), got {value!r}")
    return float(value)


def _as_number(option: Any) -> Any:
    """The number of a tensor without dims, as PyTorch's lr and betas may be."""
    if isinstance(option, tuple):
        return tuple(map(_as_number, option))
    return option.item() if getattr(option, "ndim", None) == 0 else option


def integer(name: str, value: Any, least: int) -> int:
    """An int of at least `least`, or ArgumentError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{name} must be an int >= {least}, got {value!r}")
    return value


def buffer(state: State, name: str, like: Array) -> Array:
    """A running average that is kept in the state; it starts from zeros."""
    if name not in state:
        state[name] = np.zeros(like.shape, like.dtype)
    found: Array = state[name]
    return found


def _snapshot(entry: Any) -> Any:
    return Tensor(entry) if isinstance(entry, np.ndarray) else entry


def _read_entries(number: Any, parameter: Parameter, entries: Any) -> State:
    """What was saved of one parameter, as the optimiser keeps it."""
    if not isinstance(entries, Mapping):
        raise StateDictError(
            f"the state of parameter {number!r} must be a mapping of names, "
            f"got {describe(entries)}"
        )
    found: State = {}
    for name, entry in entries.items():
        try:
            if name == "step":
                found[name] = _whole(entry)
            elif entry is not None:  # PyTorch's for an average that is not needed
                found[name] = np.array(fit(entry, parameter, "same_kind"), order="C")
        except (MinigradError, TypeError, ValueError) as error:
            raise StateDictError(
                f"{name!r} of parameter {number!r} does not fit: {error}"
            ) from error
    return found


def _whole(step: Any) -> int:
    """How many steps were made, which PyTorch keeps in a tensor of floats."""
    whole = int(step) if math.isfinite(step) else -1
    if whole < 0 or whole != step:
        raise ArgumentError(f"expected a whole number >= 0, got {describe(step)}")
    return whole


def _other_dtype(parameter: Parameter, grad: Tensor) -> DTypeError:
    return DTypeError(
        f"a parameter of {parameter.dtype} has a gradient of {grad.dtype}; "
        "call zero_grad and backward again"
    )


def _cast(state: State, dtype: np.dtype[Any]) -> None:
    """Bring a state to the parameter's dtype, which Module.to may have changed."""
    for name, entry in state.items():
        if name != "step" and entry.dtype != dtype:
            state[name] = entry.astype(dtype)
