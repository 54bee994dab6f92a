"""Passes over items: sums of products as one product, two or three opcodes as one."""

from __future__ import annotations

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
    """Two or three opcodes as one, where nobody else reads what is between."""
    for item in list(items.items):
        if item.name == "add":
            for i, a in enumerate(item.args):
                inner, other = _only(items, a, item), item.args[1 - i]
                if inner is not None and inner.name in ("add", "mul"):
                    item.name = "add3" if inner.name == "add" else "muladd"
                    item.args = [*inner.args, other]
                    items.items.remove(inner)
                    break
        elif item.name == "mul":
            for i, a in enumerate(item.args):
                inner = _only(items, a, item)
                if inner is not None and inner.name == "sub" and _is_one(items, inner):
                    item.name = "mulrest"
                    item.args = [item.args[1 - i], inner.args[1]]
                    items.items.remove(inner)
                    break


def _is_one(items: Items, item: Item) -> bool:
    """Whether its first operand is the number 1."""
    return item.args[0].value in items.ones


def _only(items: Items, a: Operand, reader: Item) -> Item | None:
    """The item that makes an operand, if it is made for this reader alone."""
    value = a.value
    if value.home is not None or len(value.writers) != 1 or not a.whole:
        return None
    once = [b for b in reader.reads if b.value is value]
    if len(once) != 1 or items.readers(value) != [reader]:
        return None
    return value.writers[0]
