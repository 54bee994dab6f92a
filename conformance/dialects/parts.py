"""What the tables of dialects are put together from."""

from __future__ import annotations

from .notation import Block, Stack, gates

W, R, BI, BH = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
FORGET = {"f": 1.0}
"""What some add to the forget gate in the forward, and not as a bias."""


def both(
    order: str, names: tuple[str, str], layout: str, inverted: str = ""
) -> tuple[Stack, ...]:
    """The matrices of x and of h, alike."""
    return tuple(
        Stack(name, gates(order, of, inverted=inverted), layout)
        for name, of in zip(names, (W, R), strict=True)
    )


def biases(order: str, names: tuple[str, str]) -> tuple[Stack, ...]:
    """Two vectors, as PyTorch has them."""
    return tuple(
        Stack(name, gates(order, of), "gh")
        for name, of in zip(names, (BI, BH), strict=True)
    )


def merged(name: str, order: str) -> Stack:
    """One vector for both."""
    return Stack(name, gates(order, BI, BH), "gh")


def one_by_one(names: dict[str, Block], layout: str) -> tuple[Stack, ...]:
    """Arrays of one gate each."""
    return tuple(Stack(name, (block,), layout) for name, block in names.items())
