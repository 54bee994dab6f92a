"""One differentiated run of one implementation, seen as numpy arrays.

minigrad and PyTorch spell `grad` alike, so both sides of a comparison run through the
same few lines. Another subject needs no more than the methods of `Run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import minigrad as mg

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
Tensors = dict[str, Any]


@dataclass(frozen=True)
class Tape:
    """How an implementation makes and reads tensors, and whether it differentiates."""

    tensor: Callable[[Array, bool], Any]
    read: Callable[[Any], Array]
    grad: Callable[..., tuple[Any, ...]]
    no_grad: Callable[[], AbstractContextManager[Any]]

    def leaves(self, arrays: Mapping[str, Array]) -> Tensors:
        """A tensor that is differentiated, for each array."""
        return {name: self.tensor(array, True) for name, array in arrays.items()}

    def constants(self, arrays: Mapping[str, Array]) -> Tensors:
        """A tensor that isn't, for each array."""
        return {name: self.tensor(array, False) for name, array in arrays.items()}

    def constant(self, array: Any, like: Any) -> Any:
        """One tensor that isn't, in the dtype of another one."""
        return self.tensor(np.asarray(array, self.read(like).dtype), False)


def _strided(array: Array, requires_grad: bool) -> Any:
    """A tensor that is not contiguous: a view with the first two dims swapped."""
    if array.ndim < 2:
        return MINIGRAD.tensor(array, requires_grad)
    return MINIGRAD.tensor(array.swapaxes(0, 1), requires_grad).transpose(0, 1)


def _strided_torch(array: Array, requires_grad: bool) -> Any:
    """The same, as a leaf."""
    if array.ndim < 2:
        return _torch_tensor(array, requires_grad)
    turned = np.ascontiguousarray(array.swapaxes(0, 1))  # torch keeps an array's order
    view = _torch_tensor(turned, False).transpose(0, 1)
    return view.requires_grad_(requires_grad)


def _read(tensor: Any) -> Array:
    array: Array = tensor.detach().numpy()
    return array


def _torch_tensor(array: Array, requires_grad: bool) -> Any:
    import torch  # only here: what is recorded is checked where there's no PyTorch

    return torch.tensor(array, requires_grad=requires_grad)


def _torch_grad(*args: Any, **options: Any) -> tuple[Any, ...]:
    import torch

    return torch.autograd.grad(*args, **options)


def _torch_no_grad() -> Any:
    import torch

    return torch.no_grad()


MINIGRAD = Tape(
    lambda a, grad: mg.Tensor(a, requires_grad=grad), _read, mg.grad, mg.no_grad
)
TORCH = Tape(
    _torch_tensor,
    # Some of PyTorch's zeros have no storage, and are numpy's only by force.
    lambda tensor: tensor.numpy(force=True),
    _torch_grad,
    _torch_no_grad,
)
STRIDED = {
    MINIGRAD: replace(MINIGRAD, tensor=_strided),
    TORCH: replace(TORCH, tensor=_strided_torch),
}
"""The same, of tensors that aren't contiguous."""


@dataclass(frozen=True)
class Run:
    """The outputs of one forward pass, and what they were computed from."""

    tape: Tape
    leaves: Tensors
    outputs: Tensors

    @property
    def values(self) -> Arrays:
        """Every output."""
        return self._arrays(self.outputs)

    @property
    def inputs(self) -> Arrays:
        """The values of the leaves."""
        return self._arrays(self.leaves)

    def gradients(self, cotangents: Mapping[str, Array]) -> Arrays:
        """The gradient by every leaf, of the outputs that have a cotangent."""
        pairs = [
            (self.outputs[name], self.tape.constant(array, self.outputs[name]))
            for name, array in cotangents.items()
        ]
        before = [np.array(self.tape.read(seed)) for _, seed in pairs]
        found = self._grad(pairs, list(self.leaves.values()))
        for old, (_, seed) in zip(before, pairs, strict=True):
            if not np.array_equal(old, self.tape.read(seed), equal_nan=True):
                # Others may hold it: of y + z, both have the sum's gradient.
                raise ValueError("the backward changed the gradient that it was given")
        return self._filled(self.leaves, found)

    def second(
        self, cotangents: Mapping[str, Array], directions: Mapping[str, Array]
    ) -> tuple[float, Arrays]:
        """s = <gradient, directions>, and the gradient of s.

        By every leaf; and, as "d output", ..., by every cotangent, which is the
        derivative of that output along the directions.
        """
        seeds = self.tape.leaves(cotangents)
        pairs = [(self.outputs[name], seed) for name, seed in seeds.items()]
        first = self._grad(pairs, list(self.leaves.values()), create_graph=True)
        terms = [
            (g * self.tape.constant(directions[name], g)).sum()
            for name, g in zip(self.leaves, first, strict=True)
            if g is not None
        ]
        wanted = {**self.leaves, **{f"d {name}": seed for name, seed in seeds.items()}}
        ones = [(term, self.tape.constant(1.0, term)) for term in terms]
        found = self._grad(ones, list(wanted.values()))
        return sum(float(term.detach()) for term in terms), self._filled(wanted, found)

    def _grad(
        self,
        pairs: Iterable[tuple[Any, Any]],
        leaves: list[Any],
        create_graph: bool = False,
    ) -> tuple[Any, ...]:
        live = [(y, g) for y, g in pairs if y.requires_grad]
        if not live:
            return (None,) * len(leaves)
        outputs, seeds = zip(*live, strict=True)
        return self.tape.grad(
            outputs,
            leaves,
            seeds,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )

    def _arrays(self, tensors: Tensors) -> Arrays:
        return {name: np.array(self.tape.read(t)) for name, t in tensors.items()}

    def _filled(self, leaves: Tensors, gradients: Iterable[Any]) -> Arrays:
        """Gradients as arrays; no gradient is a gradient of zeros."""
        return {
            name: np.zeros_like(self.tape.read(leaf))
            if g is None
            else np.array(self.tape.read(g))
            for (name, leaf), g in zip(leaves.items(), gradients, strict=True)
        }


def patterns(cotangents: Arrays) -> Iterator[tuple[str, Arrays]]:
    """All the outputs together, then each alone."""
    yield "all", cotangents
    for name, array in cotangents.items():
        yield name, {name: array}


def measure(
    done: Run, cotangents: Arrays, directions: Arrays | None = None
) -> dict[str, Arrays]:
    """All that is compared of a run, by what it is and by the tensor's name."""
    found = {"value": done.values}
    for pattern, seeds in patterns(cotangents):
        found[f"grad({pattern})"] = done.gradients(seeds)
    if directions is not None:
        found["second"] = done.second(cotangents, directions)[1]
    return found
