"""JAX: the equations once more, in lax.scan, differentiated by jax.vjp."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.nn import relu, sigmoid

from ..cases import LayerCase
from ..data import Data, sized
from ..kinds import kind_of
from . import Answer, Subject
from .stacking import run_stack, time_first

jax.config.update("jax_enable_x64", True)

Tensors = dict[str, Any]
Forward = Callable[[LayerCase, Tensors, Any], Tensors]
"""(case, leaves, lengths) -> outputs, by name."""


def differentiated(forward: Forward, case: LayerCase, data: Data) -> Answer:
    """The outputs of a function of the leaves, and its gradient."""
    leaves = {name: jnp.asarray(array) for name, array in data.leaves.items()}
    shapes = jax.eval_shape(functools.partial(forward, case), leaves, data.lengths)
    zeros = {name: np.zeros(s.shape, s.dtype) for name, s in shapes.items()}
    run = compiled(forward, case)
    outputs, gradients = run(leaves, {**zeros, **data.cotangents}, data.lengths)
    return Answer(
        {name: np.asarray(array) for name, array in outputs.items()},
        {name: np.asarray(array) for name, array in gradients.items()},
    )


@functools.lru_cache(maxsize=1)  # the case's cotangents follow each other
def compiled(forward: Forward, case: LayerCase) -> Callable[..., Any]:
    """Outputs and gradient as one compiled function."""

    def both(leaves: Tensors, cotangents: Tensors, lengths: Any) -> Any:
        outputs, backward = jax.vjp(
            lambda leaves: forward(case, leaves, lengths), leaves
        )
        return outputs, backward(cotangents)[0]

    return jax.jit(both)


class Scan(Subject):
    """Hand-written cells, looped over by lax.scan."""

    packages = ("jax", "jaxlib")

    def run(self, case: LayerCase, data: Data) -> Answer:
        """As a function of all leaves, differentiated as a whole."""
        return differentiated(forward, case, data)


def forward(case: LayerCase, leaves: Tensors, lengths: Any) -> Tensors:
    """A case's outputs."""
    kind = sized(kind_of(case.kind), leaves)
    x = time_first(case, leaves["x"])
    inside = None
    if lengths is not None:
        inside = jnp.arange(len(x))[:, None, None] < lengths[:, None]
        # Not only the outputs: a NaN that isn't used has a gradient, too.
        x = jnp.where(inside, x, 0)
    states = None
    if case.state:
        states = [leaves[f"{name}_0"] for name in kind.carry]
        states = [s if case.batched else s[:, None] for s in states]
    sizes = [kind.sizes[shape] for shape in kind.carry.values()]

    def layer(own: Tensors, x: Any, first: Any, reverse: bool) -> tuple[Any, Any]:
        if first is None:
            first = [jnp.zeros((x.shape[1], size), x.dtype) for size in sizes]

        def step(carry: Any, now: Any) -> Any:
            x_t, inside_t = now
            new = CELLS[case.kind](own, x_t, *carry)
            if inside_t is None:
                return new, new[0]
            kept = tuple(
                jnp.where(inside_t, n, c) for n, c in zip(new, carry, strict=True)
            )
            return kept, jnp.where(inside_t, new[0], 0)

        last, output = lax.scan(step, tuple(first), (x, inside), reverse=reverse)
        return output, last

    output, ends = run_stack(case, layer, leaves, x, states, jnp)
    ends = ends if case.batched else [end[:, 0] for end in ends]
    names = [f"{name}_n" for name in kind.carry]
    return {"output": time_first(case, output), **dict(zip(names, ends, strict=True))}


def _sides(w: Tensors, x: Any, h: Any) -> tuple[Any, Any]:
    """The two affine maps."""
    of_x, of_h = x @ w["weight_ih"].T, h @ w["weight_hh"].T
    return of_x + w.get("bias_ih", 0), of_h + w.get("bias_hh", 0)


def _rnn(activation: Callable[[Any], Any], w: Tensors, x: Any, h: Any) -> Any:
    return (activation(sum(_sides(w, x, h))),)


def _gru(w: Tensors, x: Any, h: Any) -> Any:
    of_x, of_h = _sides(w, x, h)
    (r_x, z_x, n_x), (r_h, z_h, n_h) = (jnp.split(a, 3, -1) for a in (of_x, of_h))
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    return ((1 - z) * jnp.tanh(n_x + r * n_h) + z * h,)


def _gru_reset_before(w: Tensors, x: Any, h: Any) -> Any:
    r, z, _ = jnp.split(sigmoid(sum(_sides(w, x, h))), 3, -1)
    _, _, n = jnp.split(sum(_sides(w, x, r * h)), 3, -1)
    return ((1 - z) * jnp.tanh(n) + z * h,)


def _lstm(w: Tensors, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = jnp.split(sum(_sides(w, x, h)), 4, -1)
    # Peepholes see the cell before the step, but for the output gate's.
    c = sigmoid(f + w.get("weight_cf", 0) * c) * c + sigmoid(
        i + w.get("weight_ci", 0) * c
    ) * jnp.tanh(g)
    h = sigmoid(o + w.get("weight_co", 0) * c) * jnp.tanh(c)
    return (h @ w["weight_hr"].T if "weight_hr" in w else h), c


def _lstm_coupled(w: Tensors, x: Any, h: Any, c: Any) -> Any:
    i, g, o = jnp.split(sum(_sides(w, x, h)), 3, -1)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


CELLS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": functools.partial(_rnn, jnp.tanh),
    "rnn_relu": functools.partial(_rnn, relu),
    "gru": _gru,
    "gru_reset_before": _gru_reset_before,
    "lstm": _lstm,
    "lstm_proj": _lstm,
    "lstm_peephole": _lstm,
    "lstm_coupled": _lstm_coupled,
}
"""(parameters, x, *states) -> states, by kind; the first state is the output."""
