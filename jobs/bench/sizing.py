"""The page of what work costs: the measured costs put into the formulas of sizing, for three products."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from jobs.bench.costs import COSTS
from jobs.bench.results import Results
from jobs.generated import table

_BUSY: Final = 0.6  # of a core: what is above waits in queues
_ENVELOPE_BYTES: Final = 150  # ids, numbers and names around a body
_SMALL_BODY_BYTES: Final = 200  # what the cost of a message includes
_HEAD: Final = """\
# What work costs, as measured

Written by `linkcast bench`. [Sizing](../operations/sizing.md) explains the formulas and the signs. The costs are those
of a worker under load on the machine that [the benchmarks](README.md) name; yours differs, so measure there:
`linkcast bench --only cost_message_us` and so on.
"""


@dataclass(frozen=True, slots=True)
class Product:
    """What people do somewhere.

    Attributes:
        name: what it is.
        online: people online at the busiest time.
        gateways: that hold their connections.
        messages_per_s: messages a second.
        body_bytes: of a message.
        links: that a message goes to, on average.
        logins_per_s: sessions that come up a second.
        groups: of a user.
        joins_per_s: members who join or leave a second.
    """

    name: str
    online: int
    gateways: int
    messages_per_s: float
    body_bytes: int
    links: float
    logins_per_s: float
    groups: int
    joins_per_s: float

    def groups_cores(self, cost: Mapping[str, float]) -> float:
        """Cores that the groups role uses."""
        further = max(0, self.body_bytes - _SMALL_BODY_BYTES) / 1_000 * (1 + self.links) / 2
        message = cost["cost_message_us"] + self.links * cost["cost_entry_us"] + further * cost["cost_kilobyte_us"]
        others = self.joins_per_s * cost["cost_join_us"] + self.logins_per_s * self.groups * cost["cost_bind_us"]
        return (self.messages_per_s * message + others) / 1e6

    def users_cores(self, cost: Mapping[str, float]) -> float:
        """Cores that the users role uses."""
        login = cost["cost_login_us"] * self.groups / 10  # it was measured with ten groups
        return (self.logins_per_s * login + self.joins_per_s * cost["cost_membership_us"]) / 1e6

    @property
    def delivered_mb_per_s(self) -> float:
        """Bytes of deliveries a second, unpacked."""
        return self.messages_per_s * self.links * (self.body_bytes + _ENVELOPE_BYTES) / 1e6


PRODUCTS: Final = (
    Product("teams at work", 100_000, 4, 1_000, 300, 3, 28, 30, 10),
    Product("a community", 1_000_000, 20, 5_000, 200, 11.6, 556, 20, 100),
    Product("a broadcast to one group", 1_000_000, 40, 500, 300, 40, 1_000, 2, 1_000),
)


def page(results: Results) -> str:
    """The page."""
    cost = {figure.name: figure.value for figure in results.figures if figure.name in COSTS}
    body = _measured(cost) if cost.keys() == COSTS.keys() else ["Not all of them are measured yet."]
    return "\n".join([_HEAD, *body]) + "\n"


def _measured(cost: Mapping[str, float]) -> Iterator[str]:
    yield "## Costs\n"
    rows = [(f"`{name}`", f"{cost[name]:,.1f} {unit}", about) for name, (unit, about) in COSTS.items()]
    yield table(("cost", "value", "what"), *rows) + "\n"
    yield "## Three products\n"
    products = [(what, *(shown(product, cost) for product in PRODUCTS)) for what, shown in _ROWS.items()]
    yield table(("", *(product.name for product in PRODUCTS)), *products) + "\n"
    yield (
        f"A worker is planned to be busy for {_BUSY:.0%} of a core, and each role to do with one worker less. Sinks: "
        "plan 40 µs a message ([ADR 2](../adr/0002-history-and-cache-layout.md)), and twice that to catch up."
    )


def _workers(cores: float) -> str:
    return f"{math.ceil(cores / _BUSY) + 1}"


_ROWS: Final[dict[str, Callable[[Product, Mapping[str, float]], str]]] = {
    "people online": lambda product, _: f"{product.online:,}",
    "gateways": lambda product, _: f"{product.gateways}",
    "messages a second": lambda product, _: f"{product.messages_per_s:,.0f}",
    "bytes of a body": lambda product, _: f"{product.body_bytes}",
    "links a message": lambda product, _: f"{product.links:g}",
    "logins a second": lambda product, _: f"{product.logins_per_s:,.0f}",
    "groups of a user": lambda product, _: f"{product.groups}",
    "joins and leaves a second": lambda product, _: f"{product.joins_per_s:,.0f}",
    "**groups: cores used**": lambda product, cost: f"{product.groups_cores(cost):.2f}",
    "groups: workers to run": lambda product, cost: _workers(product.groups_cores(cost)),
    "**users: cores used**": lambda product, cost: f"{product.users_cores(cost):.2f}",
    "users: workers to run": lambda product, cost: _workers(product.users_cores(cost)),
    "deliveries, MB a second": lambda product, _: f"{product.delivered_mb_per_s:.1f}",
    "of it a gateway reads": lambda product, _: f"{product.delivered_mb_per_s / product.gateways:.2f}",
}
