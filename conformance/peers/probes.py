"""Defects of peers that no layer case can show, each run to see if it is still there.

A probe returns what it saw, beginning with "yes" if the defect is there and with "no"
if it isn't; it runs in a process of its own, and imports its peer there.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from . import onnx_probes
from .onnx_probes import float32_agrees

NAME = "probes"
SECONDS = 300.0


@dataclass(frozen=True)
class Probe:
    """What is looked at, in which distributions, and whose it is."""

    what: str
    packages: tuple[str, ...]
    whose: str
    look: Callable[[], str]


def run() -> dict[str, Any]:
    """What every probe saw; what raises there raises here."""
    found = []
    for probe in tqdm(PROBES, desc=NAME, unit="probe"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seen = pool.apply_async(probe.look).get(SECONDS)
        versions = (f"{n} {importlib.metadata.version(n)}" for n in probe.packages)
        found.append(
            {
                "what": probe.what,
                "versions": ", ".join(versions),
                "whose": probe.whose,
                "seen": seen,
            }
        )
    return {"probes": found}


def torch_decomposition() -> str:
    """With all dropped between two layers, the second one sees zeros."""
    import torch
    from torch._decomp.decompositions import lstm_impl

    layer = torch.nn.LSTM(3, 5, num_layers=2, dropout=1.0)
    x, state = torch.randn(4, 2, 3), [torch.randn(2, 2, 5) for _ in range(2)]
    flat = list(layer.parameters())
    options = (True, 2, 1.0, True, False, False)
    output = lstm_impl(x, state, flat, *options)[0]
    with_it = layer(x, tuple(state))[0]
    layer.dropout = 0.0
    without = layer(x, tuple(state))[0]
    output, without, with_it = (a.detach().numpy() for a in (output, without, with_it))
    if float32_agrees(output, without):
        return "yes: at dropout=1 it computes what dropout=0 does"
    return "no" if float32_agrees(output, with_it) else "no: something else"


def torch_empty_row() -> str:
    """A row of length 0 in a packed sequence."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    try:
        pack_padded_sequence(torch.zeros(2, 2, 3), torch.tensor([2, 0]))
    except RuntimeError as error:
        return f"yes: {str(error).splitlines()[0]}"
    return "no: it packs"


def keras_unroll() -> str:
    """On torch, an unrolled layer with a mask, backwards."""
    keras = _keras_on_torch()
    layer = keras.layers.SimpleRNN(2, unroll=True, go_backwards=True)
    try:
        layer(np.ones((1, 3, 2), "f"), mask=np.ones((1, 3), bool))
    except Exception as error:
        plain = re.sub(r"\x1b\[\d*m", "", str(error))
        lines = [line for line in plain.splitlines() if line.strip()]
        return f"yes: {type(error).__name__}: {lines[min(1, len(lines) - 1)]}"
    return "no: it runs"


def keras_calls() -> str:
    """On torch, how often a cell is called for five steps."""
    keras = _keras_on_torch()
    calls = []

    class Counting(keras.layers.SimpleRNNCell):  # type: ignore[misc, name-defined]
        def call(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return super().call(*args, **kwargs)

    layer = keras.layers.RNN(Counting(2))
    layer.build((1, 5, 2))
    layer(np.ones((1, 5, 2), "f"))
    return f"{'yes' if len(calls) > 5 else 'no'}: {len(calls)} calls for 5 steps"


def _keras_on_torch() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


def mlx_without_state() -> str:
    """A GRU that is given no state, beside one that is given zeros."""
    import mlx.core as mx
    import mlx.nn

    layer = mlx.nn.GRU(3, 5)
    layer.bhn = mx.random.normal((5,))
    x = mx.random.normal((2, 4, 3))
    bare, zeros = (np.array(layer(x, *state)) for state in ((), (mx.zeros((2, 5)),)))
    return (
        "no: as with zeros" if float32_agrees(bare, zeros) else "yes: not as with zeros"
    )


def thinc_states() -> str:
    """The LSTM with its two initial states in each other's place."""
    from conformance.cases import LayerCase
    from conformance.data import make_data
    from conformance.kinds import kind_of
    from conformance.subjects.thinc import Thinc

    case = LayerCase("lstm", state=True, dtype="float32")
    data = make_data(case, kind_of("lstm"))
    right = _torch_lstm(data)
    found = [Thinc().run(case, data).outputs["output"]]
    h, c = data.inputs["h_0"], data.inputs["c_0"]
    data.inputs.update(h_0=c, c_0=h)
    found.append(Thinc().run(case, data).outputs["output"])
    as_given, swapped = (float32_agrees(output, right) for output in found)
    return f"{'yes' if swapped and not as_given else 'no'}: right when they are swapped"


def _torch_lstm(data: Any) -> Any:
    import torch

    layer = torch.nn.LSTM(3, 5)
    layer.load_state_dict({n: torch.tensor(a) for n, a in data.parameters.items()})
    x, h, c = (torch.tensor(data.inputs[name]) for name in ("x", "h_0", "c_0"))
    return layer(x, (h, c))[0].detach().numpy()


def thinc_fallback() -> str:
    """The gradient of the weights in the numpy version of the backward pass."""
    from thinc.backends import ops

    rng = np.random.default_rng(0)
    weights = rng.standard_normal(4 * 5 * (3 + 5) + 40).astype("f")
    x, zeros = rng.standard_normal((6, 3)).astype("f"), np.zeros((1, 1, 5), "f")
    alive = np.array([2, 2, 2], "i")
    y, kept = ops.lstm_forward_training(weights, zeros, zeros, x, alive)
    slope = ops.backprop_lstm(np.ones_like(y), alive, weights, kept)[1]
    return "no" if np.any(slope) else "yes: all zeros"


PROBES = (
    Probe(
        "`_rnn_helper` in torch._decomp: no dropout between layers",
        ("torch",),
        "theirs",
        torch_decomposition,
    ),
    Probe(
        "pack_padded_sequence refuses a row without steps",
        ("torch",),
        "convention",
        torch_empty_row,
    ),
    Probe(
        "Keras on torch: unroll, a mask and go_backwards raise",
        ("keras", "torch"),
        "theirs",
        keras_unroll,
    ),
    Probe(
        "Keras on torch: the loop runs the first step once more, to learn a shape",
        ("keras", "torch"),
        "theirs",
        keras_calls,
    ),
    Probe(
        "ONNX's backend tests don't see the order of an LSTM's gates",
        ("onnx",),
        "theirs",
        onnx_probes.gate_order,
    ),
    Probe(
        "ONNX's backend tests lack linear_before_reset=1, and rows that end early",
        ("onnx",),
        "theirs",
        onnx_probes.uncovered,
    ),
    Probe(
        "ONNX's backend tests of GRU compute what they expect by the evaluator's text",
        ("onnx",),
        "theirs",
        onnx_probes.same_text,
    ),
    Probe(
        "ONNX's reference evaluator ignores clip",
        ("onnx",),
        "theirs",
        onnx_probes.clip,
    ),
    Probe(
        "ONNX's reference evaluator ignores the activations of GRU and LSTM",
        ("onnx",),
        "theirs",
        onnx_probes.activations,
    ),
    Probe(
        "mlx's GRU drops b_hn at the first step, if it is given no state (mlx#3249)",
        ("mlx",),
        "theirs",
        mlx_without_state,
    ),
    Probe("Thinc's LSTM swaps its initial states", ("thinc",), "theirs", thinc_states),
    Probe(
        "Thinc's LSTM in numpy: no gradient of any weight",
        ("thinc",),
        "theirs",
        thinc_fallback,
    ),
)
