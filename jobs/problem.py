"""What a person can do something about: the commands print it as it is, without a stack."""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - it is told to a person, who may have made no error
    """What went wrong and, in the same breath, what to do about it."""
