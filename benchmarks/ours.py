"""minigrad's layers as subjects."""

from typing import Any

import minigrad as mg
from benchmarks.measure import Subject


def train(layer: Any, x: Any, g: Any, lengths: Any = None) -> Subject:
    """The output, dx and the gradient of every parameter."""
    tensor = mg.Tensor(x, requires_grad=True)
    cotangent = mg.Tensor(g)
    inputs = [tensor, *layer.parameters()]

    def run() -> Any:
        output, _ = layer(tensor, lengths=lengths)
        return output, *mg.grad(output, inputs, cotangent)

    return run


def infer(layer: Any, x: Any) -> Subject:
    """The output alone."""
    tensor = mg.Tensor(x)

    def run() -> Any:
        with mg.no_grad():
            return layer(tensor)[0]

    return run


def stream(layer: Any, row: Any) -> Subject:
    """One more step of a stream, from numpy (1, I) to numpy (1, H)."""
    step = layer.stream(1)
    return lambda: step(row)


def on_threads(n: int, subject: Subject) -> Subject:
    """The subject on so many threads, whatever the others run on."""

    def run() -> Any:
        mg.set_num_threads(n)
        return subject()

    return run
