"""Random commands in any order, with crashes: what follows is what the oracle says."""
