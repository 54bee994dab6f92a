"""Other frameworks under the suite, and docs/peers.md about them."""
