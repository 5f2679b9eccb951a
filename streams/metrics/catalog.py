"""Every metric of a worker: what it says, what is normal, and what to do when it is not.

All carry `cluster` and `role`. No label grows with apps, groups or users: the longest are topics and routes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: On every metric.
COMMON: Final = ("cluster", "role")

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: its name; a counter's ends in `_total`.
        kind: what it is to Prometheus.
        what: what it says.
        normal: what is normal.
        act: what to do when it is not.
        labels: besides COMMON.
    """

    name: str
    kind: Kind
    what: str
    normal: str
    act: str = ""
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name that its samples have in common."""
        return self.name.removesuffix("_total")


_LANE: Final = ("kind", "partition")

#: By heading, in the order of the docs.
SECTIONS: Final[dict[str, tuple[Metric, ...]]] = {
    "The worker": (
        Metric(
            "linkcast_build_info",
            "gauge",
            "1, with the version of Linkcast and of Python.",
            "one version, but for the minutes of an upgrade",
            labels=("version", "python"),
        ),
        Metric(
            "linkcast_partitions",
            "gauge",
            "How many partitions the cluster has of each kind that this role serves.",
            "never changes",
            labels=("kind",),
        ),
        Metric(
            "linkcast_lane_status",
            "gauge",
            "1 for the status that a partition of this worker is in, 0 for the others. As in `/health`.",
            "`serving`",
            "see the table of statuses",
            (*_LANE, "status"),
        ),
        Metric(
            "linkcast_recovery_ratio",
            "gauge",
            "How much of its state a partition has read: 0 to 1.",
            "1",
            "below 1 it does not serve yet; wait while it rises",
            _LANE,
        ),
        Metric(
            "linkcast_rebalances_total",
            "counter",
            "How often the group gave out its partitions anew.",
            "rises when a worker comes or goes",
            "rises by itself: workers are silent for longer than `session_timeout_ms`; look for pauses and full CPUs",
        ),
        Metric(
            "linkcast_rebalance_seconds",
            "gauge",
            "How long the last rebalance took.",
            "below 5",
        ),
        Metric(
            "linkcast_heartbeat_age_seconds",
            "gauge",
            "Since when the group has not answered.",
            "below 2 (`heartbeat_ms` and a bit)",
            "above half of `session_timeout_ms` views are refused; see whether Kafka answers",
        ),
    ),
    "Work": (
        Metric(
            "linkcast_records_total",
            "counter",
            "Input records applied and committed.",
            "follows the load",
            labels=_LANE,
        ),
        Metric(
            "linkcast_batches_total", "counter", "Batches with records committed.", "up to 50 a second", labels=_LANE
        ),
        Metric(
            "linkcast_ticks_total",
            "counter",
            "Batches without records: timers and clean-ups.",
            "about one a second at rest; more during a clean-up",
            labels=_LANE,
        ),
        Metric(
            "linkcast_lag_records",
            "gauge",
            "Offsets between what was taken and the topic's end.",
            "near 0; a spike that falls again",
            "rises for minutes: more comes in than this worker takes; add workers, up to one a partition",
            (*_LANE, "topic"),
        ),
        Metric(
            "linkcast_oldest_record_age_seconds",
            "gauge",
            "Age of the oldest fetched record that is not committed, by append time; 0 if there is none.",
            "below 0.2",
            "what users feel as delay; see which step of the batch takes long, and the lag",
            _LANE,
        ),
        Metric(
            "linkcast_batch_records",
            "histogram",
            "Records of a batch.",
            "few at rest, hundreds under load; the limit is BATCH_RECORDS",
            labels=("kind",),
        ),
        Metric(
            "linkcast_batch_step_seconds",
            "histogram",
            "Seconds of a batch's steps: `apply` (decode, decide), `effects` (Cassandra and Redis), `send` (write to "
            "Kafka), `commit` (end of the transaction), `keep` (local copy of the state).",
            "`apply` below 0.05, `send` and `commit` below 0.02, `keep` below 0.005",
            "`send` or `commit` high: the broker; `effects` high: a store; `apply` high: CPU; `keep` high: the disk",
            ("kind", "step"),
        ),
        Metric(
            "linkcast_transaction_seconds",
            "histogram",
            "Seconds from the begin of a transaction to its commit.",
            "p50 0.006, p99 below 0.05",
            "readers of a link wait for open transactions: look at the broker's load and disk",
            ("kind",),
        ),
        Metric(
            "linkcast_aborts_total",
            "counter",
            "How often a partition forgot its memory and began anew, by reason.",
            "does not rise, but for a rebalance (`not_owner`, `fenced`)",
            "`timeout`, `kafka`: the broker; `fenced`: two owners; `store`: the disk; `hole`, `other`: see the log",
            ("kind", "reason"),
        ),
        Metric(
            "linkcast_openings_total",
            "counter",
            "How often a partition began to serve.",
            "after rebalances",
            labels=("kind",),
        ),
        Metric(
            "linkcast_opening_seconds",
            "histogram",
            "Seconds from an assignment, or from beginning anew, until it served.",
            "below 1 with a local copy",
            "see linkcast_recovery_seconds",
            ("kind",),
        ),
        Metric(
            "linkcast_recovery_seconds",
            "histogram",
            "Seconds it took to read state from the changelog.",
            "below 1 with a local copy; without one it grows with the rows",
            "give workers lasting folders and names (`--name`)",
            ("kind",),
        ),
        Metric(
            "linkcast_output_records_total",
            "counter",
            "Records written, by topic. A lot of many entries is one record.",
            "deliveries: at most one a link and batch",
            labels=("kind", "topic"),
        ),
        Metric(
            "linkcast_output_bytes_total",
            "counter",
            "Bytes written, by topic, before compression.",
            "payload times links, and a half",
            labels=("kind", "topic"),
        ),
        Metric(
            "linkcast_rejects_total",
            "counter",
            "Records that could not be applied and went to `rejects`, by reason.",
            "does not rise",
            "somebody writes bad records, or `handler_failed`: a defect. Read `rejects`; see the codes",
            ("kind", "reason"),
        ),
        Metric(
            "linkcast_poisoned_total",
            "counter",
            "Records whose handler raised; each went to `rejects` as `handler_failed`.",
            "0",
            "a defect of Linkcast: report it with the record from `rejects`",
            ("kind",),
        ),
    ),
    "Groups": (
        Metric("linkcast_messages_total", "counter", "Messages numbered and delivered.", "follows the load"),
        Metric(
            "linkcast_delivery_entries_total",
            "counter",
            "Entries of messages to links: one a message and link that listens.",
            "messages times links a group, never times members",
        ),
        Metric(
            "linkcast_messages_narrow_total",
            "counter",
            "Messages sent to those only who show the channel, as the group's drive mode, its size, a burst or a slow "
            "link has it; the others get notices.",
            "follows the large servers' load",
            "rises suddenly: see linkcast_bursts and linkcast_links_slow",
        ),
        Metric(
            "linkcast_bursts",
            "gauge",
            "Channels in which more is written than `burst_per_s`: who does not show them gets notices.",
            "0, or a few live events",
            "many for long: `burst_per_s` of the app's policy is too low for it, or somebody floods channels",
        ),
        Metric(
            "linkcast_unread_notices_total",
            "counter",
            "Entries to links that say how many messages of a channel are new, in place of the messages.",
            "at most five a second for each channel and link (`unread_window_ms`)",
        ),
        Metric(
            "linkcast_unread_messages_total",
            "counter",
            "Messages that these notices stand for, each counted once whatever the number of links.",
            "more than notices where much is written",
        ),
        Metric(
            "linkcast_mentions_total",
            "counter",
            "Sessions told that a message mentions their user.",
            "follows the load",
        ),
        Metric(
            "linkcast_subscribed_total",
            "counter",
            "Subscriptions that came into force, by level. How many a channel has now: its view.",
            "follows what is shown; the wave after a link died",
            labels=("level",),
        ),
        Metric("linkcast_signals_total", "counter", "Signals delivered to those online only.", "follows the load"),
        Metric(
            "linkcast_resends_total",
            "counter",
            "Messages known from before, answered with the number they have.",
            "a small share of messages",
            "gateways wait too briefly for answers, or answers come late: see the age of the oldest record",
        ),
        Metric(
            "linkcast_refused_total",
            "counter",
            "Sends and commands refused with a code.",
            "a small share",
            "see what the code means among the error codes",
            ("code",),
        ),
        Metric(
            "linkcast_signals_shed_total",
            "counter",
            "Signals dropped because they would have come late.",
            "none",
            "a partition is behind: see the age of its oldest record; sends are refused as `overloaded` next",
        ),
        Metric(
            "linkcast_resyncs_total",
            "counter",
            "Times a gateway asked for all its bindings anew.",
            "a few when gateways start or workers move",
            "rises steadily: gateways lose deliveries or read too slowly; see their logs",
        ),
        Metric(
            "linkcast_resyncs_answered_total",
            "counter",
            "Resyncs answered with all bindings of the link. The others came from dead registrations.",
            "as many as were asked for",
        ),
        Metric(
            "linkcast_bindings_begun_total", "counter", "Sessions that began to listen to a group.", "follows logins"
        ),
        Metric("linkcast_bindings_ended_total", "counter", "Sessions that ceased to.", "follows logouts"),
        Metric(
            "linkcast_hints_total",
            "counter",
            "Hints to links that a group changed.",
            "at most a few a second for each group that changes and link that listens",
        ),
        Metric(
            "linkcast_notices_total",
            "counter",
            "Notices to persons, put into their inboxes. Those merged inside a batch count once.",
            "follows invites, joinings, kicks and roles given; never imports",
        ),
        Metric("linkcast_groups_in_memory", "gauge", "Groups held in memory.", "up to its bound a partition"),
        Metric(
            "linkcast_groups_used_total",
            "counter",
            "Groups touched, counted once a batch: those not loaded were hits of the cache in memory.",
            "follows the load",
        ),
        Metric(
            "linkcast_groups_loaded_total",
            "counter",
            "Groups loaded from the local store: misses of the cache in memory.",
            "a small share of groups used",
            "more than a tenth: more groups are active than memory is given; add workers",
        ),
        Metric(
            "linkcast_groups_dropped_total",
            "counter",
            "Groups that left memory for others.",
            "0 until memory is full, then as many as are loaded",
        ),
    ),
    "Sessions": (
        Metric("linkcast_sessions_begun_total", "counter", "Sessions that began.", "follows logins"),
        Metric(
            "linkcast_sessions_ended_total",
            "counter",
            "Sessions that ended: by themselves, replaced, kicked, or not resumed in time.",
            "follows logouts",
        ),
        Metric(
            "linkcast_sessions_lost_total",
            "counter",
            "Sessions whose connection broke; each waits `resume_ms` to be resumed.",
            "follows the quality of networks",
            "rises suddenly: a gateway, or a network before it, is in trouble",
        ),
        Metric(
            "linkcast_sessions_resumed_total",
            "counter",
            "Sessions that asked to go on, by whether what they were was still known.",
            '`known="no"` a small share',
            "`no` prevails: clients come back later than `resume_ms`, or name a wrong session",
            ("known",),
        ),
        Metric(
            "linkcast_sessions_late_total",
            "counter",
            "Connections that gateways told of only after their clients had gone on elsewhere; they begin nothing.",
            "0",
            "rises: a gateway is cut off from Kafka now and then, and its clients leave it",
        ),
        Metric(
            "linkcast_sessions_replaced_total",
            "counter",
            "Sessions ended by a new one of the same user, as the policy's `sessions` says.",
            "a small share of sessions begun",
            "much: two clients of one device end each other in turns",
        ),
        Metric("linkcast_sessions_kicked_total", "counter", "Sessions ended by `kick`.", "rare"),
        Metric(
            "linkcast_sessions_turned_total",
            "counter",
            "Times a session's turn to the background, or back, was told to groups; repeats within `ground_window_ms` "
            "are not.",
            "at most one in `ground_window_ms` and session",
        ),
        Metric(
            "linkcast_presence_total",
            "counter",
            "States of users told to links whose sessions watch them.",
            "at most one a user, link and `presence_window_ms`",
        ),
    ),
    "Links": (
        Metric(
            "linkcast_links",
            "gauge",
            "Living links. Only the owner of `links` tells it.",
            "as many as there are gateways",
            "fewer: a gateway is away or its beats are late",
        ),
        Metric("linkcast_sessions", "gauge", "Sessions on living links, as their beats say.", "those online"),
        Metric(
            "linkcast_links_slow",
            "gauge",
            "Links that are behind with what a groups partition wrote: they get notices in place of messages. One that "
            "is slow for four partitions counts four times.",
            "0",
            "the gateway, or its network, is overloaded: see the troubleshooting page on slow links",
        ),
        Metric(
            "linkcast_links_overrun",
            "gauge",
            "Links that fell so far behind that they get nothing but answers and mentions until they begin anew.",
            "0",
            "as above; a link that stays overrun does not ask for a resync: its gateway hangs",
        ),
        Metric(
            "linkcast_links_backlog_bytes",
            "gauge",
            "Bytes of deliveries that links have not acknowledged.",
            "what is written in a second or two",
            "rises: some link is slow; see which on the Link map's view of links",
        ),
        Metric(
            "linkcast_acks_total", "counter", "Acknowledgements of links.", "one a second, link and partition at most"
        ),
        Metric(
            "linkcast_entries_dropped_total",
            "counter",
            "Entries not written to links that are overrun. Their clients pull.",
            "does not rise",
            "as linkcast_links_overrun",
        ),
    ),
    "Stores": (
        Metric(
            "linkcast_stored_messages_total", "counter", "Messages written to both stores.", "as many as messages_total"
        ),
        Metric(
            "linkcast_store_seconds",
            "histogram",
            "Seconds of a request that Cassandra or Redis answered. A write holds many rows.",
            "cassandra: write below 0.05, read below 0.02; redis: below 0.005",
            "the store is overloaded or far away",
            ("store", "operation"),
        ),
        Metric(
            "linkcast_store_failures_total",
            "counter",
            "Tries of the sinks that a store did not answer.",
            "does not rise",
            "the store is away: bring it back; nothing is lost meanwhile",
            ("store",),
        ),
        Metric(
            "linkcast_store_waiting_lanes",
            "gauge",
            "Partitions that stand still until a store answers.",
            "0",
            "as above",
            ("store",),
        ),
    ),
    "Views": (
        Metric(
            "linkcast_view_requests_total",
            "counter",
            "Requests answered, by route and status.",
            "5xx: a small share",
            "503 during rebalances is normal; 500 is a defect: see the log",
            ("route", "status"),
        ),
        Metric(
            "linkcast_view_seconds",
            "histogram",
            "Seconds of a request.",
            "p99 below 0.1",
            "see linkcast_store_seconds",
            ("route",),
        ),
        Metric(
            "linkcast_view_pages_total",
            "counter",
            "Pages of messages by the tier asked (memory, redis, cassandra, history), and whether the page was whole "
            "after it (`hit`) or the next was asked (`miss`).",
            "most hits in memory and redis",
            "redis misses much: it was flushed or is too small; history is asked much: the sinks lag",
            ("tier", "result"),
        ),
    ),
}

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metrics in SECTIONS.values() for metric in metrics}
