"""The LSTM cell under JAX's jit and lax.scan, as subjects.

What JAX needs is imported when a subject is made: a ModuleNotFoundError is a row that
says so. The first call compiles; it is made before anything is timed.
"""

from typing import Any

from benchmarks.kinds import Problem
from benchmarks.measure import Subject


def train_lstm(problem: Problem) -> Subject:
    """The output, dx and the gradient of every parameter."""
    import jax

    def both(g: Any, *primals: Any) -> Any:
        y, backward = jax.vjp(_lstm, *primals)
        return y, *backward(g)

    compiled = jax.jit(both)
    values = jax.device_put((problem.g, problem.x, *problem.weights))
    return lambda: jax.block_until_ready(compiled(*values))


def infer_lstm(problem: Problem) -> Subject:
    """The output alone."""
    import jax

    compiled = jax.jit(_lstm)
    values = jax.device_put((problem.x, *problem.weights))
    return lambda: jax.block_until_ready(compiled(*values))


def _lstm(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    from jax import lax, numpy
    from jax.nn import sigmoid

    def step(carry: Any, x_t: Any) -> Any:
        h, c = carry
        gates = x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh
        i, f, g, o = numpy.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * numpy.tanh(g)
        h = sigmoid(o) * numpy.tanh(c)
        return (h, c), h

    zeros = numpy.zeros((x.shape[1], w_hh.shape[1]), x.dtype)
    return lax.scan(step, (zeros, zeros), x)[1]
