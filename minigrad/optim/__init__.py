"""Optimisers: PyTorch's arguments and PyTorch's arithmetic, in its order.

A step reads `parameter.grad` and gives each parameter a new value by `assign`; the
running averages are numpy arrays, updated in place. It checks every option and every
gradient before it touches anything, so it updates all parameters or none.
"""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
