"""Writing the golden vectors: PyTorch's numbers, and its own errors in float32."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from seq.files import write_whole

from .. import policy
from ..cases import LayerCase
from ..judge import largest, worst_errors
from ..kinds import SIZES, Kind, kind_of
from .cases import make_inputs, recorded_cases, widened
from .live import compute, torch_pair
from .vectors import FOLDER, MANIFEST, Arrays, Vector, read_safetensors

Json = dict[str, Any]
RUNS = 100  # of each kind at least: the largest of few errors says little
CONVENTIONS = {
    "page": "docs/golden-vectors.md",
    "names": "<case>/<group>/<tensor>, where the tensor has PyTorch's name",
    "sequences": "(T, B, size), time first",
    "states": "(layers * directions, B, size): l0, l0_reverse, l1, l1_reverse, ...",
    "weights": "(gates * H, size), the gates in PyTorch's order: rzn and ifgo",
    "lengths": "past a row's end x is NaN, output and gradients are 0, states stay",
    "dropout_mask": "true keeps: of the output of a layer that is below another",
    "second": "the gradient of <grad(all), directions>; d <output> is its directional "
    "derivative",
}


def record(cases: Iterable[LayerCase] | None = None, folder: Path = FOLDER) -> None:
    """Run every case on PyTorch, then write a file for each kind, and the manifest.

    A tensor that agrees with what was recorded stays as it was; a file of such tensors
    isn't touched. Each file is replaced whole or not at all.
    """
    chosen = list(recorded_cases() if cases is None else cases)
    count = Counter(case.kind for case in chosen)
    tensors: dict[str, Arrays] = {}
    errors: dict[str, dict[str, float]] = {}
    entries = []
    for case in tqdm(chosen, unit="case", desc="golden vectors"):
        data = widened(make_inputs(case, kind_of(case.kind)))
        vector = Vector(case, data, compute(case, data))
        tensors.setdefault(case.kind, {}).update(vector.tensors())
        draws = max(policy.DRAWS, RUNS // count[case.kind])
        found = worst_errors(functools.partial(torch_pair, case), draws)
        errors[case.kind] = largest([errors.get(case.kind, {}), found])
        entries.append(_entry(vector))
    folder.mkdir(exist_ok=True)
    changed = [write_tensors(folder / file_of(k), new) for k, new in tensors.items()]
    path = folder / MANIFEST
    made = _versions()
    if path.exists() and not any(changed):
        made = json.loads(path.read_text("utf-8"))["made_by"]
    write_whole(path, _manifest(made, errors, entries))


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> bool:
    """Write a safetensors file, unless all of it stands there; whether it did."""
    from safetensors.numpy import save

    old = read_safetensors(path) if path.exists() else {}
    kept = {name: settled(old.get(name), array) for name, array in tensors.items()}
    if old.keys() == kept.keys() and all(kept[name] is old[name] for name in kept):
        return False
    metadata = {"made_by": "python -m conformance record"}
    write_whole(path, save(kept, metadata))
    return True


def settled(old: Any, new: Any) -> Any:
    """The tensor that was recorded, if the new one agrees with it."""
    same = old is not None and old.dtype == new.dtype
    if same and policy.relative_error(new, old) <= policy.SETTLED:
        return old
    return np.ascontiguousarray(new)


def file_of(kind: str) -> str:
    """The name of a kind's file."""
    return f"{kind}.safetensors"


def _entry(vector: Vector) -> Json:
    case = vector.case
    shapes = {**vector.data.leaves, **vector.expected["value"]}
    return {
        "id": case.id,
        "kind": case.kind,
        "file": file_of(case.kind),
        "layers": case.layers,
        "bidirectional": case.bidirectional,
        "bias": case.bias,
        "steps": case.steps,
        "lengths": None
        if vector.data.lengths is None
        else vector.data.lengths.tolist(),
        "dropout": case.dropout,
        "shapes": {name: list(array.shape) for name, array in shapes.items()},
    }


def _versions() -> Json:
    return {"torch": torch.__version__, "numpy": np.__version__}


def _manifest(
    made: Json, errors: dict[str, dict[str, float]], entries: list[Json]
) -> str:
    """The manifest: a line for each kind and each case."""
    kinds = {name: _kind(kind_of(name), known) for name, known in errors.items()}
    head = {
        "format": 1,
        "made_by": made,
        "sizes": SIZES,
        "conventions": CONVENTIONS,
        "criterion": {
            "error": "max|found - recorded| / max|recorded|, over one tensor",
            "float64": policy.FLOAT64_RTOL,
            "float32": "factor * max(floor, float32_errors[<group> <tensor>])",
            "float32_factor": policy.FLOAT32_FACTOR,
            "float32_floor": policy.FLOAT32_FLOOR,
            "float32_errors": {"torch": torch.__version__, "runs": RUNS},
        },
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    rows = [f"  {json.dumps(name)}: {json.dumps(kinds[name])}" for name in kinds]
    lines.append('"kinds": {\n' + ",\n".join(rows) + "\n}")
    cases = [f"  {json.dumps(entry)}" for entry in entries]
    lines.append('"cases": [\n' + ",\n".join(cases) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _kind(kind: Kind, errors: Mapping[str, float]) -> Json:
    return {
        "reference": kind.reference,
        "options": dict(kind.options),
        "parameters": dict(kind.parameters),
        "states": dict(kind.carry),
        "data": {name: shape for name, (shape, _) in kind.data.items()},
        "float32_errors": {name: float(f"{e:.2e}") for name, e in errors.items()},
    }
