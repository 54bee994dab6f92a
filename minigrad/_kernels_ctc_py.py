"""The plain Python twin of `_kernels_ctc.pxi`: labels that are not aligned."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NEVER = -1e30
"""The logarithm of a probability of 0: finite, so that no difference of two is NaN."""


def label_paths(targets: Array, widths: Array, blank: int) -> tuple[Array, bool]:
    """int64 (N, 2 S + 1): the labels of each row, a blank before and after each.

    targets: (N, S), or the given ones of all rows, joined. And whether the blank is
    one of them.
    """
    given = np.arange(widths.max(initial=0)) < widths[:, None]
    labels = targets if targets.ndim == 1 else targets[:, : given.shape[1]][given]
    paths = np.full((len(widths), 2 * given.shape[1] + 1), blank)
    paths[:, 1::2][given] = labels
    return paths, bool(np.any(labels == blank))


def _places(emitted: Array, path: Array) -> Array:
    """(T + 1, 2 S + 1): of being at each place of the path before and after each step.

    As logarithms, like what each place emits, (T, 2 S + 1).
    """
    places = np.full((len(emitted) + 1, len(path)), NEVER)
    places[0, 0] = 0.0
    # Between two labels, only if they differ. A blank is equal to the one before it.
    skips = path[2:] != path[:-2]
    for t, row in enumerate(emitted):
        now = places[t].copy()
        now[1:] = np.logaddexp(now[1:], places[t, :-1])
        now[2:][skips] = np.logaddexp(now[2:], places[t, :-2])[skips]
        places[t + 1] = now + row
    return places


def _each_path(x: Array, paths: Array, lived: Array, widths: Array) -> Any:
    """Of each path: itself, what its places emit, `_places`, and the loss."""
    x = x.reshape(len(x), len(paths), -1)
    for i, (path, steps, width) in enumerate(zip(paths, lived, widths, strict=True)):
        path = path[: 2 * width + 1]
        emitted = np.maximum(x[:steps, i, path].astype(np.float64), NEVER)
        places = _places(emitted, path)
        # At the end stands the last blank, or the last label if there is one.
        yield path, emitted, places, -np.logaddexp.reduce(places[-1, -2:])


def ctc_loss(
    x: Array,
    paths: Array,
    lived: Array,
    widths: Array,
    reduction: str,
    zero_infinity: bool,
) -> Array:
    """Minus the log-probability of each path, of widths labels in lived steps.

    x: log-probabilities (T, N, C), or (T, C) of one path. "mean" divides each by its
    width before, "sum" and "mean" add them up.
    """
    losses = np.array([loss for *_, loss in _each_path(x, paths, lived, widths)])
    losses[losses > -NEVER / 2] = 0.0 if zero_infinity else np.inf
    if reduction == "none":
        return losses.astype(x.dtype).reshape(x.shape[1:-1])
    scale = np.maximum(widths, 1) * len(widths) if reduction == "mean" else 1
    return np.asarray(np.sum(losses / scale)).astype(x.dtype)


def ctc_loss_grad(
    g: Array, x: Array, paths: Array, lived: Array, widths: Array, reduction: str
) -> Array:
    """The cotangent of ctc_loss's x; 0 where a path is impossible.

    It is less the probability of emitting each class at each step, given the path.
    """
    dx = np.zeros((len(x), len(paths), x.shape[-1]))
    scale = np.maximum(widths, 1) * len(widths) if reduction == "mean" else 1
    shares = np.broadcast_to(g / scale, len(paths))
    each = enumerate(_each_path(x, paths, lived, widths))
    for i, (path, emitted, there, loss) in each:
        if loss > -NEVER / 2:
            continue
        back = _places(emitted[::-1, ::-1], path[::-1])[:0:-1, ::-1]
        # Both have what is emitted here.
        given = np.exp(there[1:] + back - emitted + loss)
        np.subtract.at(dx[: len(given), i].T, path, shares[i] * given.T)
    return dx.astype(x.dtype).reshape(x.shape)
