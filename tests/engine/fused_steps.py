"""Random steps for scan: what a loop can be made of, put together by lists of numbers.

A step is a plain function over plain data, as users write them: its ops stand in two
tables, and `recipes` draws which of them it applies to which of the values so far.
"""

from contextlib import nullcontext
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np

import minigrad as mg

N = 3  # columns of a row

# fmt: off
MAPS = {  # of one value, (B, N) or (B, 1), to one like it; w: what the step captures
    "tanh": lambda x, w: x.tanh(),
    "sigmoid": lambda x, w: x.sigmoid(),
    "relu": lambda x, w: x.relu(),
    "silu": lambda x, w: mg.silu(x),
    "softsign": lambda x, w: mg.softsign(x),
    "softplus": lambda x, w: mg.softplus(x),
    "exp": lambda x, w: (-x.abs()).exp(),
    "expm1": lambda x, w: mg.expm1(x.tanh()),
    "log": lambda x, w: (x * x + 1).log(),
    "log1p": lambda x, w: mg.log1p(x.square()),
    "sqrt": lambda x, w: (x * x + 0.5).sqrt(),
    "rsqrt": lambda x, w: (x.square() + 0.5).rsqrt(),
    "reciprocal": lambda x, w: mg.reciprocal(x.square() + 1),
    "waves": lambda x, w: x.sin() * x.cos(),
    "sign": lambda x, w: x.sign() * 0.5 * x,
    "pow": lambda x, w: (x * x + 0.5) ** 1.5 / (x**2 + 3),
    "base": lambda x, w: 1.5 ** x.tanh(),
    "numbers": lambda x, w: 2 - x / 3,
    "over": lambda x, w: 1 / (x * x + 1),
    "clamp": lambda x, w: x.clamp(-0.5, 0.25),
    "above": lambda x, w: x.clamp(min=-0.1),
    "hardtanh": lambda x, w: mg.hardtanh(x, -0.3, 0.3),
    "detach": lambda x, w: x.detach() * x.clone(),
    "softmax": lambda x, w: full(x).softmax(-1),
    "log_softmax": lambda x, w: full(x).log_softmax(-1) * 0.3,
    "logsumexp": lambda x, w: full(x).logsumexp(-1, True),
    "sum": lambda x, w: full(x).sum(-1, True) * 0.3,
    "mean": lambda x, w: x.mean(1, keepdim=True),
    "amax": lambda x, w: x.amax(-1, True),
    "amin": lambda x, w: x - x.amin(-1, True),
    "norm": lambda x, w: mg.layer_norm(x + w["v"], (N,), w["v"]),
    "first": lambda x, w: x[:, :1],
    "turn": lambda x, w: mg.cat([full(x)[:, 1:], full(x)[:, :1]], -1),
    "pieces": lambda x, w: mg.cat(full(x).split([1, 2], -1)[::-1], -1),
    "expand": lambda x, w: full(x[..., :1]) * x,
    "product": lambda x, w: full(x) @ w["a"],
    "product of the same": lambda x, w: full(x) @ w["a"] + 1,
    "another": lambda x, w: full(x) @ w["b"],
    "transposed": lambda x, w: full(x) @ w["a"].T,
    "made weight": lambda x, w: full(x) @ (w["b"].exp() * w["v"] * 0.2),
    "gates": lambda x, w: gates(full(x) @ w["wide"]),
    "two terms": lambda x, w: full(x) @ w["a"] + full(x).tanh() @ w["b"],
    "to one": lambda x, w: full(x) @ w["column"],
    "vector": lambda x, w: w["v"] * x,
    "one row": lambda x, w: x - w["row"],
    "scalar": lambda x, w: x * w["s"],
    "own row": lambda x, w: x * w["own"] + w["own"].tanh(),
    "own number": lambda x, w: x + w["own one"],
    "own mask": lambda x, w: mg.where(w["mask"], x, 0.5),
    "mask as numbers": lambda x, w: w["mask"] * x,
}
JOINS = {  # of two
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y * y + 1),
    "maximum": lambda x, y: mg.maximum(x, y),
    "minimum": lambda x, y: mg.minimum(x, y.tanh()),
    "where": lambda x, y: mg.where(x > y, x.tanh(), y),
    "both": lambda x, y: mg.where(mg.logical_and(x >= 0, y < 0.3), x, 0.1),
    "either": lambda x, y: mg.where(mg.logical_or(x <= -0.2, y == 0), x, y),
    "neither": lambda x, y: mg.where(mg.logical_not(x != y), y, x * 0.5),
    "cat": lambda x, y: mg.cat([full(x), full(y)], -1)[:, 1 : N + 1],
    "gate": lambda x, y: x.sigmoid() * y + (1 - x.sigmoid()) * y.tanh(),
    "ends": lambda x, y: mg.cat([full(x), full(y)], 1).softmax(1).chunk(2, -1)[1],
}
CARRIES = {  # the new state, of a value and the states before
    "tanh": lambda v, h, others: v.tanh(),
    "leaky": lambda v, h, others: 0.5 * h + 0.5 * v.tanh(),
    "still": lambda v, h, others: h,
    "swap": lambda v, h, others: others[-1],
}
# fmt: on


def full(x):
    """The value with all its columns."""
    return x if x.shape[-1] == N else x.expand(-1, N)


def gates(z):
    i, g = z.chunk(2, -1)
    return i.sigmoid() * g.tanh()


class Recipe(NamedTuple):
    """A step: ops to apply in turns, (name, which value, which other)."""

    lines: tuple[tuple[str, int, int], ...]
    carries: tuple[tuple[str, int], ...]
    ys: tuple[int, ...]
    masked: bool  # whether there is a bool mask among the xs


def step_of(recipe, w):
    """The step (carry, x) -> (carry, ys) of a recipe, for tensors w by name."""
    lines, carries, ys, masked = recipe

    def step(carry, xs):
        values = [*carry, *xs[:2]]
        if masked:
            values.append(mg.where(xs[2], values[0], values[-2]))
        for name, i, j in lines:
            x, y = values[i % len(values)], values[j % len(values)]
            values.append(JOINS[name](x, y) if name in JOINS else MAPS[name](x, w))
        new = [
            CARRIES[kind](full(values[-1 - i % len(values)]), h, carry)
            for (kind, i), h in zip(carries, carry, strict=True)
        ]
        return tuple(new), tuple(values[-1 - i % len(values)] for i in ys)

    return step


def recipes(n_lines=10):
    number = st.integers(0, 30)
    names = st.sampled_from([*MAPS, *JOINS])
    few = {"min_size": 1, "max_size": 3}
    return st.builds(
        Recipe,
        st.lists(st.tuples(names, number, number), min_size=1, max_size=n_lines).map(
            tuple
        ),
        st.lists(st.tuples(st.sampled_from([*CARRIES]), st.integers(0, 4)), **few).map(
            tuple
        ),
        st.lists(st.integers(0, 6), **few).map(tuple),
        st.booleans(),
    )


def random_recipe(seed, n_lines=8):
    """A recipe without hypothesis: for what needs a few, whatever they are."""
    rng = np.random.default_rng(seed)
    names = [*MAPS, *JOINS]

    def pick(n):
        return int(rng.integers(n))

    return Recipe(
        tuple((names[pick(len(names))], pick(30), pick(30)) for _ in range(n_lines)),
        (("tanh", 0), ("leaky", 1)),
        (0, 2, 4),
        True,
    )


def arrays_of(recipe, n_steps, batch, seed=0):
    """(carries, xs, what the step captures by name), in float64."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape)

    carries = [draw(batch, N) for _ in recipe.carries]
    xs = [draw(n_steps, batch, N), draw(n_steps, batch, 1)]
    if recipe.masked:
        xs.append(draw(n_steps, batch, N) > 0)
    w = {
        "a": draw(N, N) / 2,
        "b": draw(N, N) / 2,
        "wide": draw(N, 2 * N),
        "column": draw(N, 1),
        "v": draw(N),
        "row": draw(1, N),
        "s": draw(),
        "own": draw(batch, N),
        "own one": draw(batch, 1),
        "mask": draw(batch, N) > 0,
    }
    return carries, xs, w


def leaf(array, dtype, wanted=True):
    if array.dtype.kind != "f":
        return mg.tensor(array)
    return mg.tensor(array.astype(dtype), requires_grad=bool(wanted))


def run(recipe, arrays, *, loops=nullcontext, dtype=np.float64, wanted=None, **options):
    """(outputs, leaves) of a scan; wanted: which leaves get a gradient."""
    carries, xs, w = arrays
    flat = [*carries, *xs, *w.values()]
    wanted = [True] * len(flat) if wanted is None else wanted
    leaves = [leaf(a, dtype, g) for a, g in zip(flat, wanted, strict=True)]
    n, m = len(carries), len(carries) + len(xs)
    step = step_of(recipe, dict(zip(w, leaves[m:], strict=True)))
    with loops():
        carry, ys = mg.scan(step, tuple(leaves[:n]), tuple(leaves[n:m]), **options)
    return [*carry, *ys], leaves


def pull(outputs, leaves, present=None, seed=1, create_graph=False):
    """Gradients by the leaves that want one, of the outputs that are present.

    0 where nothing flows: whether that is known beforehand may differ.
    """
    rng = np.random.default_rng(seed)
    gs = [mg.tensor(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
    present = [True] * len(outputs) if present is None else present
    pairs = [
        (y, g)
        for y, g, p in zip(outputs, gs, present, strict=True)
        if p and y.requires_grad
    ]
    inputs = [x for x in leaves if x.requires_grad]
    if not pairs or not inputs:
        return [mg.zeros_like(x) for x in inputs]
    ys, gs = zip(*pairs, strict=True)
    found = mg.grad(ys, inputs, gs, allow_unused=True, create_graph=create_graph)
    return [
        mg.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)
    ]


def together(tensors):
    """All values in one vector, and 1: what is 0 but for rounding is held to these.

    The derivative of a softmax's sum, say, has no scale of its own.
    """
    return np.concatenate([np.ones(1), *(t.detach().numpy().ravel() for t in tensors)])
