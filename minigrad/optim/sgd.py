"""Gradient descent."""

import math

from .._backend import kernels
from ..errors import ArgumentError
from .optimizer import Array, Group, Optimizer, Params, State, buffer, number


class SGD(Optimizer):
    """Gradient descent, with momentum if it is asked for.

    g = grad + weight_decay·p; b = momentum·b + (1 - dampening)·g, where the first b is
    the first g; d = b, or g + momentum·b with nesterov; p = p - lr·d. With maximize
    the gradient's sign is turned. Sutskever et al. (2013), in PyTorch's form.

    >>> from minigrad.nn import Parameter
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
            group[name] = number(name, group[name])
        group["dampening"] = number("dampening", group["dampening"], -math.inf)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                "nesterov needs a momentum > 0 and a dampening of 0, got momentum "
                f"{group['momentum']} and dampening {group['dampening']}"
            )

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        momentum: float = group["momentum"]
        numbers = (
            group["lr"],
            group["weight_decay"],
            momentum,
            1 - group["dampening"],
            group["nesterov"],
            "momentum_buffer" not in state,
        )
        average = buffer(state, "momentum_buffer", grad) if momentum else None
        return kernels.sgd(value, grad, average, numbers)
