"""einsum: products and sums over named dims, made of matmul and its like."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from . import ops
from .composite import composite
from .errors import ArgumentError, ShapeError
from .op import Array
from .samples import bad, floats, sample

Names = tuple[str, ...]
"""What an operand's dims are called: a letter, or a number for one of an ellipsis."""

TERM = re.compile(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*")


@composite(
    "torch.einsum",
    samples=[
        sample("ij,jk->ik", floats(2, 3), floats(3, 4)),
        sample("ij, jk", floats(2, 3), floats(3, 4)),
        sample("bij,bjk->bik", floats(2, 3, 4), floats(2, 4, 5)),
        sample("bhid,bhjd->bhij", floats(2, 2, 3, 4), floats(2, 2, 5, 4)),
        sample("ij->ji", floats(2, 3)),
        sample("ba", floats(2, 3)),
        sample("ij->", floats(2, 3)),
        sample("ij->i", floats(2, 3)),
        sample("ii", floats(3, 3)),
        sample("ii->i", floats(3, 3)),
        sample("ijij->ji", floats(2, 3, 2, 3)),
        sample("iij,j->i", floats(3, 3, 2), floats(2)),
        sample("i,j->ij", floats(3), floats(2)),
        sample("i,i", floats(3), floats(3)),
        sample("ij,ij->ij", floats(2, 3), floats(2, 3)),
        sample("ij,kl->k", floats(2, 3), floats(4, 2)),
        sample("ij,kj->ki", floats(2, 3), floats(4, 3)),
        sample("bi,i->bi", floats(2, 3), floats(3)),
        sample("b,bi->ib", floats(2), floats(2, 3)),
        sample("bij,jk,b->bk", floats(2, 3, 4), floats(4, 5), floats(2)),
        sample(",i->i", floats(), floats(3)),
        sample("...ij,...jk->...ik", floats(2, 1, 3, 4), floats(5, 4, 2)),
        sample("i...,i...", floats(3, 2, 2), floats(3, 1)),
        sample("...ij->...", floats(2, 3, 4)),
        sample("i...->i", floats(2, 3, 4)),
        sample("ij,jk,kl->il", floats(2, 3), floats(3, 4), floats(4, 2)),
        sample("ik,jkl,il->ij", floats(2, 3), floats(4, 3, 5), floats(2, 5)),
        sample("bn,anm,bm->ba", floats(2, 3), floats(4, 3, 5), floats(2, 5)),
        sample("ij,jk->ik", floats(2, 1), floats(3, 4)),
        sample("aB,BA->Aa", floats(2, 3), floats(3, 2)),
        sample("ij,jk->ik", floats(0, 3), floats(3, 2)),
        sample("ij,jk->ik", floats(2, 0), floats(0, 2)),
    ],
    errors=[
        bad(floats(2, 3), error=ArgumentError, match="equation must be a string"),
        bad("ij,jk", floats(2, 3), error=ArgumentError, match="2 terms, but 1 operand"),
        bad("i1->i", floats(2, 3), error=ArgumentError, match="letters"),
        bad("i->j->k", floats(2), error=ArgumentError, match="letters"),
        bad("i....->i", floats(2), error=ArgumentError, match="letters"),
        bad("ij->ik", floats(2, 3), error=ArgumentError, match="'k' is in no term"),
        bad("ij->ii", floats(2, 3), error=ArgumentError, match="'i' stands twice"),
        bad("ij->...", floats(2, 3), error=ArgumentError, match="an ellipsis"),
        bad("ijk->i", floats(2, 3), error=ShapeError, match="operand 0 has 2 dims"),
        bad("i...", floats(), error=ShapeError, match="operand 0 has 0 dims"),
        bad("ii->i", floats(2, 3), error=ShapeError, match="'i' has the sizes 2 and 3"),
        bad("ii", floats(1, 3), error=ShapeError, match="diagonal needs equal ones"),
        bad("ij,jk", floats(2, 3), floats(4, 2), error=ShapeError, match="3 and 4"),
    ],
)
def einsum(equation: str, *operands: Array) -> Any:
    """The sum of products that the equation names, such as "ij,jk->ik".

    A letter is a dim; letters that are not in the output are summed over, a repeated
    one in a term is a diagonal, and "..." is any dims, which broadcast. Without "->"
    the output is "..." and what stands once, in alphabetical order.

    Raises ArgumentError for an equation that makes no sense, ShapeError for operands
    that don't fit it.
    """
    if not isinstance(equation, str):
        raise ArgumentError(f"einsum: the equation must be a string, not {equation!r}")
    terms, output = _parse(equation, tuple([x.ndim for x in operands]))
    sizes = _sizes(terms, operands)
    ready = []
    for i, (x, names) in enumerate(zip(operands, terms, strict=True)):
        others = terms[:i] + terms[i + 1 :]
        ready.append(_simplified(x, names, set(output).union(*others), sizes))
    x, names = ready[0]
    for i, (y, more) in enumerate(ready[1:], 2):
        kept = dict.fromkeys(chain(output, *(later for _, later in ready[i:])))
        x, names = _product(x, names, y, more, kept, sizes)
    return _grouped(x, names, [[name] for name in output], sizes)


@lru_cache(256)
def _parse(equation: str, ndims: tuple[int, ...]) -> tuple[list[Names], Names]:
    """The names of each operand's dims, and of the output's."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    if not all(map(TERM.fullmatch, [*written, right])):
        raise ArgumentError(
            f"einsum: {equation!r}: a term is letters, with one ... at most"
        )
    if len(written) != len(ndims):
        raise ArgumentError(
            f"einsum: {equation!r} has {len(written)} terms, but {len(ndims)} "
            "operands are given"
        )
    terms = [
        _names(term, ndim, f"einsum: {equation!r}: operand {i}")
        for i, (term, ndim) in enumerate(zip(written, ndims, strict=True))
    ]
    dots = max(([n for n in names if n.isdigit()] for names in terms), key=len)
    if not arrow:
        counts = Counter("".join(written).replace(".", ""))
        once = sorted(name for name, count in counts.items() if count == 1)
        return terms, (*dots, *once)
    before, ellipsis, behind = right.partition("...")
    if ellipsis and "..." not in left:
        raise ArgumentError(f"einsum: {equation!r}: no operand has an ellipsis")
    output = (*before, *(dots if ellipsis else ()), *behind)
    for name, count in Counter(output).items():
        if count > 1 or not any(name in names for names in terms):
            problem = "stands twice" if count > 1 else "is in no term"
            raise ArgumentError(
                f"einsum: {equation!r}: the output's {name!r} {problem}"
            )
    return terms, output


def _names(term: str, ndim: int, where: str) -> Names:
    """A name for each dim; those of an ellipsis count down to its last one."""
    before, ellipsis, behind = term.partition("...")
    rest = ndim - len(before) - len(behind)
    if rest < 0 or (rest and not ellipsis):
        raise ShapeError(f"{where} has {ndim} dims; the term {term!r} doesn't fit")
    return (*before, *map(str, reversed(range(rest))), *behind)


def _sizes(terms: Sequence[Names], operands: Sequence[Any]) -> dict[str, int]:
    """The size of each name: that of every operand, unless it is one there."""
    sizes: dict[str, int] = {}
    for names, x in zip(terms, operands, strict=True):
        for name, n in zip(names, x.shape, strict=True):
            known = sizes.setdefault(name, n)
            if n != known and 1 not in (n, known):
                raise ShapeError(
                    f"einsum: {name!r} has the sizes {known} and {n}: they must be "
                    "equal, or one of them 1"
                )
            sizes[name] = n if known == 1 else known
    return sizes


def _simplified(
    x: Any, names: Names, kept: Collection[str], sizes: dict[str, int]
) -> tuple[Any, Names]:
    """Each name once, none that only this operand has, all of their full size."""
    for name in names:
        while names.count(name) > 1:
            x, names = _diagonal(x, names, name)
    alone = [i for i, name in enumerate(names) if name not in kept]
    if alone:
        x = ops.sum(x, alone)
        names = tuple(name for name in names if name in kept)
    shape = tuple(sizes[name] for name in names)
    return x if x.shape == shape else ops.expand(x, shape), names


def _diagonal(x: Any, names: Names, name: str) -> tuple[Any, Names]:
    """Two dims of one name as one dim, in front."""
    i = names.index(name)
    j = names.index(name, i + 1)
    if x.shape[i] != x.shape[j]:
        raise ShapeError(
            f"einsum: {name!r} has the sizes {x.shape[i]} and {x.shape[j]} in one "
            "operand; a diagonal needs equal ones"
        )
    rest = [k for k in range(x.ndim) if k not in (i, j)]
    places = np.arange(x.shape[i])
    x = ops.getitem(ops.permute(x, (i, j, *rest)), (places, places))
    return x, (name, *(names[k] for k in rest))


def _product(
    x: Any,
    xs: Names,
    y: Any,
    ys: Names,
    kept: Collection[str],
    sizes: dict[str, int],
) -> tuple[Any, Names]:
    """Two operands as one: what both have and nobody else needs is summed over.

    By no more ops than it takes, as a fused loop knows rows @ weight, but no reshape.
    """
    batch = [[name] for name in xs if name in ys and name in kept]
    inner = [name for name in xs if name in ys and name not in kept]
    left = [name for name in xs if name not in ys]
    right = [name for name in ys if name not in xs]
    if not inner:
        return _times(x, xs, y, ys, sizes)
    if next((name for name in kept if name in left + right), None) in right:
        x, xs, left, y, ys, right = y, ys, right, x, xs, left
    rows = [left] if batch else [[name] for name in left]
    columns = [right] if batch or right else []
    a = _grouped(x, xs, [*batch, *rows, inner], sizes)
    b = _grouped(y, ys, [*batch, inner, *columns], sizes)
    names = (*chain(*batch), *left, *right)
    shape = tuple(sizes[name] for name in names)
    product = ops.matmul(a, b)
    return product if product.shape == shape else ops.reshape(product, shape), names


def _times(
    x: Any, xs: Names, y: Any, ys: Names, sizes: dict[str, int]
) -> tuple[Any, Names]:
    """x * y, where x keeps the order of its dims, and those of y alone follow."""
    names = (*xs, *(name for name in ys if name not in xs))
    more = names[len(xs) :]
    missing = [name for name in names if name not in ys]
    first = next((i for i, name in enumerate(names) if name in ys), len(names))
    a = _grouped(x, xs, [*([name] for name in xs), *([] for _ in more)], sizes)
    groups = [[] if name in missing else [name] for name in names[first:]]
    return a * _grouped(y, ys, groups, sizes), names


def _grouped(
    x: Any, names: Names, groups: Sequence[list[str]], sizes: dict[str, int]
) -> Any:
    """x with one dim for each group of names."""
    order = tuple([names.index(name) for group in groups for name in group])
    shape = tuple([math.prod([sizes[name] for name in group]) for group in groups])
    x = x if order == tuple(range(len(order))) else ops.permute(x, order)
    return x if x.shape == shape else ops.reshape(x, shape)
