"""Thinc: its own LSTM layer, not its wrapper of PyTorch's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from thinc.api import LSTM, NumpyOps, set_current_ops
from thinc.types import Padded

from ..cases import LayerCase
from ..data import Data
from ..kinds import SIZES
from . import Answer
from .converted import Converted
from .stacking import places, time_first

ORDER = ("Wx", "bx", "Wh", "bh")


class Thinc(Converted):
    """thinc.api.LSTM; it returns the outputs, but no final states."""

    packages = ("thinc",)
    framework = "Thinc"
    outputs = ("output",)
    any_size = False
    empty_rows = False

    def __init__(self) -> None:
        set_current_ops(NumpyOps())

    def refuses(self, case: LayerCase) -> str:
        """All but an LSTM of a batch in float32."""
        if case.kind != "lstm":
            return "no such layer"
        if case.dtype != "float32":
            return "no float64"
        return "" if case.batched else "no input without a batch"

    def run_converted(self, case: LayerCase, data: Data) -> Answer:
        """All rows at once, or, since they share an initial state, one by one."""
        x = time_first(case, data.inputs["x"])
        rows = (
            [slice(b, b + 1) for b in range(x.shape[1])]
            if case.state
            else [slice(None)]
        )
        parts = [self._rows(case, data, row) for row in rows]
        gradients = {n: sum(part[1][n] for part in parts) for n in data.parameters}
        for name in data.inputs:
            if name != "x":
                gradients[name] = np.concatenate([part[1][name] for part in parts], 1)
        merged = [np.concatenate([p[k] for p in parts], 1) for k in (0, 2)]
        output, gradients["x"] = (time_first(case, array) for array in merged)
        return Answer({"output": output}, gradients)

    def _rows(self, case: LayerCase, data: Data, rows: slice) -> tuple[Any, Any, Any]:
        """Output, gradients of weights and states, gradient of x, of some rows."""
        size, directions = SIZES["H"], case.directions
        model = LSTM(
            size * directions, SIZES["I"], bi=case.bidirectional, depth=case.layers
        )
        names = [f"{name}{suffix}" for suffix in places(case) for name in ORDER]
        arrays = [data.parameters[name] for name in names]
        flat = np.concatenate([array.ravel() for array in arrays])
        model.set_param("LSTM", flat)
        shape = (2, case.layers, directions, size)
        starts = np.zeros(shape, np.float32)
        if case.state:
            both = np.stack([data.inputs[n][:, rows] for n in ("h_0", "c_0")])
            starts = both.reshape(shape)
        model.set_param("HC0", starts)
        x = time_first(case, data.inputs["x"])[:, rows]
        seeds = time_first(case, data.cotangents["output"])[:, rows]
        lengths = (
            np.full(x.shape[1], len(x)) if data.lengths is None else data.lengths[rows]
        )
        # Thinc has the longest first.
        order = np.argsort(-lengths, kind="stable")
        padded = _padded(x, lengths, order)
        found, backprop = model(padded, is_train=True)
        output = np.zeros_like(seeds)
        output[: len(found.data), order] = found.data
        below = backprop(replace(padded, data=_cut(seeds, lengths, order)))
        slope = np.zeros_like(x)
        slope[: len(below.data), order] = below.data
        gradients = _split(
            model.get_grad("LSTM"), dict(zip(names, arrays, strict=True))
        )
        if case.state:
            has = model.has_grad("HC0")
            both = model.get_grad("HC0") if has else np.zeros(shape, np.float32)
            lead = (-1, 1, size)
            gradients |= {
                n: g.reshape(lead) for n, g in zip(("h_0", "c_0"), both, strict=True)
            }
        return output, gradients, slope


def _padded(x: Any, lengths: Any, order: Any) -> Padded:
    steps = np.arange(int(lengths.max()))
    alive = (steps[:, None] < lengths).sum(1).astype("i")
    return Padded(
        _cut(x, lengths, order),
        alive,
        lengths[order].astype("i"),
        order.astype("i"),
    )


def _cut(x: Any, lengths: Any, order: Any) -> Any:
    """The rows in that order, without steps that no row has."""
    return np.ascontiguousarray(x[: int(lengths.max()), order])


def _split(flat: Any, like: dict[str, Any]) -> dict[str, Any]:
    """One vector as arrays of these names and shapes."""
    ends = np.cumsum([array.size for array in like.values()])[:-1]
    parts = np.split(flat, ends)
    return {n: p.reshape(like[n].shape) for n, p in zip(like, parts, strict=True)}
