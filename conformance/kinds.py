"""The kinds of layer: their parameters and states, and where the reference is from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seq.cell import Cell

from .cases import LayerCase

SIZES = {"I": 3, "H": 5, "P": 2, "B": 4}
"""What the letters of a shape stand for; all unlike each other."""
LARGER = {"I": 19, "H": 37, "P": 11, "B": 9}
"""The same where blocks and vector registers are full, and something is left over."""
SMALLEST = {**SIZES, "I": 1, "H": 1, "P": 1}
SQUARE = {**SIZES, "I": 16, "H": 16, "B": 8}
"""The same where sizes are alike that are unlike elsewhere, and blocks are full."""

Names = Mapping[str, str]  # a name and its shape, such as "4H I"
Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]


@dataclass(frozen=True)
class Kind:
    """What a reference and a subject must agree on before either of them runs.

    A kind without a `module` is a cell, built by `Recurrent` on the subject's side and
    looped over by the reference: either `reference/papers.py`, or, if `source` is set,
    the cell's own equations on torch tensors.
    """

    name: str
    parameters: Names  # of one layer and direction, under PyTorch's names, in its order
    carry: Names
    module: str = ""  # the class of both torch.nn and the subject
    options: Mapping[str, Any] = field(default_factory=dict)
    cell: str | Callable[..., Any] = ""  # what Recurrent takes, or its name in CELLS
    source: bool = False
    data: Mapping[str, tuple[str, Draw]] = field(default_factory=dict)  # "T B H", draw
    draws: Mapping[str, Draw] = field(default_factory=dict)  # states and parameters
    output: int = SIZES["H"]  # the size of one direction's output
    sizes: Mapping[str, int] = field(default_factory=SIZES.copy)
    made: bool = False  # of a layer that there is, which can't have other sizes

    @property
    def reference(self) -> str:
        """Who vouches for it."""
        if self.module:
            return f"torch.nn.{self.module}"
        return "own source, in torch" if self.source else "paper, by another hand"

    def build(self, case: LayerCase, subject: Any, generator: Any = None) -> Any:
        """The layer under test, with whatever weights it starts from."""
        if self.module:
            make = getattr(subject, self.module)
        else:
            make = functools.partial(subject.Recurrent, self.find_cell(subject))
        options = {**case.options, **self.options}
        sizes = (self.sizes["I"], self.sizes["H"])
        return make(*sizes, **options, dtype=case.dtype, generator=generator)

    def resized(self, sizes: Mapping[str, int]) -> Kind:
        """The kind with other sizes, if it can have them."""
        if self.made:
            return self
        options = dict(self.options)
        if "proj_size" in options:
            options["proj_size"] = sizes["P"]
            sizes = {**sizes, "H": max(sizes["H"], sizes["P"] + 1)}  # as in PyTorch
        if isinstance(self.cell, Cell):
            output = self.cell.output_size(sizes)
        else:
            output = sizes["P" if "proj_size" in options else "H"]
        return replace(self, sizes=sizes, options=options, output=output)

    def find_cell(self, subject: Any) -> Callable[..., Any]:
        """The cell itself."""
        return subject.CELLS[self.cell] if isinstance(self.cell, str) else self.cell


def affine(gates: int, state: str = "H") -> Names:
    """The parameters of `gates` affine maps of the input and of the state."""
    h = f"{gates}H" if gates > 1 else "H"
    return {
        "weight_ih": f"{h} I",
        "weight_hh": f"{h} {state}",
        "bias_ih": h,
        "bias_hh": h,
    }


def paper(name: str, parameters: Names, carry: Names, **data: str) -> Kind:
    """A cell of that name, whose reference is written from its paper.

    data: the shapes of its masks, which are any numbers: all different ones here.
    """
    masks = {name: (shape, _uniform) for name, shape in data.items()}
    return Kind(name, parameters, carry, cell=name, data=masks)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.random(shape)


PEEPHOLES = {"weight_ci": "H", "weight_cf": "H", "weight_co": "H"}
GAINS = {"g_ih": "4H", "g_hh": "4H", "g_c": "H"}
NORMALISED = {"weight_ih": "4H I", "weight_hh": "4H H", **GAINS}
NORMALISED |= {"bias_ih": "4H", "bias_hh": "4H", "bias_c": "H"}
H, HC, PC = {"h": "H"}, {"h": "H", "c": "H"}, {"h": "P", "c": "H"}
PROJECTED = {**affine(4, "P"), "weight_hr": "P H"}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("rnn_tanh", affine(1), H, "RNN"),
        Kind("rnn_relu", affine(1), H, "RNN", {"nonlinearity": "relu"}),
        Kind("gru", affine(3), H, "GRU"),
        Kind("lstm", affine(4), HC, "LSTM"),
        Kind("lstm_proj", PROJECTED, PC, "LSTM", {"proj_size": 2}, output=2),
        paper("lstm_peephole", {**affine(4), **PEEPHOLES}, HC),
        paper("gru_reset_before", affine(3), H),
        paper("gru_simplified", affine(2), {"c": "H"}),
        paper("mgu", affine(2), H),
        paper("lstm_coupled", affine(3), HC),
        paper("lstm_layer_norm", NORMALISED, HC),
        paper("indrnn", {**affine(1), "weight_hh": "H"}, H),
        paper("lstm_zoneout", affine(4), HC, keep_h="T B H", keep_c="T B H"),
        paper("gru_zoneout", affine(3), H, keep_h="T B H"),
        paper("lstm_recurrent_dropout", affine(4), HC, mask_h="B H"),
        paper("gru_recurrent_dropout", affine(3), H, mask_h="B H"),
    )
}


def kind_of(name: str) -> Kind:
    """The kind that a case names; "mgu.source" is mgu on its own equations."""
    base, _, source = name.partition(".")
    if base not in KINDS or source not in ("", "source"):
        raise ValueError(f"there is no kind {name!r}; there are {', '.join(KINDS)}")
    return replace(KINDS[base], name=name, source=bool(source))


def kind_of_cell(cell: Any, data: Mapping[str, Draw]) -> Kind:
    """A user's cell, held against its own source.

    `data` draws what it is given at each call, and states and parameters, if it does.
    """
    projected = any(size[-1] == "P" for shape in cell.shapes.values() for size in shape)
    return Kind(
        name=cell.name,
        parameters={torch_name(n): " ".join(s) for n, s in cell.params.items()},
        carry={name: " ".join(cell.shapes[name]) for name in cell.carry},
        options={"proj_size": SIZES["P"]} if projected else {},
        cell=cell,
        source=True,
        output=cell.output_size(SIZES),
        data={n: (" ".join(s), data.get(n, _uniform)) for n, s in cell.data.items()},
        draws={torch_name(n): draw for n, draw in data.items() if n not in cell.data},
    )


def torch_name(name: str) -> str:
    """What PyTorch's rule calls a cell's parameter."""
    for short, long in (("w_", "weight_"), ("b_", "bias_")):
        if name.startswith(short):
            return long + name.removeprefix(short)
    return name
