"""PyTorch's side: layers, cells that it lacks, ops on its tensors."""
