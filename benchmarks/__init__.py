"""minigrad beside PyTorch: ratios, measured in one run on one thread."""
