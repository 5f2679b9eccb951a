"""The example page in a real browser."""
