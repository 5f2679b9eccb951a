"""The page of app policies: what one may say, and how it is set."""

from __future__ import annotations

from typing import Final

from jobs.generated import table
from jobs.policy import meaning
from topics.codec import encode
from topics.policy import CHOICES, TIMES, Policy, PolicySet, shown

_EXAMPLE: Final = PolicySet("acme", Policy(channels=1_000, drive_team="session"))

_HEAD: Final = f"""\
# App policy

What an app may have, and how it is served. An app without a policy has what stands under *usual*. A limit may be
lower, or up to {TIMES} times as high.

```sh
linkcast policy show                                       # what apps have otherwise than usual
linkcast policy show acme                                  # all that one app has, and what it may have
linkcast policy set acme channels=1000 drive_team=session  # what is not named stays
linkcast policy reset acme drive_team                      # as usual again; without a name: everything
```

Two people who change policies at the same moment don't overwrite each other: one is told to try again.
"""

_RECORD: Final = f"""\
## The record

A policy is a record on the topic `policies`, which keeps the newest of each app. A program may write it instead of
the command: the whole policy, under the app's name as key, the same to **every** partition, all of them in one
transaction. What a policy does not name is as usual.

```json
{encode(_EXAMPLE).decode()}
```

A record that names something unknown, or a value out of its range, is [rejected](errors.md#rejected) and changes
nothing. Keep the right to write this topic to operators.

## When it is in force

From the record on, without a restart. Each partition judges what comes after the record by it.

- **Limits** count when something is asked. What is there already stays, also where there is more than is allowed now:
  an app with 600 channels whose policy says 500 keeps them, and gets no more.
- **Windows** (`..._window_ms`) count from the next one on; `resume_ms` from the next session that is lost.
- **Drive modes and `subscribe_members`** count for a group when it is next touched: by a message, a change, a session
  that comes or goes. Its links are told then with a `drive` entry, before what follows. A group that nobody touches
  sends nothing, so nobody misses anything meanwhile.
- **`sessions`** counts when a session begins. Nobody is logged out by a change of policy.
"""


def page() -> str:
    """The page."""
    rows = (
        (f"`{choice.name}`", str(choice.usual), shown(choice.allowed), meaning(choice)) for choice in CHOICES.values()
    )
    return "\n".join([_HEAD, table(("name", "usual", "may be", "meaning"), *rows) + "\n", _RECORD])
