"""minigrad beside its peers: ratios, all of one table from one run of one process."""
