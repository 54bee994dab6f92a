"""Adam, and AdamW, which decays weights by themselves."""

import math

from .._backend import kernels
from ..errors import ArgumentError
from .optimizer import Array, Group, Optimizer, Params, State, buffer, number


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
            group[name] = number(name, group[name])
        if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
            raise ArgumentError(f"betas must be two numbers, got {group['betas']!r}")
        self._numbers: dict[tuple[int, int], tuple[float, ...]] = {}
        group["betas"] = tuple(number("betas", b, 0.0, 1.0) for b in group["betas"])

    def _update(self, value: Array, grad: Array, state: State, group: Group) -> Array:
        step = state["step"] = state.get("step", 0) + 1
        mean, square = buffer(state, "exp_avg", grad), buffer(state, "exp_avg_sq", grad)
        most = buffer(state, "max_exp_avg_sq", grad) if group["amsgrad"] else None
        if (id(group), step) not in self._numbers:
            self._numbers[id(group), step] = self._numbers_at(step, group)
        numbers = self._numbers[id(group), step]
        return kernels.adam(value, grad, mean, square, most, numbers)

    def _numbers_at(self, step: int, group: Group) -> tuple[float, ...]:
        """What the kernel needs to know, the same for all parameters of a group."""
        lr: float = group["lr"]
        beta1, beta2 = group["betas"]
        decay: float = group["weight_decay"]
        return (
            1 - beta1,
            beta2,
            1 - beta2,
            lr / (1 - beta1**step),
            math.sqrt(1 - beta2**step),
            group["eps"],
            1 - lr * decay if self.decoupled else 1.0,
            0.0 if self.decoupled else decay,
        )


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
