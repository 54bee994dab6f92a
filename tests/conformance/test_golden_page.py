"""docs/golden-vectors.md is enough: the layers again, from what that page says.

Nothing here is imported from the packages. Derivatives are by complex steps, which
are exact: f(x + i t v) = f(x) + i t J v, for a t so small that nothing follows.
"""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "conformance" / "golden"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
CASES = [
    case for case in MANIFEST["cases"] if case["kind"] in ("gru", "lstm", "lstm_proj")
]
CASES += [case for case in MANIFEST["cases"] if case["kind"] == "rnn_tanh"]
STEP = 1e-200


def read(case):
    raw = (FOLDER / case["file"]).read_bytes()
    n = int.from_bytes(raw[:8], "little")
    found = {}
    for name, entry in json.loads(raw[8 : 8 + n]).items():
        if name.startswith(case["id"] + "/"):
            dtype = {"F64": "<f8", "I64": "<i8", "BOOL": "?"}[entry["dtype"]]
            start, end = entry["data_offsets"]
            array = np.frombuffer(raw[8 + n + start : 8 + n + end], dtype)
            found[name.removeprefix(case["id"] + "/")] = array.reshape(entry["shape"])
    return found


def logistic(x):
    return 1 / (1 + np.exp(-x))


def step(kind, x, state, w):
    a = w["weight_ih"] @ x + w.get("bias_ih", 0)
    b = w["weight_hh"] @ state[0] + w.get("bias_hh", 0)
    if kind == "rnn_tanh":
        return [np.tanh(a + b)]
    if kind == "gru":
        a_r, a_z, a_n = np.split(a, 3)
        b_r, b_z, b_n = np.split(b, 3)
        r, z = logistic(a_r + b_r), logistic(a_z + b_z)
        return [(1 - z) * np.tanh(a_n + r * b_n) + z * state[0]]
    i, f, g, o = np.split(a + b, 4)
    c = logistic(f) * state[1] + logistic(i) * np.tanh(g)
    h = logistic(o) * np.tanh(c)
    return [w["weight_hr"] @ h if kind == "lstm_proj" else h, c]


def run(case, leaves, given):
    """The outputs, a row at a time."""
    x, names = leaves["x"], [n for n in ("h_0", "c_0") if n in leaves]
    steps, batch, _ = x.shape
    lengths = given.get("lengths", [steps] * batch)
    found = {n.replace("_0", "_n"): np.zeros_like(leaves[n]) for n in names}
    for layer in range(case["layers"]):
        outputs = []
        for suffix in ("", "_reverse")[: 1 + case["bidirectional"]]:
            end = f"_l{layer}{suffix}"
            w = {n.removesuffix(end): a for n, a in leaves.items() if n.endswith(end)}
            place = layer * (1 + case["bidirectional"]) + (suffix != "")
            output = np.zeros((steps, batch, leaves["h_0"].shape[-1]), complex)
            for row in range(batch):
                state = [leaves[n][place, row] for n in names]
                order = range(lengths[row])
                for t in reversed(order) if suffix else order:
                    state = step(case["kind"], x[t, row], state, w)
                    output[t, row] = state[0]
                for name, part in zip(found, state, strict=True):
                    found[name][place, row] = part
            outputs.append(output)
        x = np.concatenate(outputs, -1)
        if f"dropout_mask_l{layer}" in given:
            x = x * given[f"dropout_mask_l{layer}"] / (1 - case["dropout"])
    return {**found, "output": x}


def error(found, recorded):
    scale = np.abs(recorded).max()
    return np.abs(found - recorded).max() / (scale or 1.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_page_is_enough(case):
    vector = read(case)

    def group(name):
        start = f"{name}/"
        return {
            n.removeprefix(start): a for n, a in vector.items() if n.startswith(start)
        }

    leaves, v = {**group("inputs"), **group("parameters")}, group("directions")
    moved = {name: array + 1j * STEP * v[name] for name, array in leaves.items()}
    found = run(case, moved, group("given"))
    total = 0.0
    limit = MANIFEST["criterion"]["float64"]
    for name, u in group("cotangents").items():
        slope = found[name].imag / STEP
        assert error(found[name].real, vector[f"value/{name}"]) <= limit
        assert error(slope, vector[f"second/d {name}"]) <= limit
        gradient = group(f"grad({name})")
        along = sum(np.sum(g * v[leaf]) for leaf, g in gradient.items())
        assert error(np.sum(u * slope), np.array(along)) <= limit
        total += along
    whole = sum(np.sum(g * v[leaf]) for leaf, g in group("grad(all)").items())
    assert error(np.array(total), np.array(whole)) <= limit
