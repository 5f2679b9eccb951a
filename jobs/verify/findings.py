"""Every rule that a run is judged by, and what was found against them."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, get_args

Kind = Literal["lost", "doubled", "out_of_order", "wrong_recipients", "missed_recipients"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: rule -> (what a breach of it is, the breach in words).
RULES: Final[dict[str, tuple[Kind, str]]] = {
    # Sends and their answers.
    "send_lost": ("lost", "a send ended neither in history nor refused nor rejected"),
    "try_unanswered": ("lost", "a send that asked for an answer got none, though its link lived"),
    "refused_wrongly": ("lost", "a send was refused for a reason that was not so"),
    "accepted_not_kept": ("lost", "a send was answered `accepted`, but history does not hold it"),
    "altered": ("lost", "a message is not what was sent, or not the same in history and deliveries"),
    "numbered_twice": ("doubled", "one send has two numbers in its channel"),
    "never_sent": ("doubled", "history holds a message that nobody sent"),
    "answered_twice": ("doubled", "a try has more answers than one"),
    "first_twice": ("doubled", "two answers to one send both say that it was new"),
    "seq_differs": ("doubled", "an answer names another number than history"),
    "answer_unasked": ("wrong_recipients", "an answer went to who had not asked"),
    "sender_no_member": ("wrong_recipients", "a message of who was no member was accepted"),
    "sender_blind": ("wrong_recipients", "a message of who did not see its channel was accepted"),
    "sender_not_permitted": ("wrong_recipients", "a message of who was not permitted to send there was accepted"),
    "sender_muted": ("wrong_recipients", "a message was accepted though its sender, channel or group was muted"),
    # History.
    "seq_hole": ("lost", "a channel's numbers have a hole"),
    "seq_twice": ("doubled", "a channel has a number twice"),
    "seq_order": ("out_of_order", "a channel's numbers fall"),
    "prev_broken": ("out_of_order", "`prev` is not the number before"),
    "counter_order": ("out_of_order", "a channel's event counter does not rise"),
    "version_order": ("out_of_order", "a group's version, or its Link map's, falls from message to message"),
    "misplaced": ("out_of_order", "a record stands in another partition than its group's"),
    # Commands and events.
    "event_lost": ("lost", "an applied command has no event, or a group's versions have a hole"),
    "command_unanswered": ("lost", "a command that asked for an answer got none, though its link lived"),
    "event_twice": ("doubled", "an event stands twice, or nobody commanded it"),
    "event_order": ("out_of_order", "a group's versions fall"),
    "event_differs": ("wrong_recipients", "an event's users are not those that the command changed"),
    "command_answer": ("wrong_recipients", "the answer to a command does not tell what it did"),
    "ordinal_reused": ("wrong_recipients", "a member got an ordinal that was another's, or one out of turn"),
    # Rejects.
    "rejected_wrongly": ("lost", "a record was rejected that is well-formed"),
    "reject_unknown": ("lost", "a reject names a record that does not exist"),
    "dropped": ("lost", "a malformed record vanished without a reject"),
    "rejected_twice": ("doubled", "a record was rejected twice"),
    "unreadable": ("lost", "the pipeline wrote a record that cannot be decoded"),
    # Deliveries.
    "lot_hole": ("lost", "a source's lots for a link have a hole"),
    "lot_twice": ("doubled", "a source's lot for a link stands twice"),
    "lot_order": ("out_of_order", "a source's lots for a link fall in number"),
    "not_in_history": ("lost", "a message was delivered that history does not hold"),
    "delivered_twice": ("doubled", "a link got a message twice"),
    "delivery_order": ("out_of_order", "a link got a channel's messages in another order"),
    "nobody": ("wrong_recipients", "something went to a link where nobody who sees it listened"),
    "other_partition": ("wrong_recipients", "a lot stands in a partition that its registration was not given"),
    "void_untold": ("lost", "the death of a link was not told to every partition"),
    # Who listens.
    "bound_twice": ("doubled", "a session was bound that was bound already: it would hear all twice"),
    "map_order": ("out_of_order", "a group's Link map version falls on a link"),
    "binding_late": ("out_of_order", "a change of bindings stands on the wrong side of a message"),
    "unbound_unknown": ("out_of_order", "a session was unbound that was not bound"),
    # Who sees what is sent.
    "heard_unseen": ("wrong_recipients", "something names a listener who does not see its channel at its version"),
    "seen_unheard": ("missed_recipients", "a listener who sees the channel is left out of what is sent into it"),
    "audience_unknown": ("missed_recipients", "an audience is named that the link was not told of"),
    "audience_chain": ("out_of_order", "an audience's changes are not those between what was told before and after"),
    "audience_version": ("out_of_order", "an audience's version falls, or lies past what names it"),
    "audience_unbound": ("wrong_recipients", "an audience names who is not bound on its link"),
    "heard_unasked": (
        "wrong_recipients",
        "something went to a session that does not hear it unasked, and was not told that it subscribed to it",
    ),
    "pushed_less": ("missed_recipients", "a notice went in place of messages, though nothing was too much"),
    "told_both": ("doubled", "a session got a message, and a notice in place of it"),
    "unread_missed": (
        "missed_recipients",
        "a session was due a message that it asked for, or a notice of it, and got neither",
    ),
    "unread_late": ("missed_recipients", "the notice of a message came long after its window"),
    "unread_order": ("out_of_order", "a channel's notices on a link do not rise"),
    "unread_count": ("wrong_recipients", "a notice counts other messages than those since the last one"),
    "unread_often": ("doubled", "a channel's notices came more often than their window allows"),
    "mention_wrong": ("wrong_recipients", "a mention went to who is not mentioned, or does not see the channel"),
    "mention_twice": ("doubled", "a session was told of a mention twice"),
    "mention_missed": ("missed_recipients", "a session of who is mentioned was not told"),
    "drive_wrong": (
        "wrong_recipients",
        "what is heard of a group unasked is not what its kind, its size and the policy make it",
    ),
    "ground_wrong": ("wrong_recipients", "a link was told wrongly who is in the background"),
    "urgent_mixed": ("out_of_order", "a lot that goes ahead holds more than answers and mentions"),
    "overrun_ignored": ("doubled", "a link that fell too far behind was told more than answers before it began anew"),
    "hint_wrong": (
        "wrong_recipients",
        "a hint is for who is not bound, or names a channel to who does not see it, or is of no change",
    ),
    "told_wrong": ("wrong_recipients", "a notice went to a session that is not its person's, or nobody had it to say"),
    "told_twice": ("doubled", "a link was told a notice of a person twice"),
    "no_session": ("wrong_recipients", "a slot was bound that is no session of the link"),
    "other_user": ("wrong_recipients", "a slot was bound under the ordinal of another user"),
    "stranger": ("wrong_recipients", "a message reached the session of who was no member at its version"),
    "still_bound": ("wrong_recipients", "at the end a session is bound that is down, or whose user is no member"),
    "link_missed": (
        "missed_recipients",
        "a message did not go to a link that had listeners who saw its channel when it was decided",
    ),
    "reset_forgot": ("missed_recipients", "after a reset bindings were not given anew"),
    "settled_missed": ("missed_recipients", "a session that was up, of who was a member, for long, was not reached"),
    "not_bound": ("missed_recipients", "at the end a member's session is up and not bound"),
    # Persons.
    "person_untold": ("missed_recipients", "a person who took part in a change was not told of it in person"),
    "person_misled": ("wrong_recipients", "a person was told of a change without a part in it, or of none"),
    "person_told_twice": ("doubled", "a person was told twice of one change"),
    # Sessions.
    "resume_unanswered": ("lost", "a session that came again was not told whether it goes on"),
    "resume_wrong": ("wrong_recipients", "a session was told wrongly whether it goes on"),
    "ended_wrong": ("wrong_recipients", "a session was told that another one ended it, and none did"),
    "ended_twice": ("doubled", "a session was told twice that it ended"),
    "ended_untold": ("missed_recipients", "a session that another one ended was not told"),
    "presence_unasked": ("wrong_recipients", "a session was told of a user whom it does not watch"),
    "presence_order": ("out_of_order", "a user's state on a link is older than the one before"),
    "presence_missed": ("missed_recipients", "at the end a session was never told of a user whom it watches"),
    "presence_wrong": ("wrong_recipients", "at the end a session takes a user for another than it is"),
    # Stores.
    "not_stored": ("lost", "a message below the `stored` watermark, or an old one, is not in Cassandra"),
    "not_cached": ("lost", "the newest message below the watermark is not in Redis"),
    "cache_hole": ("lost", "the entries of a channel in Redis have a hole"),
    "stored_unknown": ("doubled", "Cassandra or Redis holds a message that history does not"),
    "stored_twice": ("doubled", "Cassandra or Redis holds a message twice"),
    "stored_differs": ("lost", "a stored message is not the one of history"),
    "stored_prev": ("out_of_order", "a stored message has another `prev` than history"),
}


class Findings:
    """Breaches by rule, with the first few examples of each kind."""

    def __init__(self, examples: int) -> None:
        self.by_rule: Counter[str] = Counter()
        self.examples: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
        self._most = examples

    def add(self, rule: str, where: object, count: int = 1) -> None:
        """A breach of `rule`, `count` times, seen at `where`."""
        kind, meaning = RULES[rule]
        self.by_rule[rule] += count
        if len(self.examples[kind]) < self._most:
            self.examples[kind].append(f"{rule}: {meaning}: {where}" + (f" (x{count})" if count > 1 else ""))

    def count(self, kind: Kind) -> int:
        """How many breaches of a kind there are."""
        return sum(count for rule, count in self.by_rule.items() if RULES[rule][0] == kind)
