"""onnxruntime's LSTM, GRU and RNN operators, exported by hand, as subjects.

What they need is imported when a subject is made: a ModuleNotFoundError is a row that
says so.
"""

from typing import Any

import numpy as np
import torch

from benchmarks.kinds import Problem
from benchmarks.measure import Subject

GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}
"""ONNX's gates, i o f c, z r h and h, as indices into PyTorch's."""
STATES = {"LSTM": ["h", "c"], "GRU": ["h"], "RNN": ["h"]}


def infer(problem: Problem) -> Subject:
    """The output alone, from numpy to numpy."""
    session = _session(problem, stream=False)
    return lambda: session.run(["Y"], {"X": problem.x})[0][:, 0]


def stream(problem: Problem) -> Subject:
    """One more step, the states handed over, from numpy (1, I) to numpy (1, H)."""
    session = _session(problem, stream=True)
    row, zeros = problem.x[:1], np.zeros_like(problem.g[:1])
    states = [f"initial_{s}" for s in STATES[problem.kind.nn or ""]]
    feeds = {"X": row, **dict.fromkeys(states, zeros)}

    def run() -> Any:
        # Y_h is the output of the last step, which is the only one.
        for name, value in zip(states, session.run(None, feeds), strict=True):
            feeds[name] = value
        return feeds["initial_h"][0]

    return run


def _session(problem: Problem, stream: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model(problem, stream).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )


def model(problem: Problem, stream: bool) -> Any:
    """A graph of one operator: X to Y, or with `stream` X and the states to states."""
    from onnx import TensorProto, helper, numpy_helper

    op = problem.kind.nn or ""
    states = STATES[op] if stream else []
    given = ["X", *(f"initial_{s}" for s in states)]
    found = [f"Y_{s}" for s in states] or ["Y"]
    node = helper.make_node(
        op,
        # Without lengths.
        ["X", "W", "R", "B", "", *given[1:]],
        ["", *found] if stream else found,
        hidden_size=problem.g.shape[-1],
        # PyTorch's GRU: the reset after the product.
        **({"linear_before_reset": 1} if op == "GRU" else {}),
    )

    def described(names: list[str]) -> list[Any]:
        """Of three dimensions, Y of four; of any size."""
        return [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, [None] * (4 if name == "Y" else 3)
            )
            for name in names
        ]

    weights = zip("WRB", _weights(op, problem.weights), strict=True)
    graph = helper.make_graph(
        [node],
        op,
        described(given),
        described(found),
        [numpy_helper.from_array(value, name) for name, value in weights],
    )
    opset = helper.make_opsetid("", 14)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def _weights(op: str, weights: list[Any]) -> list[Any]:
    """W, R and B in ONNX's order of gates, with an axis for one direction."""
    w, r, *biases = (
        np.concatenate([np.split(a, len(GATES[op]))[k] for k in GATES[op]])
        for a in weights
    )
    return [a[None] for a in (w, r, np.concatenate(biases))]
