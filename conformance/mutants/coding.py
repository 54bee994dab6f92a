"""Faults in the code that is made of a step."""

from __future__ import annotations

from minigrad.fused import combine, items, lower

from .fault import ALIKE, fault

ITEMS = [
    fault(
        "every gate is the first",
        items.Items,
        "split",
        ("column += v.shape[-1]", "column += 0"),
    ),
    fault(
        "a gate one column late",
        items.Items,
        "split",
        (
            "Operand(x.value, column, v.shape[-1])",
            "Operand(x.value, max(column - 1, 0), v.shape[-1])",
        ),
    ),
    fault(
        "what is joined is written over what was there",
        items.Items,
        "cat",
        ("column += part.width", "column += 0"),
    ),
    fault(
        "zeros after columns, not before",
        items.Items,
        "lowered",
        (
            "before, after = c[0], args[2][1] - c[1]",
            "after, before = c[0], args[2][1] - c[1]",
        ),
    ),
    fault(
        "columns from the first on",
        items.Items,
        "lowered",
        ("args[0].column + c[0], c[1]", "args[0].column, c[1]"),
    ),
    fault(
        "one number for all of a width",
        items.Items,
        "number",
        ("(repr(float(x)), width)", '("0.0", width)'),
    ),
    fault(
        "outputs are the states before the step",
        items.Items,
        "output",
        ('return "write", k', 'return "read", k'),
    ),
    fault(
        "softmax of what is not shifted alike",
        items.Items,
        "along",
        (
            'log = self.emit("log", total)',
            'log = self.emit("log1p", total)',
        ),
    ),
    fault(
        "a cut at the upper bound only",
        items.Items,
        "elementwise",
        ('x if low is None else self.emit("maximum", x, low)', "x"),
    ),
    fault(
        "softplus without its threshold's side",
        items.Items,
        "elementwise",
        ('self.emit("gt", z, threshold)', 'self.emit("lt", z, threshold)'),
    ),
    fault(
        "a row is made as wide by its first column",
        items.Items,
        "product",
        (
            "[args[0], self.fixed[weight]]",
            "[args[0], min(self.fixed[w] for w in self.fixed"
            " if w.shape == weight.shape)]",
        ),
    ),
    fault(
        "one term of a sum of products",
        combine,
        "merge_sums",
        (
            "[a for term in terms for a in term.args]",
            "[a for term in terms[:1] for a in term.args]",
        ),
    ),
    fault(
        "the same rows in both terms",
        combine,
        "merge_sums",
        (
            "            items.items =",
            "            item.args[2] = item.args[0]\n            items.items =",
        ),
    ),
    fault(
        "three sums for a product and a sum",
        combine,
        "combine",
        (
            '_take_in(items, item, "mul", "muladd")',
            '_take_in(items, item, "mul", "add3")',
        ),
    ),
    fault(
        "of two vectors that are added to a product, one twice",
        combine,
        "_places",
        ("return [rows, first, others[0]]", "return [rows, others[0], others[0]]"),
    ),
    fault(
        "y (1 - x) for x (1 - y)",
        combine,
        "_take_in",
        ("[other, inner.args[1]]", "[inner.args[1], other]"),
    ),
    fault(
        "any difference is one from 1",
        combine,
        "_is_one",
        ("return item.args[0].value in items.ones", "return True"),
    ),
    fault(
        "the sum's other term is multiplied",
        combine,
        "_take_in",
        ("[*inner.args, other]", "[other, *inner.args]"),
    ),
]

LOWER = [
    *(
        fault(
            f"{other} for {name}",
            lower._Lowering,
            "code",
            (
                "code.append(OPCODES[item.name])",
                f"code.append(OPCODES[{{{name!r}: {other!r}}}"
                ".get(item.name, item.name)])",
            ),
        )
        for name, other in (
            ("tanh", "sigmoid"),
            ("sigmoid", "tanh"),
            ("sub", "add"),
            ("mul", "add"),
            ("add", "sub"),
            ("neg", "abs"),
            ("muladd", "add3"),
            ("maximum", "minimum"),
            ("gt", "lt"),
            ("lt", "gt"),
            ("amax", "amin"),
            ("expm1", "exp"),
        )
    ),
    fault(
        "operands in reverse order",
        lower._Lowering,
        "code",
        ("(item.out, *item.args)", "(item.out, *item.args[::-1])"),
    ),
    fault(
        "weights of one shape exchanged",
        lower._Lowering,
        "weight_order",
        ("return sorted(set(used))", "return sorted(set(used), reverse=True)"),
        cases=ALIKE,
        equivalent="the order of the weights is the list itself, by which the code "
        "names them and the caller hands them over: any order will do.",
    ),
    fault(
        "weights handed over in another order than the code has",
        lower._Lowering,
        "product_code",
        ("order = self.weight_order()", "order = self.weight_order()[::-1]"),
    ),
    fault(
        "a register is free one item early",
        lower._Lowering,
        "allocate",
        ("if last[a.value] == i}", "if last[a.value] <= i + 1}"),
    ),
    fault(
        "one register for all",
        lower._Lowering,
        "allocate",
        ("value.register, n = n, n + 1", "value.register, n = 0, 1"),
    ),
    fault(
        "what is part of a value is found at its beginning",
        lower._Lowering,
        "at",
        ("column += value.home.column", "column += 0"),
    ),
    fault(
        "an item runs when its first operand is there",
        lower._Lowering,
        "phases",
        ("for a in item.reads for w", "for a in item.reads[:1] for w"),
    ),
]

CODING = [*ITEMS, *LOWER]
