"""Optimisers: PyTorch's arguments and PyTorch's arithmetic, in its order.

A step reads `parameter.grad` and gives each parameter a new value by `assign`; the
running averages are numpy arrays, updated in place. It checks every option and every
gradient before it touches anything, so it updates all parameters or none.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import ArgumentError, DTypeError
from .nn.module import Parameter
from .tensor import Tensor

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

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, or none at all.

        Raises DTypeError for a gradient from before its parameter changed dtype, and
        ArgumentError for an option that has become invalid.
        """
        work: list[tuple[Parameter, Array, Group]] = []
        for group in self.param_groups:
            self._check(group)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _check_dtype(parameter, parameter.grad)
                    work.append((parameter, parameter.grad.detach().numpy(), group))
        # Under -W error a warning would stop the step half-way.
        with np.errstate(all="ignore"):
            for parameter, grad, group in work:
                value = parameter.detach().numpy()
                grad = -grad if group["maximize"] else grad
                state = _cast(self.state.get(parameter, {}), value.dtype)
                self.state[parameter] = state
                parameter.assign(self._update(value, grad, state, group))

    def _check(self, group: Group) -> None:
        """Raise ArgumentError for a bad option; make Python floats of the numbers."""
        raise NotImplementedError

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        """The new value of one parameter; neither `value` nor `grad` is changed."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent, with momentum if it is asked for.

    g = grad + weight_decay·p; b = momentum·b + (1 - dampening)·g, where the first b is
    the first g; d = b, or g + momentum·b with nesterov; p = p - lr·d. With maximize
    the gradient's sign is turned. Sutskever et al. (2013), in PyTorch's form.

    >>> weight = Parameter([1.0])
    >>> (weight * 3).sum().backward()
    >>> SGD([weight], lr=0.5).step()
    >>> weight.tolist()
    [-0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            group[name] = _number(name, group[name])
        group["dampening"] = _number("dampening", group["dampening"], -math.inf)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                "nesterov needs a momentum > 0 and a dampening of 0, got momentum "
                f"{group['momentum']} and dampening {group['dampening']}"
            )

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        lr: float = group["lr"]
        momentum: float = group["momentum"]
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * value
        if momentum:
            if "momentum_buffer" in state:
                buffer = state["momentum_buffer"]
                buffer *= momentum
                buffer += (1 - group["dampening"]) * grad
            else:
                buffer = state["momentum_buffer"] = np.array(grad)
            grad = grad + momentum * buffer if group["nesterov"] else buffer
        return value - lr * grad


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

    g = grad + weight_decay·p; m = m + (1 - β₁)(g - m); v = β₂·v + (1 - β₂)·g²;
    p = p - lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps), where amsgrad puts the
    largest v so far for v. With maximize the gradient's sign is turned.
    Kingma & Ba (2015), algorithm 1; Reddi et al. (2018), algorithm 2.
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            group[name] = _number(name, group[name])
        if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
            raise ArgumentError(f"betas must be two numbers, got {group['betas']!r}")
        group["betas"] = tuple(_number("betas", b, 0.0, 1.0) for b in group["betas"])

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        lr: float = group["lr"]
        beta1, beta2 = group["betas"]
        if self.decoupled:
            value = value * (1 - lr * group["weight_decay"])
        elif group["weight_decay"]:
            grad = grad + group["weight_decay"] * value
        if not state:
            state["step"] = 0
            state["exp_avg"] = np.zeros_like(grad)
            state["exp_avg_sq"] = np.zeros_like(grad)
        state["step"] += 1
        mean: Array = state["exp_avg"]
        square: Array = state["exp_avg_sq"]
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * grad * grad
        if group["amsgrad"]:
            square = np.maximum(state.get("max_exp_avg_sq", square), square)
            state["max_exp_avg_sq"] = square
        correction1 = 1 - beta1 ** state["step"]
        correction2 = 1 - beta2 ** state["step"]
        denominator = np.sqrt(square) / math.sqrt(correction2) + group["eps"]
        return value - lr / correction1 * mean / denominator


class AdamW(Adam):
    """Adam with the weights decayed by themselves: p = p·(1 - lr·weight_decay) first,
    and no decay in g. Loshchilov & Hutter (2019), algorithm 2.
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize
        )


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


def _number(name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """A Python float in [low, high): numpy's would widen float32 arrays."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or not low <= value < high:
        raise ArgumentError(f"{name} must be in [{low}, {high}), got {value!r}")
    return float(value)


def _check_dtype(parameter: Parameter, grad: Tensor) -> None:
    if grad.dtype != parameter.dtype:
        raise DTypeError(
            f"a parameter of {parameter.dtype} has a gradient of {grad.dtype}; "
            "call zero_grad and backward again"
        )


def _cast(state: State, dtype: np.dtype[Any]) -> State:
    """A state in the parameter's dtype, which Module.to may have changed."""
    return {
        name: entry.astype(dtype, copy=False) if name != "step" else entry
        for name, entry in state.items()
    }
