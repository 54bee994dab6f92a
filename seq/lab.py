"""Gradients over time: how they fade, how they explode, and what the gates do.

Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063; Karpathy, Johnson & Fei-Fei (2015),
arXiv:1506.02078, section 4.2, for the gates.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, rng
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.parameter import clear_grads
from seq.internals import known_names
from seq.recurrent import Recurrent

Array = np.ndarray[Any, Any]

GATES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    "lstm": dict.fromkeys("ifo", mg.sigmoid),
    "lstm_coupled": {"i": mg.detach, "o": mg.sigmoid},
    "gru": dict.fromkeys("rz", mg.detach),
    "mgu": dict.fromkeys("f", mg.detach),
}
"""By cell: the names of its gates, and what makes a gate of the name's value. An LSTM
has the sums under these names, the GRU their sigmoids, the coupled LSTM one of each."""

CLOSED, OPEN = 0.1, 0.9
"""A gate below or above is saturated."""


def gradient_norms(
    layer: Recurrent, x: Any, *, generator: rng.Seed = None
) -> dict[str, Array]:
    """‖∂L/∂h⟨t⟩‖ by the distance T - t, float64 (T,), for each state of the cell.

    L = u · h⟨T⟩, where u is random of length 1: index d is how long what comes back to
    the state d steps before is, the mean over the batch; index 0 is 1 for h. layer: of
    one direction; x: (T, B, input_size), or a Tensor of it. Of a stack, the states are
    those of the top layer.

    >>> from seq.cells import rnn_tanh
    >>> layer = Recurrent(rnn_tanh, 3, 8, generator=0)
    >>> gradient_norms(layer, mg.randn(5, 2, 3, generator=1))["h"].shape
    (5,)
    """
    if layer.bidirectional or layer.batch_first:
        raise ArgumentError(
            f"gradient_norms needs a layer of one direction, time first; got {layer!r}"
        )
    x = x.detach() if isinstance(x, Tensor) else mg.tensor(x)
    if x.dtype.kind == "f":  # the layer refuses others
        x.requires_grad_()  # the layer may be frozen
    state: Any = None
    path: list[tuple[Tensor, ...]] = []
    for step in range(len(x)):
        _, state = layer(x[step : step + 1], state)
        path.append(state if isinstance(state, tuple) else (state,))
    last = path[-1][0][-1]
    u = rng.generator(generator).normal(size=last.shape)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    loss = (last * mg.tensor(u.astype(last.dtype))).sum()
    flat = [value for states in path for value in states]
    grads = iter(mg.grad(loss, flat, allow_unused=True))
    norms: dict[str, list[float]] = {name: [] for name in layer.cell.carry}
    for _ in path:
        for name in norms:
            grad = next(grads)
            norms[name].append(0.0 if grad is None else _mean_norm(grad))
    return {name: np.array(values[::-1]) for name, values in norms.items()}


def _mean_norm(grad: Tensor) -> float:
    """Of the top layer, (places, B, size): the mean length over the batch."""
    top = grad.detach().numpy()[-1].astype(np.float64)
    return float(np.linalg.norm(top, axis=-1).mean())


class Saturation(NamedTuple):
    """Of a gate: the share of values below CLOSED and above OPEN, by unit, and all."""

    closed: Array
    open: Array
    values: Array


def gate_saturation(
    layer: Recurrent,
    x: Any,
    *,
    gates: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> dict[str, Saturation]:
    """How often each unit of each gate is nearly closed, or nearly open.

    x: (T, B, input_size). gates: names in the cell's equations, and what makes a gate
    of each; those in GATES if the cell is there. Of the top layer, forwards.
    """
    gates = GATES.get(layer.cell.name) if gates is None else gates
    if not gates:
        raise ArgumentError(
            f"which names of cell {layer.cell.name!r} are gates? Give gates, such as "
            '{"i": minigrad.sigmoid}'
        )
    x = x if isinstance(x, Tensor) else mg.tensor(x)
    with mg.no_grad():
        _, _, internals = layer(x, return_internals=tuple(gates))
    found = {}
    for name, make in gates.items():
        top = internals[name][-1 - layer.bidirectional]
        values = make(top).numpy().reshape(-1, top.shape[-1])
        closed, opened = (values < CLOSED).mean(0), (values > OPEN).mean(0)
        found[name] = Saturation(closed, opened, values)
    return found


class Clipped(NamedTuple):
    """A run under one way to clip: by step, the loss, the gradient's norm before the
    clip, and the cosine between the gradient and what the clip made of it."""

    losses: Array
    norms: Array
    cosines: Array


def clipped_run(
    make: Callable[[], tuple[Any, Any]],
    batches: Any,
    steps: int,
    *,
    value: float | None = None,
    norm: float | None = None,
) -> Clipped:
    """Train as `make` says, `make()` being a fresh (model, optimiser), with a clip.

    batches: a function of the step's number, what `model.loss` takes. A run whose loss
    is not finite ends there: the rest is NaN. Neither value nor norm: no clip.
    """
    model, optimizer = make()
    found = np.full((3, steps), np.nan)
    for step in range(steps):
        loss = model.loss(batches(step))
        mean = loss.total / loss.count
        found[0, step] = mean.item()
        if not np.isfinite(found[0, step]):
            break
        optimizer.zero_grad()
        clear_grads(model.parameters(), True)  # also of what isn't optimised
        mean.backward()
        before = _flat_gradient(model)
        if value is not None:
            nn.clip_grad_value_(model.parameters(), value)
        if norm is not None:
            nn.clip_grad_norm_(model.parameters(), norm)
        after = _flat_gradient(model)
        found[1, step] = np.linalg.norm(before)
        lengths = np.linalg.norm(before) * np.linalg.norm(after)
        found[2, step] = before @ after / lengths if lengths else np.nan
        optimizer.step()
    return Clipped(*found)


def _flat_gradient(model: nn.Module) -> Array:
    grads = [
        p.grad.detach().numpy().ravel()
        for p in model.parameters()
        if p.grad is not None
    ]
    return np.concatenate(grads).astype(np.float64)


class Place(NamedTuple):
    """Where a number stopped being finite: the layer, the direction, the step, the name
    in the cell's equations and the first unit."""

    layer: int
    direction: str
    step: int
    name: str
    unit: int


def first_nonfinite(layer: Recurrent, x: Any, hx: Any = None) -> Place | None:
    """The first NaN or infinity in a layer, in the order in which it is computed.

    Of all that the cell's equations give a name to, in the order of the equations;
    None if all is finite. `minigrad.detect_anomaly()` names the op and the line. layer:
    time first; x: (T, B, input_size).
    """
    if layer.batch_first:
        raise ArgumentError(
            "first_nonfinite needs a layer with time first: make it without "
            f"batch_first, and pass x.transpose(0, 1); got {layer!r}"
        )
    x = x if isinstance(x, Tensor) else mg.tensor(x)
    names = _observable(layer, x[:1])
    with mg.no_grad(), np.errstate(all="ignore"):
        _, _, internals = layer(x, hx, return_internals=names)
    values = {name: internals[name].numpy() for name in names}
    n_directions = len(layer.directions)
    for place in range(len(layer.places)):
        depth, backwards = divmod(place, n_directions)
        steps = range(len(x))
        for step in reversed(steps) if backwards else steps:
            for name, value in values.items():
                bad = np.argwhere(~np.isfinite(value[place, step]))
                if len(bad):
                    direction = "reverse" if backwards else "forward"
                    return Place(depth, direction, step, name, int(bad[0][-1]))
    return None


def _observable(layer: Recurrent, x: Tensor) -> tuple[str, ...]:
    """The names that have a row for each example; the states, made last, come last."""
    found = []
    for name in known_names(layer.cell):
        try:
            with mg.no_grad():
                layer(x, return_internals=(name,))
            found.append(name)
        except (ArgumentError, ShapeError):  # a part of a weight; the input of a stack
            continue
    return tuple(sorted(found, key=lambda name: name in layer.cell.carry))
