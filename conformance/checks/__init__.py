"""What is checked, of a layer, a step, a loop, an op, an optimiser."""
