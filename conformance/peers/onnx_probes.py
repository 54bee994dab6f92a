"""What ONNX's tests and its reference evaluator leave out, looked at one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..policy import FLOAT32_FLOOR, float32_limit, relative_error


def suite_cases(*operators: str) -> list[Any]:
    """The cases of ONNX's backend suite that are one node of such an operator."""
    from onnx.backend.test.case.node import collect_testcases

    # Asked for one operator, it has none of any other for as long as it lives.
    return [
        case
        for case in collect_testcases(None)
        if case.model and [n.op_type in operators for n in case.model.graph.node] == [1]
    ]


def gate_order() -> str:
    """The backend suite's LSTM cases on a runtime whose gates are in another order."""
    cases = suite_cases("LSTM")
    passed = [case.name for case in cases if _passes(case)]
    verdict = "yes" if cases and len(passed) == len(cases) else "no"
    return f"{verdict}: {len(passed)} of its {len(cases)} LSTM cases pass"


def _passes(case: Any) -> bool:
    """Whether a case is met by i, f, o, c in place of i, o, f, c, and p likewise."""
    from onnx.reference import ReferenceEvaluator

    names = [given.name for given in case.model.graph.input]
    for given, expected in case.data_sets:
        feeds = dict(zip(names, given, strict=True))
        for name in ("W", "R"):
            feeds[name] = _swapped(feeds[name], 4)
        if "B" in feeds:
            feeds["B"] = _swapped(feeds["B"], 8)
        if "P" in feeds:
            feeds["P"] = _swapped(feeds["P"], 3)
        found = ReferenceEvaluator(case.model).run(None, feeds)
        for array, right in zip(found, expected, strict=True):
            if not float32_agrees(array, right):
                return False
    return True


def _swapped(array: Any, count: int) -> Any:
    """The second and third of each four gates, or of three peepholes, exchanged."""
    parts = np.split(array, count, axis=1)
    for start in range(0, count, 4):
        parts[start + 1], parts[start + 2] = parts[start + 2], parts[start + 1]
    return np.concatenate(parts, axis=1)


def uncovered() -> str:
    """What no case of the backend suite has."""
    cases = suite_cases("RNN", "GRU", "LSTM")
    resets = sum(_sets(case, "linear_before_reset") for case in cases)
    early = sum(map(_ends_early, cases))
    return (
        f"{'no' if resets or not cases else 'yes'}: {resets} of its {len(cases)} "
        f"recurrent cases have the one, {early} the other"
    )


def _sets(case: Any, name: str) -> bool:
    """Whether its node has an attribute that isn't 0."""
    return any(a.name == name and a.i for a in case.model.graph.node[0].attribute)


def _ends_early(case: Any) -> bool:
    """Whether a row of it is shorter than the longest sequence."""
    names = [given.name for given in case.model.graph.input]
    feeds = dict(zip(names, case.data_sets[0][0], strict=True))
    return bool(np.any(feeds.get("sequence_lens", np.inf) < len(feeds["X"])))


def same_text() -> str:
    """The forward of the suite's helper beside that of the evaluator, line by line."""
    import inspect

    from onnx.backend.test.case.node.gru import GRUHelper
    from onnx.reference.ops.op_gru import CommonGRU

    def lines(function: Any) -> list[str]:
        code = inspect.getsource(function).lower()
        return [line.strip() for line in code.splitlines() if line.strip()]

    theirs, own = lines(GRUHelper._run_forward), lines(CommonGRU._run_forward)
    same = sum(line in own for line in theirs)
    verdict = "yes" if same > 0.9 * len(theirs) else "no"
    return f"{verdict}: {same} of {len(theirs)} lines are the same"


def clip() -> str:
    """The attribute clip."""
    same = [_ignores(kind, "clip", 0.01) for kind in ("rnn_tanh", "gru", "lstm")]
    return "yes: the same bits with clip=0.01" if all(same) else "no: it clips"


def activations() -> str:
    """The attribute activations, of GRU and LSTM."""
    relus = {"gru": ["Relu"] * 2, "lstm": ["Relu"] * 3}
    same = [_ignores(kind, "activations", names) for kind, names in relus.items()]
    return "yes: the same bits with Relu for all" if all(same) else "no: it takes them"


def _ignores(kind: str, name: str, value: Any) -> bool:
    """Whether a layer computes the same bits with an attribute as without."""
    from onnx import helper

    from ..cases import LayerCase
    from ..dialects.notation import gates_of
    from ..subjects.onnx import Reference, node_model

    case = LayerCase(kind, dtype="float32")
    rows = 5 * len(gates_of(kind)["weight_ih"])
    rng = np.random.default_rng(0)
    shapes = {"X": (3, 2, 3), "W": (1, rows, 3), "R": (1, rows, 5)}
    feeds = {n: rng.standard_normal(s).astype("f") for n, s in shapes.items()}
    model = node_model(case, feeds)
    plain = Reference().evaluate(model, feeds)[0]
    model.graph.node[0].attribute.append(helper.make_attribute(name, value))
    return np.array_equal(plain, Reference().evaluate(model, feeds)[0])


def float32_agrees(found: Any, right: Any) -> bool:
    """Whether they differ by no more than float32 of a few steps may."""
    return relative_error(found, right) <= float32_limit(FLOAT32_FLOOR)
