"""minigrad's layers as subjects."""

from typing import Any

import minigrad as mg
from benchmarks.measure import Subject


def train(layer: Any, x: Any, g: Any, lengths: Any = None) -> Subject:
    """The output, dx and the gradient of every parameter.

    The weights are new ones at each call, as an optimiser makes them: what is packed of
    a weight would be kept for the next call, and spare an eighth of a small one.
    """
    tensor = mg.Tensor(x, requires_grad=True)
    cotangent = mg.Tensor(g)
    parameters = list(layer.parameters())
    inputs = [tensor, *parameters]

    def run() -> Any:
        for parameter in parameters:
            parameter._replace(parameter._data.copy())
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
