"""The page of limits, in their sections."""

from __future__ import annotations

from typing import Final

from jobs.generated import table
from jobs.limits import all_limits

_HEAD: Final = """\
# Limits

Everything is bounded. These are the bounds, as `topics/limits.py` names them. They are part of the software, not
settings: a gateway may rely on them. Those that a gateway or a client meets stand in [the
contract](../contract/README.md) too. What can be set stands under [settings](settings.md); limits with a star
also in an [app's policy](policy.md).
"""


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for section in dict.fromkeys(limit.section for limit in all_limits().values()):
        rows = [(f"`{one.name}`", one.shown, one.meaning) for one in all_limits().values() if one.section == section]
        parts += [f"## {section.rstrip('.:')}\n", table(("limit", "value", "meaning"), *rows) + "\n"]
    return "\n".join(parts)
