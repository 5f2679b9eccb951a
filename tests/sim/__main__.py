"""Replays one seed: `python -m tests.sim --seed 7 --steps 600 --trace`."""

from __future__ import annotations

import argparse
import sys

from tests.sim.run import STEPS, run


def main() -> int:
    """Run it and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="which world")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"turns before it comes to rest (default {STEPS})")
    parser.add_argument("--trace", action="store_true", help="print what happens, each line with its virtual ms")
    given = parser.parse_args()
    done = run(given.seed, given.steps, print if given.trace else None)
    faults = ", ".join(f"{fault}: {count}" for fault, count in sorted(done.faults.items()))
    sys.stdout.write(f"seed {given.seed}: {done.broken or 'every rule holds'}\n{faults}\n")
    return 1 if done.broken else 0


if __name__ == "__main__":
    sys.exit(main())
