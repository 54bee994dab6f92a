"""Passes over items: sums of products as one product, two to four opcodes as one."""

from __future__ import annotations

from .._loop_py import STREAM, VECTOR
from .items import Item, Items, Operand


def merge_sums(items: Items) -> None:
    """a @ A + b @ B as one product of two terms."""
    for item in [i for i in items.items if i.name == "add"]:
        sources = [a.value.writers for a in item.args if a.whole]
        alone = len(sources) == 2 and all(
            len(w) == 1
            and w[0].name == "product"
            and w[0].out.value.home is None
            and items.readers(w[0].out.value) == [item]
            for w in sources
        )
        if alone and sources[0][0] is not sources[1][0]:
            item.name = "product"
            terms = [w[0] for w in sources]
            item.args = [a for term in terms for a in term.args]
            items.items = [i for i in items.items if i not in terms]


def combine(items: Items) -> None:
    """Two to four opcodes as one.

    A product on its way to a sum is not rounded, whoever else reads it, and one with
    1 - b always is: a value that the backward makes again has its bits.
    """
    for item in list(items.items):
        if item.name == "add":
            if not _take_in(items, item, "mul", "muladd"):
                for i, a in enumerate(item.args):
                    inner = _only(items, a, item)
                    if inner is not None and inner.name == "add":
                        item.name = "add3"
                        item.args = [*inner.args, item.args[1 - i]]
                        items.items.remove(inner)
                        break
        elif item.name == "mul" and _take_in(items, item, "sub", "mulrest"):
            _combine_more(items, item)


def _take_in(items: Items, item: Item, name: str, both: str) -> bool:
    """Do what makes an operand, too, in one opcode; it stays if others read it."""
    # g + g * y has g * y taken in, though g may be a product, too.
    last = _maker(item.args[1])
    for i in (1, 0) if last is not None and item.args[0] in last.args else (0, 1):
        a, other = item.args[i], item.args[1 - i]
        inner = _maker(a)
        if inner is None or inner.name != name:
            continue
        if name == "sub" and not _is_one(items, inner):
            continue
        item.name = both
        item.args = [other, inner.args[1]] if name == "sub" else [*inner.args, other]
        if a.value.home is None and not items.readers(a.value):
            items.items.remove(inner)
        return True
    return False


def _combine_more(items: Items, item: Item) -> None:
    """x * y * (1 - y), as what comes back through a sigmoid; or (x * y + x) * (1 - y).

    The derivative of an LSTM's step has 13 opcodes instead of 18.
    """
    factor, y = item.args
    inner = _only(items, factor, item)
    if inner is None:
        return
    if inner.name == "mul" and y in inner.args:
        item.name = "mulmulrest"
        item.args = [inner.args[1 - inner.args.index(y)], y]
    elif inner.name == "muladd" and inner.args[1:] == [y, inner.args[0]]:
        item.name = "muladdrest"
        item.args = [inner.args[0], y]
    else:
        return
    items.items.remove(inner)


def add_to_products(items: Items) -> None:
    """What is added to a product, where the product is made: rows, and vectors.

    The order of the additions stays: (rows + vector) + product + vector. An LSTM's
    forward alone took 3.45 ms instead of 3.65 at (T,B,I,H) = (50,32,64,128), and 25.4
    instead of 26.3 at (100,32,128,256).
    """
    for item in [i for i in items.items if i.name == "product"]:
        added: list[Operand | None] = [None, None, None]
        while (reader := _sum_of(items, item)) is not None:
            others = [a for a in reader.args if a.value is not item.out.value]
            places = _places(
                items, others, reader.args[-1].value is item.out.value, added
            )
            if places is None:
                break
            added = places
            item.added, item.out = added, reader.out
            _write_instead(item, reader)
            items.items.remove(reader)


def _write_instead(item: Item, other: Item) -> None:
    """The item writes what another one did; what has room for it waits for it, too."""
    value = item.out.value
    while True:
        value.writers.remove(other)
        value.writers.append(item)
        if value.home is None:
            return
        value = value.home.value


def _sum_of(items: Items, item: Item) -> Item | None:
    """The sum that alone reads a product, if there is one."""
    value = item.out.value
    readers = items.readers(value)
    if value.home is not None or len(readers) != 1:
        return None
    (reader,) = readers
    whole = [a for a in reader.reads if a.value is value]
    fits = reader.name in ("add", "add3") and len(whole) == 1 and whole[0].whole
    return reader if fits else None


def _places(
    items: Items, others: list[Operand], is_last: bool, added: list[Operand | None]
) -> list[Operand | None] | None:
    """Where the other operands of a sum stand among what is added; None if nowhere."""
    vectors = [_is_vector(items, a) for a in others]
    if not all(v or _is_stored(items, a) for v, a in zip(vectors, others, strict=True)):
        return None
    rows, first, second = added
    if len(others) == 1 and second is None:
        if vectors[0]:
            return [rows, first, others[0]]
        if rows is first is None:
            return [others[0], None, None]
    elif len(others) == 2 and is_last and rows is first is second is None:
        if vectors == [False, True]:
            return [others[0], others[1], None]
        if vectors == [True, False]:
            return [others[1], others[0], None]
    return None


def _is_stored(items: Items, a: Operand) -> bool:
    """Whether it stands in memory anyway: a sequence, or the result of a product.

    What an opcode makes would have to be stored for it. An LSTM, whose products of x
    are a sequence, trains in 10.09 ms instead of 10.20 at (T,B,I,H) = (50,32,64,128).
    """
    value = a.value
    if value.buffer is not None and items.buffers[value.buffer].kind == STREAM:
        return True
    return bool(value.writers) and all(w.name == "product" for w in value.writers)


def _is_vector(items: Items, a: Operand) -> bool:
    """Whether it is the same for all rows."""
    value = a.value
    return value.buffer is not None and items.buffers[value.buffer].kind == VECTOR


def _is_one(items: Items, item: Item) -> bool:
    """Whether its first operand is the number 1."""
    return item.args[0].value in items.ones


def _maker(a: Operand) -> Item | None:
    """The item that makes the whole value of an operand, and no more."""
    return a.value.writers[0] if len(a.value.writers) == 1 and a.whole else None


def _only(items: Items, a: Operand, reader: Item) -> Item | None:
    """The item that makes an operand, if it is made for this reader alone."""
    value = a.value
    once = [b for b in reader.reads if b.value is value]
    if value.home is not None or len(once) != 1 or items.readers(value) != [reader]:
        return None
    return _maker(a)
