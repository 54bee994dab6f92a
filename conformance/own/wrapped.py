"""A layer that somebody else wrote, in the place of one of `seq`."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.errors import ArgumentError, describe

from ..cases import AXES, LayerCase
from ..kinds import KINDS, SIZES, Kind
from ..tape import MINIGRAD, TORCH, Arrays, Tape

LIKE = {
    "torch.nn.RNN": ("rnn_tanh", "rnn_relu"),
    "torch.nn.GRU": ("gru",),
    "torch.nn.LSTM": ("lstm", "lstm_proj"),
}
PLAIN = {**LayerCase("").options, "nonlinearity": "tanh", "proj_size": 0}


@dataclass(frozen=True, eq=False)
class OwnLayer:
    """What makes the layer, and which cases it can be asked for."""

    name: str
    code: str  # how its maker's code may call it
    like: str
    kinds: Mapping[str, Kind]
    make: Callable[..., Any]
    options: Callable[[Mapping[str, Any]], bool]  # whether it can be made so
    keywords: frozenset[str]  # of its call: "lengths", "dropout_masks"
    tape: Tape
    made: bool = False  # one layer, copied, and only evaluated

    def can(self, case: LayerCase) -> bool:
        """Whether the layer takes what the case needs."""
        if case.kind not in self.kinds:
            return False
        drawn = 0 < case.dropout < 1
        needed = _changed({**case.options, **self.kinds[case.kind].options})
        needed |= {"generator": 1} if drawn else {}
        words = {"lengths"} if case.ragged else set()
        words |= {"dropout_masks"} if drawn else set()
        return self.options(needed) and words <= self.keywords

    def subject(self) -> SimpleNamespace:
        """The namespace that has it under PyTorch's name."""
        name = self.like.rpartition(".")[2]
        return SimpleNamespace(**{name: self._build}, tape=self.tape)

    def _build(
        self, *sizes: int, dtype: str, generator: Any = None, **options: Any
    ) -> Adapted:
        given = _changed(options)
        if generator is not None:
            given["generator"] = generator
        layer = self.make(*sizes, **given)
        states = 2 if self.like == "torch.nn.LSTM" else 1
        return Adapted(_in_dtype(layer, dtype), self.tape, states, self.made)


@dataclass(frozen=True)
class Adapted:
    """The user's layer with the call of `seq`; bad answers are named."""

    layer: Any
    tape: Tape
    states: int
    made: bool

    def __call__(self, x: Any, hx: Any, **options: Any) -> Any:
        args = (x,) if hx is None else (x, hx)
        given = {name: value for name, value in options.items() if value is not None}
        lent = self._arrays(x, hx, **given)
        before = copy.deepcopy(lent)
        returned = self.layer(*args, **given)
        for name, array in self._arrays(x, hx, **given).items():
            if not np.array_equal(before[name], array, equal_nan=True):
                raise ValueError(f"the layer changed the {name} that it was given")
        self._check(returned)
        return returned

    def _arrays(
        self, x: Any, hx: Any, lengths: Any = None, dropout_masks: Any = ()
    ) -> Arrays:
        """What a call is given; it isn't the layer's to change."""
        states = hx if isinstance(hx, tuple) else (hx,) * (hx is not None)
        found = {"input": self.tape.read(x)}
        found |= {f"state {i}": self.tape.read(h) for i, h in enumerate(states)}
        found |= {f"dropout mask {i}": mask for i, mask in enumerate(dropout_masks)}
        return found if lengths is None else {**found, "lengths": lengths}

    def load_state_dict(self, state: Arrays) -> None:
        """Take the weights; PyTorch's layers take tensors only."""
        own = {name: self.tape.tensor(a, False) for name, a in state.items()}
        self.layer.load_state_dict(own)

    def train(self) -> Adapted:
        """As the layer's own."""
        return self if self.made else replace(self, layer=self.layer.train())

    def eval(self) -> Adapted:
        """As the layer's own."""
        return replace(self, layer=self.layer.eval())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)

    def _check(self, returned: Any) -> None:
        state = "h_n" if self.states == 1 else "(h_n, c_n)"
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(
                f"the layer returned {_shown(returned)}, not (output, {state})"
            )
        output, last = returned
        parts = (last,) if self.states == 1 else last
        if not isinstance(parts, tuple) or len(parts) != self.states:
            raise TypeError(f"the final state is {_shown(last)}, not {state}")
        tensor = mg.Tensor if self.tape is MINIGRAD else sys.modules["torch"].Tensor
        for part in (output, *parts):
            if not isinstance(part, tensor):
                raise TypeError(
                    f"the layer returned {_shown(part)}, not a {_name(tensor)}"
                )


def own_layer(layer: Any, like: str) -> OwnLayer:
    """The layer of the user; ArgumentError if that is none, or `like` isn't known."""
    if like not in LIKE:
        raise ArgumentError(f"like must be one of {', '.join(LIKE)}, not {like!r}")
    if tape_of(layer) is None and not callable(layer):
        raise ArgumentError(
            f"layer must be a layer, or what makes one of an input size and a hidden "
            f"size (a class, a function), not {describe(layer)}"
        )
    return _own_layer(layer, like)


@functools.lru_cache(16)  # each case of a test asks for it again
def _own_layer(layer: Any, like: str) -> OwnLayer:
    return _factory(layer, like) if tape_of(layer) is None else _instance(layer, like)


def tape_of(layer: Any) -> Tape | None:
    """On which tensors a module runs; None if it isn't one."""
    if isinstance(layer, mg.nn.Module):
        return MINIGRAD
    torch = sys.modules.get("torch")  # who has a module of PyTorch's has imported it
    if torch is not None and isinstance(layer, torch.nn.Module):
        return TORCH
    return None


def _factory(make: Callable[..., Any], like: str) -> OwnLayer:
    name = getattr(make, "__name__", describe(make))
    call = f"{name}({SIZES['I']}, {SIZES['H']})"
    try:
        probe = make(SIZES["I"], SIZES["H"])
    except Exception as error:
        raise ArgumentError(
            f"{call} raised {type(error).__name__}: {error}; what makes a layer takes "
            "an input size, a hidden size, and of PyTorch's options those that it knows"
        ) from error
    tape = tape_of(probe)
    if tape is None:
        raise ArgumentError(
            f"{call} is {describe(probe)}: neither a minigrad.nn.Module nor a "
            "torch.nn.Module (of anything else, look at docs/golden-vectors.md)"
        )
    known = _keywords(make)
    return OwnLayer(
        name,
        name,
        like,
        {kind: KINDS[kind] for kind in LIKE[like]},
        make,
        lambda needed: known is None or needed.keys() <= known,
        _call_keywords(probe),
        tape,
    )


def _instance(layer: Any, like: str) -> OwnLayer:
    """A layer that was made: checked in its own configuration, as it evaluates."""
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    gates = {"torch.nn.RNN": 1, "torch.nn.GRU": 3, "torch.nn.LSTM": 4}[like]
    if "weight_ih_l0" not in shapes or "weight_hh_l0" not in shapes:
        raise ArgumentError(
            f"the layer's parameters are {', '.join(shapes) or 'none'}; those of "
            f"{like} are weight_ih_l0, weight_hh_l0, ..."
        )
    rows, width = shapes["weight_ih_l0"]
    hidden, output = rows // gates, shapes["weight_hh_l0"][1]
    layers = sum(name.startswith("weight_ih_l") for name in shapes)
    both = "weight_ih_l0_reverse" in shapes
    own = {
        "num_layers": layers // (1 + both),
        "bias": "bias_ih_l0" in shapes,
        "batch_first": bool(getattr(layer, "batch_first", False)),
        "bidirectional": both,
    }
    if own["num_layers"] not in AXES["layers"]:
        raise ArgumentError(
            f"the layer is a stack of {own['num_layers']}; a check is of 1 to 3"
        )
    name = LIKE[like][0]
    if "weight_hr_l0" in shapes:
        name, own["proj_size"] = "lstm_proj", output
    if getattr(layer, "nonlinearity", "tanh") == "relu":
        name, own["nonlinearity"] = "rnn_relu", "relu"
    options = {**KINDS[name].options, **_changed(own)}
    sizes = {**SIZES, "I": width, "H": hidden}
    sizes |= {"P": output} if "proj_size" in own else {}
    kept = {key: options[key] for key in KINDS[name].options}
    kind = KINDS[name]
    kind = replace(kind, options=kept, sizes=sizes, output=output, made=True)

    def make(*_: Any, **__: Any) -> Any:
        return copy.deepcopy(layer).eval()

    return OwnLayer(
        type(layer).__name__,
        "layer",
        like,
        {name: kind},
        make,
        lambda needed: needed == _changed(own),
        _call_keywords(layer) - {"dropout_masks"},
        tape_of(layer) or MINIGRAD,
        made=True,
    )


def _changed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that aren't PyTorch's defaults."""
    return {k: v for k, v in options.items() if v != PLAIN.get(k)}


def _keywords(function: Callable[..., Any]) -> set[str] | None:
    """What it can be given by name; None if that is anything."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return set(parameters)


def _call_keywords(layer: Any) -> frozenset[str]:
    return frozenset(inspect.signature(layer.forward).parameters)


def _in_dtype(layer: Any, dtype: str) -> Any:
    torch = sys.modules.get("torch")
    if tape_of(layer) is TORCH and torch is not None:
        return layer.to(getattr(torch, dtype))
    return layer.to(dtype)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if hasattr(value, "shape"):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    return describe(value)


def _name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
