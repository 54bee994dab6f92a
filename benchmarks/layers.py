"""Layers beside their peers: training, and inference alone."""

from collections.abc import Iterable, Iterator
from functools import partial

from benchmarks import ours, peer_jax, peer_onnx, peer_torch
from benchmarks.case import Case, Makers, Size
from benchmarks.kinds import KINDS, problem
from benchmarks.results import OURS


def cases(sizes: Iterable[Size]) -> Iterator[Case]:
    """Every kind at every size."""
    sizes = list(sizes)
    for part, makers, factor in (
        ("training", training, 3),
        ("inference", inference, 1),
    ):
        for name, kind in KINDS.items():
            for size in sizes:
                yield Case(
                    part,
                    name,
                    size,
                    partial(makers, name, size),
                    factor * kind.flops(size),
                )


def training(name: str, size: Size, dtype: str = "float32") -> Makers:
    """Ways to (output, dx, and the gradient of each parameter).

    Under the same cotangent, from the same weights and input.
    """
    p = problem(name, size, dtype)
    makers = {OURS: lambda: ours.train(p.layer, p.x, p.g)}
    if p.kind.nn:
        makers["torch.nn"] = lambda: peer_torch.train_module(p)
    makers["torch loop"] = lambda: peer_torch.train_loop(p)
    if name == "LSTM":
        makers["JAX scan"] = lambda: peer_jax.train_lstm(p)
    return makers


def inference(name: str, size: Size, dtype: str = "float32") -> Makers:
    """Ways to the output alone, with nothing recorded."""
    p = problem(name, size, dtype)
    makers = {OURS: lambda: ours.infer(p.layer, p.x)}
    if p.kind.nn:
        makers["torch.nn"] = lambda: peer_torch.infer_module(p)
        makers["onnxruntime"] = lambda: peer_onnx.infer(p)
    else:
        makers["torch loop"] = lambda: peer_torch.infer_loop(p)
    if name == "LSTM":
        makers["JAX scan"] = lambda: peer_jax.infer_lstm(p)
    return makers
