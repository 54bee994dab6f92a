"""The checks of a user's own cell or layer."""
