"""One step of the cells that PyTorch lacks, written from the papers on torch tensors.

By another hand than `seq`, and in another form: one gate and one example at a time,
each gate with matrices of its own. `w[name]` is a parameter; stacked ones hold their
gates in the order given, as PyTorch stacks them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

T = torch.Tensor
Weights = Mapping[str, T]
State = tuple[T, ...]
Step = Callable[[Weights, T, State, Weights], tuple[T, State]]
"""(parameters, x, state, data) -> (output, state)."""


def gates(w: Weights, order: str) -> dict[str, Callable[[T, T], T]]:
    """For each gate its affine map of one example's (x, h), from the stacked rows."""
    size = len(w["weight_ih"]) // len(order)

    def affine(first: int) -> Callable[[T, T], T]:
        rows = slice(first * size, (first + 1) * size)

        def apply(x: T, h: T) -> T:
            a = torch.mv(w["weight_ih"][rows], x) + torch.mv(w["weight_hh"][rows], h)
            for name in ("bias_ih", "bias_hh"):
                a = a + w[name][rows] if name in w else a
            return a

        return apply

    return {gate: affine(index) for index, gate in enumerate(order)}


def lstm_peephole(w: Weights, x: T, h: T, c: T) -> tuple[T, T]:
    """Graves, Generating sequences with recurrent neural networks (2013), eqs. 7-11.

    The input and forget gates see the cell before the step, the output gate after it.
    """
    at = gates(w, "ifgo")
    i = torch.sigmoid(at["i"](x, h) + w["weight_ci"] * c)
    f = torch.sigmoid(at["f"](x, h) + w["weight_cf"] * c)
    new_c = f * c + i * torch.tanh(at["g"](x, h))
    o = torch.sigmoid(at["o"](x, h) + w["weight_co"] * new_c)
    return o * torch.tanh(new_c), new_c


def gru_reset_before(w: Weights, x: T, h: T) -> tuple[T]:
    """Cho et al., Learning phrase representations (2014), eqs. 5-8.

    The reset gate acts on the state before the product; z keeps the old state.
    """
    at = gates(w, "rzn")
    r = torch.sigmoid(at["r"](x, h))
    z = torch.sigmoid(at["z"](x, h))
    candidate = torch.tanh(at["n"](x, r * h))
    return (z * h + (1 - z) * candidate,)


def gru_simplified(w: Weights, x: T, h: T) -> tuple[T]:
    """Ng, Sequence models, the simplified GRU: the gate lets the candidate in."""
    at = gates(w, "un")
    u = torch.sigmoid(at["u"](x, h))
    candidate = torch.tanh(at["n"](x, h))
    return (u * candidate + (1 - u) * h,)


def mgu(w: Weights, x: T, h: T) -> tuple[T]:
    """Zhou et al., Minimal gated unit for recurrent neural networks (2016), eq. 4.

    One gate both resets the state in the candidate and lets the candidate in.
    """
    at = gates(w, "fn")
    f = torch.sigmoid(at["f"](x, h))
    candidate = torch.tanh(at["n"](x, f * h))
    return ((1 - f) * h + f * candidate,)


def batched(example: Callable[..., tuple[T, ...]]) -> Step:
    """The same on a batch, an example at a time; the output is the first state."""

    def step(w: Weights, x: T, state: State, _: Weights) -> tuple[T, State]:
        rows = [example(w, *row) for row in zip(x, *state, strict=True)]
        new = tuple(torch.stack(parts) for parts in zip(*rows, strict=True))
        return new[0], new

    return step


STEPS: dict[str, Step] = {
    example.__name__: batched(example)
    for example in (lstm_peephole, gru_reset_before, gru_simplified, mgu)
}
