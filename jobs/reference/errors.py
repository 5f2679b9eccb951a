"""The page of codes: whatever says no, why, and what to do; from where each code is defined."""

from __future__ import annotations

from typing import Final

from jobs.generated import table
from jobs.verify.findings import RULES
from streams.web import problems
from topics import answers, rejects
from topics.codec import encode

_HEAD: Final = """\
# Errors and codes

Nothing is dropped silently. Programs read the code; the text beside it is for people and may change.

## Refused

What was understood but is not allowed. The answer is `refused` with a `code`, in the deliveries of the sender's link
or on `answers` (see [the contract](../contract/README.md#sending)). Nothing was changed.
"""

_REJECTS: Final = """\
## Rejected

What was not understood, or was written where it does not belong. It goes to the topic `rejects` with topic,
partition, offset and the bytes, and is not answered: its writer has a defect. Read them with any Kafka consumer. When
more than half of the last records of a partition are bad, the worker stops instead of emptying the topic into
`rejects`.
"""

_PROBLEMS: Final = f"""\
## Views

A view that has no answer sends `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a
`code`. With 503 comes `Retry-After`: ask again after so many seconds. With 401 comes `WWW-Authenticate`.

```json
{encode(problems.ProblemError("owner_unknown").problem).decode()}
```
"""

_VERIFY: Final = """\
## Findings of `linkcast verify`

Each breaks a rule that the pipeline promises to keep. One of them is a defect: please report it, with what verify
printed.
"""


def page() -> str:
    """The page."""
    refused = ((f"`{code}`", text) for code, text in answers.CODES.items())
    rejected = ((f"`{reason}`", text) for reason, text in rejects.REASONS.items())
    asked = ((str(status), f"`{code}`", " ".join(told)) for code, (status, *told) in problems.CODES.items())
    found = ((f"`{rule}`", kind.replace("_", " "), text) for rule, (kind, text) in RULES.items())
    return "\n".join(
        [
            _HEAD,
            table(("code", "meaning, and what to do"), *refused) + "\n",
            _REJECTS,
            table(("reason", "meaning"), *rejected) + "\n",
            _PROBLEMS,
            table(("status", "code", "meaning, and what to do"), *asked) + "\n",
            _VERIFY,
            table(("finding", "counts as", "meaning"), *found) + "\n",
        ]
    )
