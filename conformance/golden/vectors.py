"""The recorded files, read with numpy alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError

from ..cases import LayerCase
from ..data import Data
from ..kinds import Kind, kind_of

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

FOLDER = Path(__file__).parent
MANIFEST = "manifest.json"
DTYPES = {"F64": "<f8", "I64": "<i8", "BOOL": "?"}
LEAVES = ("inputs", "parameters", "cotangents", "directions")
GIVEN = "given"


@dataclass(frozen=True)
class Vector:
    """A case, what it is run on, and what PyTorch made of it in float64.

    expected: {what: {name: tensor}}; what is "value", "grad(all)", "grad(output)",
    ..., or "second", as in `conformance.tape.measure`.
    """

    case: LayerCase
    data: Data
    expected: Mapping[str, Mapping[str, Array]]

    @property
    def kind(self) -> Kind:
        """Its layer's parameters and states."""
        return kind_of(self.case.kind)

    def tensors(self) -> Arrays:
        """All of it, as the files name it."""
        given: Arrays = {}
        if self.data.lengths is not None:
            given["lengths"] = self.data.lengths
        for layer, mask in enumerate(self.data.masks or ()):
            given[f"dropout_mask_l{layer}"] = mask
        leaves = {name: getattr(self.data, name) for name in LEAVES}
        groups = {**leaves, GIVEN: given, **self.expected}
        return {
            f"{self.case.id}/{group}/{name}": array
            for group, arrays in groups.items()
            for name, array in arrays.items()
        }


@cache
def manifest() -> dict[str, Any]:
    """What manifest.json states: versions, sizes, kinds, cases and their shapes."""
    found: dict[str, Any] = json.loads((FOLDER / MANIFEST).read_text("utf-8"))
    return found


def case_ids(kind: str | None = None) -> list[str]:
    """The ids of the recorded cases, of one kind or of all."""
    cases = manifest()["cases"]
    return [case["id"] for case in cases if kind in (None, case["kind"])]


def load(case: str) -> Vector:
    """A recorded case by its id; ArgumentError if there's none."""
    entry = next((e for e in manifest()["cases"] if e["id"] == case), None)
    if entry is None:
        raise ArgumentError(
            f"there is no golden vector {case!r}; conformance.golden.case_ids() lists "
            f"them, such as {manifest()['cases'][0]['id']!r}"
        )
    start = f"{case}/"
    groups: dict[str, Arrays] = {}
    for name, array in _file(FOLDER / entry["file"]).items():
        if name.startswith(start):
            group, _, tensor = name.removeprefix(start).partition("/")
            groups.setdefault(group, {})[tensor] = array
    data, expected = _assemble(_in_order(groups, list(entry["shapes"])))
    return Vector(LayerCase.parse(case), data, expected)


def _in_order(groups: dict[str, Arrays], names: list[str]) -> dict[str, Arrays]:
    """As they were recorded; a safetensors file has an order of its own."""
    places = ["value", "grad(all)", *(f"grad({name})" for name in names), "second"]
    places += [*names, *(f"d {name}" for name in names)]
    rank = {name: place for place, name in enumerate(places)}

    def ranked(found: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(found.items(), key=lambda item: rank.get(item[0], -1)))

    return ranked({group: ranked(arrays) for group, arrays in groups.items()})


def _assemble(groups: dict[str, Arrays]) -> tuple[Data, dict[str, Arrays]]:
    given = groups.pop(GIVEN, {})
    masks = [given[name] for name in sorted(given) if name != "lengths"]
    leaves = {name: groups.pop(name) for name in LEAVES}
    data = Data(**leaves, lengths=given.get("lengths"), masks=masks or None)
    return data, groups


@cache
def _file(path: Path) -> Arrays:
    return read_safetensors(path)


def read_safetensors(path: Path) -> Arrays:
    """Every tensor of a safetensors file, by its name.

    The file is the length of a header (8 bytes, little-endian), the header (JSON), and
    the tensors' bytes, little-endian and in C order, where the header says. ValueError
    for a file that isn't so, or has a dtype that no golden vector has.
    """
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    if not 2 <= size <= len(raw) - 8:
        raise ValueError(f"{path} is no safetensors file: its header can't be there")
    try:
        header = json.loads(raw[8 : 8 + size])
    except ValueError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    body = memoryview(raw)[8 + size :]
    return {
        name: _tensor(f"{path}: {name}", entry, body)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _tensor(name: str, entry: Mapping[str, Any], body: memoryview) -> Array:
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} is {entry['dtype']}; known are {', '.join(DTYPES)}")
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), entry["shape"]
    start, stop = entry["data_offsets"]
    if not 0 <= start <= stop <= len(body):
        raise ValueError(f"{name} ends at byte {stop}, the file has {len(body)}")
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {stop - start} bytes, not those of {shape}")
    # A copy, in the byte order of the machine: a view of the file is read-only.
    flat = np.frombuffer(body[start:stop], dtype)
    return flat.reshape(shape).astype(dtype.newbyteorder("="))
