"""RMSprop."""

import numpy as np

from .optimizer import Array, Group, Optimizer, Params, State, buffer, number


class RMSprop(Optimizer):
    """Steps scaled by a running average of the gradient's square.

    g = grad + weight_decay·p; v = alpha·v + (1 - alpha)·g²; d = g / (√v + eps), and
    p = p - lr·d. With momentum, b = momentum·b + d stands for d. If centered, v - m²
    stands for v, where m = m + (1 - alpha)(g - m): an estimate of the variance. With
    maximize the gradient's sign is turned. Tieleman & Hinton (2012), lecture 6.5 of
    Neural Networks for Machine Learning; centered as in Graves (2013), equations 38
    to 45, in PyTorch's form.

    >>> from minigrad.nn import Parameter
    >>> weight = Parameter([1.0])
    >>> (weight * 3).sum().backward()
    >>> RMSprop([weight], lr=0.5, alpha=0.0, eps=0.0).step()
    >>> weight.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum"):
            group[name] = number(name, group[name])
        group["alpha"] = number("alpha", group["alpha"], 0.0, 1.0)

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        lr: float = group["lr"]
        alpha: float = group["alpha"]
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * value
        square = buffer(state, "square_avg", grad)
        square *= alpha
        square += (1 - alpha) * grad * grad
        if group["centered"]:
            mean = buffer(state, "grad_avg", grad)
            mean += (1 - alpha) * (grad - mean)
            square = square - mean * mean
        step = grad / (np.sqrt(square) + group["eps"])
        if group["momentum"]:
            average = buffer(state, "momentum_buffer", grad)
            average *= group["momentum"]
            average += step
            step = average
        return value - lr * step
