"""Initial values. Each function fills a Parameter by `assign` and returns it.

Numbers are drawn in float64 and rounded to the parameter's dtype, so one seed gives
the same model in float32 and in float64, up to that rounding. A `generator` is a
numpy Generator, an int seed, or None for the library's default generator.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError, describe
from .rng import Seed
from .rng import generator as resolve

if TYPE_CHECKING:
    from .nn.parameter import Parameter

_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda slope: 1.0,
    "sigmoid": lambda slope: 1.0,
    "tanh": lambda slope: 5 / 3,
    "relu": lambda slope: math.sqrt(2),
    "leaky_relu": lambda slope: math.sqrt(2 / (1 + slope**2)),
}


def uniform_(
    parameter: "Parameter", a: float = 0.0, b: float = 1.0, *, generator: Seed = None
) -> "Parameter":
    """Fill with draws from U(a, b). Raises ArgumentError if a > b.

    >>> from minigrad import nn
    >>> uniform_(nn.Parameter([0.0, 0.0]), 3.0, 3.0).tolist()
    [3.0, 3.0]
    """
    _check(parameter, a=a, b=b)
    if not a <= b:
        raise ArgumentError(
            f"uniform_ draws from [a, b): expected a <= b, got {a}, {b}"
        )
    return _fill(parameter, resolve(generator).uniform(a, b, parameter.shape))


def normal_(
    parameter: "Parameter",
    mean: float = 0.0,
    std: float = 1.0,
    *,
    generator: Seed = None,
) -> "Parameter":
    """Fill with draws from N(mean, std²). Raises ArgumentError if std < 0."""
    _check(parameter, mean=mean, std=std)
    if not std >= 0:
        raise ArgumentError(f"normal_ expected a standard deviation >= 0, got {std}")
    return _fill(parameter, resolve(generator).normal(mean, std, parameter.shape))


def trunc_normal_(
    parameter: "Parameter",
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    generator: Seed = None,
) -> "Parameter":
    """Fill with draws from N(mean, std²), given that they are in [a, b].

    By inverting the distribution function, one uniform draw a number. Raises
    ArgumentError if a > b or std <= 0.
    """
    _check(parameter, mean=mean, std=std, a=a, b=b)
    if not std > 0 or not a <= b:
        raise ArgumentError(
            "trunc_normal_ expected a standard deviation > 0 and bounds a <= b, "
            f"got std={std}, a={a}, b={b}"
        )
    from statistics import NormalDist  # takes 5 ms to import

    low, high = (a - mean) / std, (b - mean) / std
    # Far above the mean all probabilities are 1; far below, they keep their digits.
    sign = -1.0 if low > 0 else 1.0
    bounds = sorted((sign * low, sign * high))
    first, last = (math.erfc(-bound / math.sqrt(2)) / 2 for bound in bounds)
    draws = resolve(generator).uniform(first, last, parameter.shape)
    inside = np.clip(draws, np.finfo(float).tiny, np.nextafter(1, 0))
    normal = np.vectorize(NormalDist().inv_cdf, otypes=[float])(inside)
    return _fill(parameter, np.clip(mean + std * sign * normal, a, b))


def constant_(parameter: "Parameter", val: float) -> "Parameter":
    """Fill with one number."""
    _check(parameter, val=val)
    return _fill(parameter, np.full(parameter.shape, val))


def zeros_(parameter: "Parameter") -> "Parameter":
    """Fill with zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: "Parameter") -> "Parameter":
    """Fill with ones."""
    return constant_(parameter, 1.0)


def eye_(parameter: "Parameter") -> "Parameter":
    """Fill a matrix with ones on the diagonal and zeros elsewhere.

    Raises ShapeError unless it has two dimensions.
    """
    _check(parameter)
    if parameter.ndim != 2:
        raise ShapeError(f"eye_ fills a matrix; the shape is {parameter.shape}")
    rows, columns = parameter.shape
    return _fill(parameter, np.eye(rows, columns))


def orthogonal_(
    parameter: "Parameter", gain: float = 1.0, *, generator: Seed = None
) -> "Parameter":
    """Fill a matrix with gain times a random one whose rows or columns are orthonormal.

    Dimensions after the first count as one. Saxe et al. (2014), arXiv:1312.6120; no
    direction is preferred, by Mezzadri (2007), arXiv:math-ph/0609050. Raises
    ShapeError below two dimensions.
    """
    _check(parameter, gain=gain)
    if parameter.ndim < 2:
        raise ShapeError(
            "orthogonal_ needs a parameter of at least two dimensions, "
            f"got shape {parameter.shape}"
        )
    rows, columns = parameter.shape[0], math.prod(parameter.shape[1:])
    draws = resolve(generator).normal(size=(rows, columns))
    wide = rows < columns
    q, r = np.linalg.qr(draws.T if wide else draws)
    q = q * np.sign(np.diag(r))
    return _fill(parameter, gain * (q.T if wide else q).reshape(parameter.shape))


def xavier_uniform_(
    parameter: "Parameter", gain: float = 1.0, *, generator: Seed = None
) -> "Parameter":
    """Fill a matrix with U(-b, b), b = gain·√(6 / (fan_in + fan_out)).

    Glorot & Bengio (2010), equation 16. Raises ShapeError below two dimensions.
    """
    _check(parameter, gain=gain)
    bound = gain * math.sqrt(6 / sum(_fans(parameter)))
    return uniform_(parameter, -bound, bound, generator=generator)


def xavier_normal_(
    parameter: "Parameter", gain: float = 1.0, *, generator: Seed = None
) -> "Parameter":
    """Fill a matrix with N(0, s²), s = gain·√(2 / (fan_in + fan_out)).

    Glorot & Bengio (2010), equation 12. Raises ShapeError below two dimensions.
    """
    _check(parameter, gain=gain)
    std = gain * math.sqrt(2 / sum(_fans(parameter)))
    return normal_(parameter, 0.0, std, generator=generator)


def kaiming_uniform_(
    parameter: "Parameter",
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Seed = None,
) -> "Parameter":
    """Fill a matrix with U(-b, b), b = √3·gain / √fan.

    `a` is the slope of leaky_relu, `mode` is "fan_in" or "fan_out". He et al. (2015),
    equations 10 and 14. Raises ShapeError below two dimensions, and ArgumentError for
    an unknown mode or nonlinearity.
    """
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound, generator=generator)


def kaiming_normal_(
    parameter: "Parameter",
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Seed = None,
) -> "Parameter":
    """Fill a matrix with N(0, s²), s = gain / √fan; see `kaiming_uniform_`."""
    std = _kaiming_std(parameter, a, mode, nonlinearity)
    return normal_(parameter, 0.0, std, generator=generator)


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """The factor that keeps the variance of a signal through a nonlinearity.

    `param` is the slope of leaky_relu. Raises ArgumentError for an unknown name.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"nonlinearity must be one of {', '.join(_GAINS)}; got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity](param)


def _check(parameter: Any, **numbers: float) -> None:
    if not hasattr(parameter, "assign"):
        raise DTypeError(f"only a Parameter is filled, not {describe(parameter)}")
    for name, value in numbers.items():
        if not isinstance(value, int | float | np.number):
            raise ArgumentError(f"{name} must be a number, got {value!r}")


def _fill(parameter: "Parameter", values: np.ndarray) -> "Parameter":
    parameter.assign(values.astype(parameter.dtype))
    return parameter


def _fans(parameter: "Parameter") -> tuple[int, int]:
    if parameter.ndim < 2:
        raise ShapeError(
            "fan_in and fan_out need a parameter of at least two dimensions, "
            f"got shape {parameter.shape}; use uniform_ or normal_"
        )
    fan_out, fan_in, *field = parameter.shape
    size = math.prod(field)
    # Without elements there is no fan to divide by, and nothing to fill.
    return max(fan_in * size, 1), max(fan_out * size, 1)


def _kaiming_std(
    parameter: "Parameter", a: float, mode: str, nonlinearity: str
) -> float:
    _check(parameter, a=a)
    fans = dict(zip(("fan_in", "fan_out"), _fans(parameter), strict=True))
    if mode not in fans:
        raise ArgumentError(f'mode must be "fan_in" or "fan_out", got {mode!r}')
    return calculate_gain(nonlinearity, a) / math.sqrt(fans[mode])
