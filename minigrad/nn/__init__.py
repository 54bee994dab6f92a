"""Modules with PyTorch's names, parameters and initial values."""

from . import utils
from .layers import (
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Linear,
    MSELoss,
    NLLLoss,
)
from .module import IncompatibleKeys, Module, ModuleList, Parameter
from .utils import clip_grad_norm_, clip_grad_value_

__all__ = [
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "IncompatibleKeys",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "clip_grad_norm_",
    "clip_grad_value_",
    "utils",
]
