"""One step of frameworks that have no subject, with weights by the table of dialects.

Proves a conversion by running the framework, and no more than that. Run by
`python -m conformance.peers`, each in a process of its own, in float32.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from .. import policy
from ..cases import stream
from ..data import resolve
from ..dialects import dialect
from ..kinds import KINDS, SIZES

NAME = "dialects"
SECONDS = 300.0
UNITS, INPUTS, ROWS = SIZES["H"], SIZES["I"], SIZES["B"]
Arrays = Mapping[str, Any]
Step = Callable[[str, Arrays, Any, list[Any]], list[Any]]
"""(kind, the framework's arrays, x, states) -> states; h comes first."""


def equinox(kind: str, arrays: Arrays, x: Any, states: list[Any]) -> list[Any]:
    """equinox.nn.GRUCell and LSTMCell."""
    import equinox as eqx
    import jax

    make = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}[kind]
    cell = make(INPUTS, UNITS, key=jax.random.key(0))
    values = [jax.numpy.asarray(array) for array in arrays.values()]
    cell = eqx.tree_at(lambda c: [getattr(c, n) for n in arrays], cell, values)
    found = jax.vmap(cell)(x, tuple(states) if kind == "lstm" else states[0])
    return list(found) if kind == "lstm" else [found]


def haiku(kind: str, arrays: Arrays, x: Any, states: list[Any]) -> list[Any]:
    """haiku.GRU and LSTM."""
    import haiku as hk

    def step(x: Any, *states: Any) -> Any:
        if kind == "lstm":
            return hk.LSTM(UNITS)(x, hk.LSTMState(*states))[1]
        return hk.GRU(UNITS)(x, states[0])[1]

    weights: dict[str, Any] = {"gru": dict(arrays)}
    if kind == "lstm":
        w = np.concatenate([arrays["linear/w (x)"], arrays["linear/w (h)"]])
        weights = {"lstm/linear": {"w": w, "b": arrays["linear/b"]}}
    found = hk.without_apply_rng(hk.transform(step)).apply(weights, x, *states)
    return [found.hidden, found.cell] if kind == "lstm" else [found]


def tinygrad(kind: str, arrays: Arrays, x: Any, states: list[Any]) -> list[Any]:
    """tinygrad.nn.LSTMCell."""
    from tinygrad import Tensor, nn

    cell = nn.LSTMCell(INPUTS, UNITS)
    for name, array in arrays.items():
        setattr(cell, name, Tensor(array))
    h, c = map(Tensor, states)
    return [state.numpy() for state in cell(Tensor(x), (h, c))]


def mlx(kind: str, arrays: Arrays, x: Any, states: list[Any]) -> list[Any]:
    """mlx.nn.RNN, GRU and LSTM, which are layers: a sequence of one step."""
    import mlx.core as mx
    import mlx.nn as nn

    make = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind]
    layer = make(INPUTS, UNITS)
    layer.update({name: mx.array(array) for name, array in arrays.items()})
    found = layer(mx.array(x)[:, None], *map(mx.array, states))
    return [np.array(y)[:, 0] for y in (found if kind == "lstm" else [found])]


PROOFS: tuple[tuple[str, str, str, Step], ...] = (
    ("Equinox", "gru", "equinox", equinox),
    ("Equinox", "lstm", "equinox", equinox),
    ("Haiku", "gru_reset_before", "dm-haiku", haiku),
    ("Haiku", "lstm", "dm-haiku", haiku),
    ("tinygrad", "lstm", "tinygrad", tinygrad),
    ("mlx", "rnn_tanh", "mlx", mlx),
    ("mlx", "gru", "mlx", mlx),
    ("mlx", "lstm", "mlx", mlx),
)
"""Framework, kind, distribution, and how a step is run."""


def run() -> dict[str, Any]:
    """The error of each, and the limit that it is held to."""
    found = []
    for framework, kind, package, step in tqdm(PROOFS, desc=NAME, unit="proof"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            error = pool.apply_async(error_of, (framework, kind, step)).get(SECONDS)
        row = {
            "layer": f"{framework} {dialect(framework, kind).layer}",
            "kind": kind,
            "versions": f"{package} {importlib.metadata.version(package)}",
            "error": error,
            "limit": limit_of(kind),
        }
        found.append(row)
    return {"proofs": found}


def error_of(framework: str, kind: str, step: Step) -> float:
    """How far one step is from PyTorch's, or the paper's, on the same weights."""
    rng = stream(framework, kind, "one step")
    shapes = {n: resolve(s, SIZES) for n, s in KINDS[kind].parameters.items()}
    drawn = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    parameters = {name: array.astype(np.float32) for name, array in drawn.items()}
    count = len(KINDS[kind].carry)
    x, *states = (
        rng.standard_normal((ROWS, size)).astype(np.float32)
        for size in (INPUTS, *[UNITS] * count)
    )
    arrays = dialect(framework, kind).to_framework(parameters)
    found = step(kind, arrays, x, states)
    expected = reference(kind, parameters, x, states)
    pairs = zip(found, expected, strict=True)
    return max(policy.relative_error(np.asarray(a), b) for a, b in pairs)


def reference(kind: str, parameters: Arrays, x: Any, states: list[Any]) -> list[Any]:
    """The same step in float64, on the oracle's side."""
    from ..cases import LayerCase
    from ..data import Data
    from ..kinds import kind_of
    from ..reference import oracle

    wide = {f"{n}_l0": a.astype(np.float64) for n, a in parameters.items()}
    names = [f"{name}_0" for name in KINDS[kind].carry]
    given = {n: s[None].astype(np.float64) for n, s in zip(names, states, strict=True)}
    data = Data({"x": x[None].astype(np.float64), **given}, wide, {}, {})
    case = LayerCase(kind, steps=1, state=True)
    values = oracle.run(case, kind_of(kind), data).values
    return [values[f"{name}_n"][0] for name in KINDS[kind].carry]


def limit_of(kind: str) -> float:
    """What PyTorch's own float32 error allows for the states of that kind."""
    errors = policy.recorded()
    worst = max(
        policy.torch_error(errors, kind, f"value {name}_n")
        for name in KINDS[kind].carry
    )
    return policy.float32_limit(worst)
