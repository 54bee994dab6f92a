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

EPS = 1e-5  # under the root of a layer norm, as in PyTorch's


def maps(w: Weights, order: str, side: str) -> dict[str, Callable[[T], T]]:
    """For each gate its affine map of one vector, from the stacked rows of a side."""
    weight, bias = w[f"weight_{side}"], w.get(f"bias_{side}")
    size = len(weight) // len(order)

    def affine(rows: slice) -> Callable[[T], T]:
        def apply(v: T) -> T:
            product = torch.mv(weight[rows], v)
            return product if bias is None else product + bias[rows]

        return apply

    starts = range(0, len(weight), size)
    return {
        gate: affine(slice(start, start + size))
        for gate, start in zip(order, starts, strict=True)
    }


def gates(w: Weights, order: str) -> dict[str, Callable[[T, T], T]]:
    """For each gate its affine map of one example's (x, h)."""
    of_x, of_h = maps(w, order, "ih"), maps(w, order, "hh")

    def both(gate: str) -> Callable[[T, T], T]:
        return lambda x, h: of_x[gate](x) + of_h[gate](h)

    return {gate: both(gate) for gate in order}


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


def lstm_coupled(w: Weights, x: T, h: T, c: T) -> tuple[T, T]:
    """Greff et al., LSTM: a search space odyssey (2017), their CIFG: f = 1 - i.

    Their equations without the peepholes; the block input is g.
    """
    at = gates(w, "igo")
    i = torch.sigmoid(at["i"](x, h))
    f = 1 - i
    new_c = torch.tanh(at["g"](x, h)) * i + c * f
    return torch.tanh(new_c) * torch.sigmoid(at["o"](x, h)), new_c


def lstm_layer_norm(w: Weights, x: T, h: T, c: T) -> tuple[T, T]:
    """Ba et al., Layer normalization (2016), the LSTM of the supplement.

    Each product is normalised over the units of all gates, then the cell on its way
    out; what is carried on is not. The biases of the two products add up to theirs.
    """

    def normalised(z: T, which: str) -> T:
        centred = z - z.sum() / len(z)
        deviation = torch.sqrt((centred**2).sum() / len(z) + EPS)
        scaled = w[f"g_{which}"] * centred / deviation
        return scaled + w[f"bias_{which}"] if f"bias_{which}" in w else scaled

    from_x = normalised(torch.mv(w["weight_ih"], x), "ih")
    from_h = normalised(torch.mv(w["weight_hh"], h), "hh")
    i, f, g, o = (from_x + from_h).reshape(4, len(c))
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(normalised(new_c, "c")), new_c


def indrnn(w: Weights, x: T, h: T) -> tuple[T]:
    """Li et al., Independently recurrent neural network (2018), with their ReLU.

    A unit multiplies its own past by one number: the recurrent matrix is diagonal.
    """
    full = {**w, "weight_hh": torch.diag(w["weight_hh"])}
    return (torch.relu(gates(full, "h")["h"](x, h)),)


def lstm_zoneout(w: Weights, x: T, h: T, c: T, keep_h: T, keep_c: T) -> tuple[T, T]:
    """Krueger et al., Zoneout (2017), of the LSTM's two states.

    The output gate sees the cell that would be, not the one that is kept.
    """
    at = gates(w, "ifgo")
    candidate = torch.sigmoid(at["i"](x, h)) * torch.tanh(at["g"](x, h))
    moved_c = torch.sigmoid(at["f"](x, h)) * c + candidate
    moved_h = torch.sigmoid(at["o"](x, h)) * torch.tanh(moved_c)
    return torch.lerp(moved_h, h, keep_h), torch.lerp(moved_c, c, keep_c)


def gru_zoneout(w: Weights, x: T, h: T, keep_h: T) -> tuple[T]:
    """Krueger et al., Zoneout (2017), of the GRU's state: d h + (1 - d) GRU(x, h)."""
    return (torch.lerp(gru(w, x, h, h), h, keep_h),)


def lstm_recurrent_dropout(w: Weights, x: T, h: T, c: T, mask_h: T) -> tuple[T, T]:
    """Gal & Ghahramani, A theoretically grounded dropout (2016), eq. 7, without z_x.

    Every gate sees h through one mask, which is the same at all steps.
    """
    at = gates(w, "ifgo")
    seen = h * mask_h
    c = torch.sigmoid(at["f"](x, seen)) * c
    c = c + torch.sigmoid(at["i"](x, seen)) * torch.tanh(at["g"](x, seen))
    return torch.sigmoid(at["o"](x, seen)) * torch.tanh(c), c


def gru_recurrent_dropout(w: Weights, x: T, h: T, mask_h: T) -> tuple[T]:
    """Gal & Ghahramani (2016), on the GRU: products see the masked state only."""
    return (gru(w, x, h * mask_h, h),)


def gru(w: Weights, x: T, seen: T, h: T) -> T:
    """Cho et al. (2014), v3: r acts on the product; products of `seen`, z keeps of h.

    Where nothing is dropped, `seen` is h.
    """
    of_x, of_h = maps(w, "rzn", "ih"), maps(w, "rzn", "hh")
    r = torch.sigmoid(of_x["r"](x) + of_h["r"](seen))
    z = torch.sigmoid(of_x["z"](x) + of_h["z"](seen))
    n = torch.tanh(of_x["n"](x) + r * of_h["n"](seen))
    return z * h + (1 - z) * n


def batched(example: Callable[..., tuple[T, ...]]) -> Step:
    """The same on a batch, an example at a time; the output is the first state."""

    def step(w: Weights, x: T, state: State, data: Weights) -> tuple[T, State]:
        rows = [
            example(w, *row, **{name: value[i] for name, value in data.items()})
            for i, row in enumerate(zip(x, *state, strict=True))
        ]
        new = tuple(torch.stack(parts) for parts in zip(*rows, strict=True))
        return new[0], new

    return step


STEPS: dict[str, Step] = {
    example.__name__: batched(example)
    for example in (
        lstm_peephole,
        gru_reset_before,
        gru_simplified,
        mgu,
        lstm_coupled,
        lstm_layer_norm,
        indrnn,
        lstm_zoneout,
        gru_zoneout,
        lstm_recurrent_dropout,
        gru_recurrent_dropout,
    )
}
