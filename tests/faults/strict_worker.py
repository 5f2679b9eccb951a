"""A worker that takes a gateway for slow, and for overrun, after little.

Run: python -m tests.faults.strict_worker --role ROLE --name NAME.
"""

from __future__ import annotations

from typing import Any, cast

from tests.faults.worker import main
from topics import limits

if __name__ == "__main__":
    at_once = cast("Any", limits)  # they are final for everybody else
    at_once.LINK_SLOW_BYTES, at_once.LINK_BACKLOG_BYTES = 16 << 10, 24 << 10
    main()
