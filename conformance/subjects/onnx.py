"""ONNX: its operators by onnxruntime, and by the reference evaluator of onnx itself.

Forward only; one node for each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, helper, reference

from ..cases import LayerCase
from ..data import Data, suffixes
from ..dialects import dialect
from ..kinds import kind_of
from . import Answer, Subject
from .stacking import place_parameters

Arrays = dict[str, Any]

OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "lstm_peephole": ("LSTM", {}),
    "lstm_coupled": ("LSTM", {"input_forget": 1}),
}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OPSET = 22


class Runtime(Subject):
    """onnxruntime, on the processor."""

    packages: tuple[str, ...] = ("onnxruntime", "onnx")
    differentiates = False
    has_layout = False  # "Batchwise recurrent operations are not supported"
    dtypes: tuple[str, ...] = ("float32",)  # its kernels have no other

    def refuses(self, case: LayerCase) -> str:
        """What the operators, or their kernels, lack."""
        if case.kind not in OPERATORS:
            return "no such operator"
        if case.dtype not in self.dtypes:
            return f"no {case.dtype}"
        if not case.batched:
            return "no input without a batch"
        return "no layout=1" if case.batch_first and not self.has_layout else ""

    def run(self, case: LayerCase, data: Data) -> Answer:
        """One model of one node after the other."""
        kind = kind_of(case.kind)
        x = data.inputs["x"]
        ends = []
        for depth in range(case.layers):
            lead = depth * case.directions
            feeds = self.weights(case, data.parameters, depth)
            feeds["X"] = x
            if data.lengths is not None:
                feeds["sequence_lens"] = data.lengths.astype(np.int32)
            for name in kind.carry if case.state else ():
                state = data.inputs[f"{name}_0"][lead : lead + case.directions]
                feeds[f"initial_{name}"] = self.turned(case, state)
            y, *last = self.evaluate(node_model(case, feeds), feeds)
            # (T, directions, B, H), or (B, T, directions, H) with layout=1.
            y = y if case.batch_first else y.transpose(0, 2, 1, 3)
            x = np.ascontiguousarray(y.reshape(*y.shape[:2], -1))
            ends.append([self.turned(case, state) for state in last])
        states = [np.concatenate(parts) for parts in zip(*ends, strict=True)]
        names = [f"{name}_n" for name in kind.carry]
        return Answer({"output": x, **dict(zip(names, states, strict=True))})

    def weights(
        self, case: LayerCase, parameters: Mapping[str, Any], depth: int
    ) -> Arrays:
        """W, R, B (and P) of a layer, its directions stacked."""
        known = dialect("ONNX", case.kind)
        sides = [
            known.to_framework(place_parameters(parameters, suffix))
            for suffix in suffixes(case, depth)
        ]
        return {name: np.stack([side[name] for side in sides]) for name in sides[0]}

    def turned(self, case: LayerCase, state: Any) -> Any:
        """Of a batch-first case ONNX has the states batch-first too."""
        return np.ascontiguousarray(state.swapaxes(0, 1)) if case.batch_first else state

    def evaluate(self, model: ModelProto, feeds: Arrays) -> Sequence[Any]:
        """What the model makes of its inputs."""
        import onnxruntime

        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        found: Sequence[Any] = session.run(None, feeds)
        return found


class Reference(Runtime):
    """onnx.reference.ReferenceEvaluator."""

    packages = ("onnx",)
    has_layout = True
    dtypes = ("float32", "float64")

    def evaluate(self, model: ModelProto, feeds: Arrays) -> Sequence[Any]:
        """What the model makes of its inputs."""
        found: Any = reference.ReferenceEvaluator(model).run(None, feeds)
        return found


def node_model(case: LayerCase, feeds: Arrays) -> ModelProto:
    """A graph of one operator, which takes everything as an input."""
    operator, options = OPERATORS[case.kind]
    attributes: dict[str, Any] = {**options, "hidden_size": feeds["R"].shape[-1]}
    if case.batch_first:
        attributes["layout"] = 1
    if "activations" in attributes:
        names = attributes["activations"] * case.directions
        attributes["activations"] = names
    states = [f"Y_{name}" for name in kind_of(case.kind).carry]
    given = [name if name in feeds else "" for name in INPUTS]
    while not given[-1]:
        given.pop()
    if operator != "LSTM":
        given = given[:6]
    node = helper.make_node(
        operator,
        given,
        ["Y", *states],
        direction="bidirectional" if case.bidirectional else "forward",
        **attributes,
    )
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))

    def described(name: str, rank: int, dtype: int = dtype) -> Any:
        return helper.make_tensor_value_info(name, dtype, [None] * rank)

    inputs = [
        described(name, array.ndim, helper.np_dtype_to_tensor_dtype(array.dtype))
        for name, array in feeds.items()
    ]
    outputs = [described("Y", 4), *(described(name, 3) for name in states)]
    graph = helper.make_graph([node], operator, inputs, outputs)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10
    )
