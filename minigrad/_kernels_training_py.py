"""The plain Python twin of `_kernels_training.pxi`: layer norm, optimisers, norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# -- layer norm ------------------------------------------------------------------------


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array]:
    """x with mean 0 and variance 1 over the dims of weight, then weight and bias.

    And the mean and 1 / sqrt(variance + eps) of each of those rows, (rows, 2).
    """
    axes = tuple(range(-weight.ndim, 0))
    mean = np.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    moments = np.stack([mean.reshape(-1), scale.reshape(-1)], axis=1)
    return np.asarray(centred * scale * weight + bias), moments.astype(x.dtype)


def _standardised(x: Array, moments: Array, n: int) -> Array:
    """The rows of x by their moments, (rows, n)."""
    rows = x.reshape(len(moments), n)
    return np.asarray((rows - moments[:, :1]) * moments[:, 1:])


def layer_norm_grad_x(g: Array, x: Array, weight: Array, moments: Array) -> Array:
    """The cotangent of layer_norm's x."""
    z = _standardised(x, moments, weight.size)
    h = (g * weight).reshape(z.shape)
    of_sum = np.mean(h, axis=1, keepdims=True)
    of_dot = np.mean(h * z, axis=1, keepdims=True)
    return np.asarray((h - of_sum - z * of_dot) * moments[:, 1:]).reshape(x.shape)


def layer_norm_grad_weight(
    g: Array, x: Array, moments: Array, shape: tuple[int, ...]
) -> Array:
    """The cotangent of layer_norm's weight, which has this shape."""
    z = _standardised(x, moments, math.prod(shape))
    return np.asarray(np.sum(g.reshape(z.shape) * z, axis=0)).reshape(shape)


# -- optimisers ------------------------------------------------------------------------


def adam(
    value: Array,
    grad: Array,
    mean: Array,
    square: Array,
    most: Array | None,
    options: tuple[float, ...],
) -> Array:
    """The new value after a step of Adam; mean, square and most are updated.

    options: 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**t), sqrt(1 - beta2**t), eps,
    what the value is multiplied by before, the weight decay in g.
    """
    new_mean, old_square, new_square, step, root, eps, shrink, decay = options
    grad = grad + decay * value if decay else grad
    if new_mean < 0.5:  # from the nearer end, as PyTorch
        mean += new_mean * (grad - mean)
    else:
        mean[...] = grad - (1 - new_mean) * (grad - mean)
    square *= old_square
    square += new_square * grad * grad
    if most is not None:
        np.maximum(most, square, out=most)
        square = most
    return np.asarray(value * shrink - step * mean / (np.sqrt(square) / root + eps))


def sgd(
    value: Array, grad: Array, buffer: Array | None, options: tuple[float, ...]
) -> Array:
    """The new value after a step of gradient descent; the momentum's buffer is updated.

    options: lr, weight decay, momentum, 1 - dampening, whether nesterov, whether the
    buffer is the first.
    """
    lr, decay, momentum, keep, nesterov, first = options
    grad = grad + decay * value if decay else grad
    if buffer is not None:
        buffer[...] = grad if first else momentum * buffer + keep * grad
        grad = grad + momentum * buffer if nesterov else buffer
    return np.asarray(value - lr * grad)


def square_sum(x: Array) -> float:
    """The sum of the squares in float64, where no square of a float32 is too large."""
    flat = x.astype(np.float64).ravel("K")
    return float(flat.dot(flat))
