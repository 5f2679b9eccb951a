"""The example gateway's driver with one rule of the contract broken: `python -m tests.conformance.broken <variant>`."""

from __future__ import annotations

import asyncio
import sys

from examples.gateway import driver
from tests.conformance.broken import VARIANTS

if __name__ == "__main__":
    next(variant for variant in VARIANTS if variant.__name__ == sys.argv[1])()
    asyncio.run(driver.main())
