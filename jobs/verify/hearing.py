"""Who of one link's listeners to one group hears what: nobody who must not, and everybody who must.

Who must is asked of events, sessions and answers alone: who sees the channel at the version that a message was decided
at, what is heard of the group unasked, what each session was told that it subscribed to, who is in the background. Then
each has to be named by the message itself, or by a notice that covers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from jobs.verify.listening import Listening
from jobs.verify.owed import Missed, Notices, Owed
from jobs.verify.run import Run
from jobs.verify.wants import Want
from topics.deliveries import Changed, Head, SignalOut, Unread
from topics.messages import TYPING, Message
from topics.sessions import Unsubscribe
from topics.subscriptions import MESSAGE_LEVELS, Level, Subscription

Heard = Message | SignalOut | Head


@dataclass(slots=True)
class _Open:
    """A message whose entries are being read: the sessions that they named, and whether to all who see its channel."""

    message: Message
    number: int
    slots: set[int]
    wide: bool


@dataclass(slots=True, eq=False)
class Hearing:
    """What one group's listeners on one link hear.

    Attributes:
        told: who listens there.
        run: what it is judged by.
    """

    told: Listening
    run: Run
    _owed: dict[str, Owed] = field(default_factory=dict)
    _pushed: dict[str, tuple[int, set[int]]] = field(default_factory=dict)  # the last message to subscribers alone
    _right: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)  # of channels: as last found right
    _notices: Notices = field(init=False)
    _narrow: set[str] = field(default_factory=set)  # channels whose messages became notices for a while
    _open: _Open | None = None
    _next: int = 0  # of the group's messages: the first that was not looked at
    _bulk_ms: int = 0  # when the last lot was appended that was not urgent

    def __post_init__(self) -> None:
        """Nothing was heard yet."""
        self._notices = Notices(self.run.findings)

    # -- messages ----------------------------------------------------------------------------------------------------

    def hear(self, message: Message, number: int, where: str) -> int:
        """A message; gives how many sessions it reaches."""
        told, add = self.told, self.run.findings.add
        if self._open is not None and self._open.number != number:
            self.settle()
        self._pass(number)
        told.check_reset(where, message.map)
        if message.map < told.map:
            add("binding_late", f"{where} {told}: decided at map {message.map}, follows {told.map}")
        told.heard_map = max(told.heard_map, message.map)
        if self._open is None:
            self._open = _Open(message, number, set(), wide=False)
        by_session = self._by_session(message.audience)
        if by_session is None:
            if self._open.wide:
                add("delivered_twice", f"{where} on {told}, to members")
            self._open.wide = True
            if message.audience in told.audiences or not message.audience:
                self._check_joined(where)
        else:
            if twice := by_session & self._open.slots:
                add("delivered_twice", f"{where} on {told}: slots {sorted(twice)[:5]}")
            self._open.slots |= by_session
        return self.reach(message, where, self.run.taken_ms[number])

    def reach(self, entry: Heard, where: str, by_ms: int) -> int:
        """Something for those who see a channel, or asked to hear it. Gives how many sessions it is for."""
        told = self.told
        told.check_strangers(entry.version, where)
        if not self._knows(entry.audience, entry.audience_version, entry.version, where):
            return 0
        if (slots := self._by_session(entry.audience)) is not None:
            self._check_asked(slots, entry.channel, _levels_of(entry), entry.version, by_ms, where)
            return len(slots - told.background)
        if _is_typing(entry):
            self._unasked(told.slots_in(entry.audience) or set(), f"{where}: {TYPING}")
        return self._reach_members(entry, where)

    def reads(self, number: int) -> bool:
        """Whether a message's entries are being read: it may have one more, for other sessions."""
        return self._open is not None and self._open.number == number

    def settle(self) -> None:
        """All entries of a message were read: it must have named all whom it must, and some are due a notice."""
        if (open_ := self._open) is None:
            return
        self._open = None
        message, told = open_.message, self.told
        due = self._subscribed(message, "messages", self.run.taken_ms[open_.number])
        background = told.background
        visitors = {slot for slot in due if slot not in told.slots}
        must = (visitors if open_.wide else due) - background - open_.slots
        if must:
            where = f"{told.group}/{message.channel} seq {message.seq} on {told.registration}"
            self.run.findings.add("seen_unheard", f"{where}: subscribed slots {sorted(must)[:5]}", len(must))
        if not open_.wide:
            self._pushed[message.channel] = message.seq, open_.slots - background
        self._owe(open_.number, self._waiting(open_, due - visitors))

    def _waiting(self, open_: _Open, due: set[int]) -> set[int]:
        """Who is due a notice beside a message that came to the link."""
        told, message = self.told, open_.message
        if open_.wide:
            return self._seeing(told.background & told.slots.keys(), message)
        if told.joined == "none":
            levels: tuple[Level, ...] = ("unread_count", "unread_status")
            taken_ms = self.run.taken_ms[open_.number]
            asked = {slot for level in levels for slot in self._subscribed(message, level, taken_ms)}
            return (due & told.background) | {slot for slot in asked if slot in told.slots}
        seers = told.present.seers(message.channel, message.version).who
        return told.slots_with(seers) - (open_.slots - told.background)

    def _seeing(self, slots: Iterable[int], message: Message) -> set[int]:
        seers = self.told.present.seers(message.channel, message.version).who
        return {slot for slot in slots if self.told.slots[slot].ordinal in seers}

    # -- messages that did not come ----------------------------------------------------------------------------------

    def follow(self, map_: int) -> None:
        """Look at the messages that were decided before a Link map version."""
        self.settle()
        messages, numbers = self.run.history.messages, self._numbers
        while self._next < len(numbers) and messages[numbers[self._next]].map < map_:
            self._look(numbers[self._next])

    def catch_up(self, at_ms: int) -> None:
        """Look at the messages that were kept before a moment."""
        self.settle()
        while self._next < len(self._numbers) and self.run.history.at_ms[self._numbers[self._next]] < at_ms:
            self._look(self._numbers[self._next])

    def skip(self, at_ms: int) -> None:
        """What was kept before a moment was dropped, and is pulled; and so was what the batch of that moment took."""
        kept_ms, taken_ms = self.run.history.at_ms, self.run.taken_ms
        while self._next < len(self._numbers):
            number = self._numbers[self._next]
            if kept_ms[number] >= at_ms and not (taken_ms[number] < at_ms and kept_ms[number] < at_ms + _BATCH_MS):
                break
            self._next += 1

    def _pass(self, number: int) -> None:
        """Look at the messages before this one."""
        while self._next < len(self._numbers) and self._numbers[self._next] < number:
            self._look(self._numbers[self._next])

    @property
    def _numbers(self) -> list[int]:
        return self.run.history.of_group.get(self.told.group.key, [])

    def _look(self, number: int) -> None:
        """A message that may not have come to the link at all: whoever was due it has to be told by a notice."""
        self._next += 1
        run, told = self.run, self.told
        registration, kept_ms = told.registration, run.history.at_ms[number]
        if run.came(registration, number) or kept_ms >= run.due_before_ms:
            return
        if registration.dead(told.group.partition, kept_ms) or told.group.partition in registration.overrun_ms:
            return
        message, taken_ms = run.history.messages[number], run.taken_ms[number]
        slots: set[int] = set()
        if told.joined != "none" and told.steady.sessions:
            seers = told.steady.seers(message.channel, message.version).who
            slots = told.slots_with(seers)
            slots |= {at for at, one in told.forgotten.items() if at not in told.lapsed and one.ordinal in seers}
            asked = self._subscribed(message, "messages", taken_ms)
            slots |= {slot for slot in asked if slot not in told.slots and slot not in told.background}
        elif told.joined in {"none", None}:
            for level in MESSAGE_LEVELS:
                asked = self._subscribed(message, level, taken_ms)
                slots |= {slot for slot in asked if slot in told.slots or slot not in told.background}
        pushed = {slot for slot in slots if told.joined == "messages" and slot not in told.background}
        self._owe(number, pushed, push=True)
        self._owe(number, slots - pushed)

    # -- notices -----------------------------------------------------------------------------------------------------

    def unread(self, entry: Unread, where: str, at_ms: int) -> None:
        """A notice in place of messages."""
        told, add = self.told, self.run.findings.add
        self.settle()
        channel = self.run.history.channels.get((entry.app, entry.group, entry.channel))
        number = channel.by_seq.get(entry.seq) if channel is not None else None
        if number is None:
            add("not_in_history", f"{where} {told}: a notice of {entry.channel} up to {entry.seq}")
            return
        self._pass(number + 1)
        if not self._knows(entry.audience, entry.audience_version, entry.version, where):
            return
        if entry.beside and told.slots_in(entry.beside) is None:
            add("audience_unknown", f"{where} {told}: beside {entry.beside}")
            return
        slots = self._noticed(entry)
        self._check_noticed(entry, slots, number, f"{where} {told}: {entry.channel} up to {entry.seq}")
        if entry.mode != "usual":
            self._narrow.add(entry.channel)
        key = entry.channel, entry.audience, entry.background, entry.level
        status = entry.level == "unread_status"
        self._notices.tell(key, entry.seq, entry.count, at_ms, f"{where} {told}", status=status)
        owed = self._owed.get(entry.channel)
        for slot, due in owed.cover(slots, entry.seq) if owed is not None else ():
            self.run.to_notice.append(at_ms - due.first_ms)
            by_ms = due.first_ms + self._window_ms(key)
            if at_ms > by_ms + self.run.settle_ms and not self._grounded(slot, due.first_ms, by_ms, {False}):
                add("link_missed" if due.push else "unread_late", f"{where} {told}: {entry.channel} up to {entry.seq}")

    def _noticed(self, entry: Unread) -> set[int]:
        """The sessions that a notice is for."""
        told = self.told
        slots = set(told.slots_in(entry.audience) or ())
        if entry.background:
            slots &= told.background
        if entry.beside:
            slots -= (told.slots_in(entry.beside) or set()) - told.background
        return slots

    def _check_noticed(self, entry: Unread, slots: set[int], number: int, where: str) -> None:
        told, add = self.told, self.run.findings.add
        if self._by_session(entry.audience) is not None:
            levels: tuple[Level, ...] = ("messages", "unread_count")
            levels = (entry.level,) if entry.level == "unread_status" else levels
            self._check_asked(slots, entry.channel, levels, entry.version, self._bulk_ms, where)
        else:
            seers = told.slots_with(told.present.seers(entry.channel, entry.version).who)
            if unseen := slots - seers:
                add("heard_unseen", f"{where}: slots {sorted(unseen)[:5]}", len(unseen))
            if told.joined == "none":
                self._unasked(slots, where)
        if told.joined == "messages" and entry.mode == "usual" and (spared := slots & told.slots.keys()):
            spared -= told.background
            if spared:
                add("pushed_less", f"{where}: slots {sorted(spared)[:5]}", len(spared))
        seq, pushed = self._pushed.get(entry.channel, (0, set()))
        kept_ms = self.run.history.at_ms[number]
        both = {slot for slot in slots & pushed if not told.turns.between(slot, kept_ms - _BATCH_MS, _FOREVER)}
        if both and seq == entry.seq:
            add("told_both", f"{where}: slots {sorted(both)[:5]}", len(both))

    def _owe(self, number: int, slots: set[int], *, push: bool = False) -> None:
        if slots:
            message = self.run.history.messages[number]
            owed = self._owed.setdefault(message.channel, Owed())
            owed.owe(slots, message, self.run.history.at_ms[number], push=push)

    # -- hints -------------------------------------------------------------------------------------------------------

    def hint(self, entry: Changed, where: str) -> None:
        """Something of the group changed; channels are named to those who see them."""
        told, add = self.told, self.run.findings.add
        said = f"{where} {told}: since {entry.since} up to {entry.version}"
        if not entry.since < entry.version <= told.group.version or not entry.what:
            add("hint_wrong", said)
        members = told.places(entry.members, where)
        if not members <= told.present.sessions.keys():
            add("hint_wrong", f"{said} for who is not bound: {sorted(members)[:5]}")
        if not entry.members and not self._knows(entry.audience, entry.audience_version, entry.version, where):
            return
        if (asked := self._by_session(entry.audience)) is not None and not entry.members:
            if strange := {slot for slot in asked if not self._any(slot)}:
                add("hint_wrong", f"{said} for who did not ask: slots {sorted(strange)[:5]}", len(strange))
            self._name_channels(entry, asked, said)
            return
        if not told.present.sessions:
            add("hint_wrong", f"{said} for nobody")
        among = told.slots_in(entry.among) if entry.among else None
        if entry.among and among is None:
            add("audience_unknown", f"{said} among {entry.among}")
            return
        named = members if entry.members else told.ordinals_in(entry.audience) or set()
        slots = told.slots_with(named)
        for_askers = entry.among or not entry.members
        if told.joined == "none" and for_askers and entry.what != ["visibility"]:  # of that all hear whom it is about
            strange = {slot for slot in (slots & among if among is not None else slots) if not self._any(slot)}
            if strange:
                add("hint_wrong", f"{said} for who did not ask: slots {sorted(strange)[:5]}", len(strange))
        self._name_channels(entry, slots & among if among is not None else slots, said)

    def _name_channels(self, entry: Changed, slots: set[int], said: str) -> None:
        told = self.told
        for channel in entry.channels:
            seers = told.present.seers(channel, entry.version).who
            bound = {slot for slot in slots if slot in told.slots}
            unseen = {slot for slot in bound if told.slots[slot].ordinal not in seers}
            unseen |= {slot for slot in slots - bound if not self._sees(slot, channel, entry.version)}
            if unseen:
                who = ", ".join(sorted({self._user(slot) for slot in unseen})[:5])
                self.run.findings.add(
                    "hint_wrong", f"{said} names {channel} to who does not see it: {who}", len(unseen)
                )

    # -- the end -----------------------------------------------------------------------------------------------------

    def turn(self, slots: Iterable[int], at_ms: int) -> None:
        """Sessions go to the background, or come from there."""
        self.settle()
        for slot in slots:
            self.told.turns.turn(slot, at_ms)

    def passed(self, at_ms: int) -> None:
        """A lot that was not urgent was read to its end."""
        self._bulk_ms = at_ms

    def close(self) -> None:
        """The run is over: whatever is due and young enough to have been told has to have been."""
        self.settle()
        self.catch_up(_FOREVER)
        told = self.told
        told.close()
        for owed in self._owed.values():
            for missed in owed.left():
                self._judge_missed(missed)
        self._notices.close(self._window_ms, str(told))

    def _grounded(self, slot: int, from_ms: int, to_ms: int, turned: set[bool]) -> bool:
        """Whether a session turned away (True) or came back then: what was on its way may have passed it by."""
        session = self.told.registration.sessions.get(slot)
        grounds = [] if session is None else session.grounds[1:]
        first_ms = from_ms - self.run.settle_ms  # it may have been applied so much later
        return any(first_ms <= at_ms <= to_ms + _BATCH_MS and on in turned for at_ms, on in grounds)

    def _judge_missed(self, missed: Missed) -> None:
        due, slot, told, run = missed.due, missed.slot, self.told, self.run
        late_ms = due.last_ms + run.settle_ms + run.policies.last(told.group.key[0]).unread_window_ms
        session, message = told.registration.sessions.get(slot), due.last
        if due.last_ms >= run.due_before_ms:
            return
        where = f"{told.group}/{message.channel} seq {message.seq} on {told.registration}: slot {slot}"
        came_back = self._grounded(slot, due.first_ms, due.last_ms, {False})  # then it was due to another, or no notice
        if due.push and message.channel not in self._narrow and not came_back:
            run.findings.add("link_missed", where)
            return
        if told.registration.first_void_ms <= late_ms or session is None or session.down_ms <= late_ms:
            return
        if told.turns.between(slot, due.last_ms - _BATCH_MS, late_ms) or self._grounded(
            slot, due.last_ms, late_ms, {False, True}
        ):
            return
        user, later = session.user[1], told.group.version_at(late_ms)
        if told.group.sees_throughout(user, message.channel, message.version, max(message.version, later)):
            run.findings.add("unread_missed", where)

    # -- who may, and who must ---------------------------------------------------------------------------------------

    def _reach_members(self, entry: Heard, where: str) -> int:
        told = self.told
        named = told.ordinals_in(entry.audience) or set()
        audience = told.audiences.get(entry.audience)
        seers = told.present.seers(entry.channel, entry.version)
        state = entry.audience, audience.stamp if audience else 0, len(told.present.changes), seers.stamp
        found, reached = self._right.get(entry.channel, ((), 0))
        if found != state or not reached:
            reached = len(told.slots) if audience is None else sum(map(told.present.sessions.__getitem__, named))
            if self._compare(entry, named, seers.who, where):
                self._right[entry.channel] = state, reached
        if not reached:
            self.run.findings.add("nobody", f"{where} {told}")
        return reached

    def _compare(self, entry: Heard, named: AbstractSet[int], seers: set[int], where: str) -> bool:
        said = f"{where} {self.told} at version {entry.version}, audience {entry.audience}"
        for rule, wrong in (("heard_unseen", named - seers), ("seen_unheard", seers - named)):
            if wrong:
                users = [self.told.user_of(ordinal) for ordinal in sorted(wrong)[:5]]
                self.run.findings.add(rule, f"{said}: {', '.join(users)}", len(wrong))
        return named == seers

    def _check_asked(
        self, slots: set[int], channel: str, levels: tuple[Level, ...], version: int, by_ms: int, where: str
    ) -> None:
        """Those of an audience of sessions were told that they subscribed, and still see the channel."""
        wants: list[Want] = [(level, channel) for level in levels]
        for slot in slots:
            self.told.inherit(slot, by_ms)
        strange = {slot for slot in slots if not self.told.wants.may(slot, wants, by_ms)}
        self._unasked({slot for slot in strange if not self._asks_again(slot, wants)}, where)
        if unseen := {slot for slot in slots if not self._sees(slot, channel, version)}:
            said = ", ".join(sorted({self._user(slot) for slot in unseen})[:5])
            self.run.findings.add("heard_unseen", f"{where} {self.told} at version {version}: {said}", len(unseen))

    def _asks_again(self, slot: int, wants: list[Want]) -> bool:
        """Whether a session that was resumed here had asked for one of these: it gets what it sees of all it had."""
        session = self.told.registration.sessions.get(slot)
        if session is None or session.before is None:
            return False
        group = self.told.group.key[1]
        return any(session.asks(Subscription(group, level, channel)) for level, channel in wants)

    def _check_joined(self, where: str) -> None:
        if self.told.joined in {"unread_count", "none"}:
            self._unasked(set(self.told.slots), f"{where}: all hear {self.told.joined}")

    def _unasked(self, slots: set[int], where: str) -> None:
        if slots:
            self.run.findings.add("heard_unasked", f"{where} {self.told}: slots {sorted(slots)[:5]}", len(slots))

    def _subscribed(self, message: Message, level: Level, taken_ms: int) -> set[int]:
        """The sessions that must be known to have subscribed to a message's channel when it was decided."""
        told, found = self.told, set()
        for slot in told.wants.slots((level, message.channel)):
            since_ms = told.wants.since(slot, (level, message.channel))
            session = told.registration.sessions.get(slot)
            if since_ms is None or session is None or since_ms >= taken_ms:
                continue
            want = (level, message.channel)
            user, group = session.user[1], told.group
            asked_ms = session.asked_by(since_ms, Subscription(message.group, *want))
            early, late = group.version_at(min(since_ms, asked_ms)), group.version_at(since_ms)
            if not group.sees_throughout(user, message.channel, late, message.version):
                told.wants.end(slot, want, taken_ms)
            elif not group.sees_throughout(user, message.channel, early, late):
                told.wants.doubt(slot, want, taken_ms)
            elif session.alive(taken_ms) and not self._takes_back(slot, message, level, since_ms):
                found.add(slot)
        return found

    def _takes_back(self, slot: int, message: Message, level: Level, since_ms: int) -> bool:
        """Whether a session asked to hear it no more, and maybe in time."""
        asked = self.told.registration.sessions[slot].asked
        return any(
            isinstance(record, Unsubscribe)
            and since_ms <= at_ms
            and any(
                (one.group, one.level, one.channel) == (message.group, level, message.channel)
                for one in record.subscriptions
            )
            for at_ms, record in asked
        )

    def _knows(self, audience: int, audience_version: int, version: int, where: str) -> bool:
        """Whether the link was told of an audience, and of this version of it."""
        if not audience:
            return True
        said = f"{where} {self.told}: audience {audience}"
        if (known := self.told.audiences.get(audience)) is None:
            self.run.findings.add("audience_unknown", said)
            return False
        if not known.version <= audience_version <= version:
            versions = f"told at {known.version}, named at {audience_version}, sent at {version}"
            self.run.findings.add("audience_version", f"{said} {versions}")
        return True

    def _by_session(self, audience: int) -> set[int] | None:
        """The slots of an audience that is made of sessions; None for one that is not."""
        known = self.told.audiences.get(audience) if audience else None
        return known.members if known is not None and known.by == "session" else None

    def _sees(self, slot: int, channel: str, version: int) -> bool:
        session = self.told.registration.sessions.get(slot)
        return session is not None and self.told.group.user_sees(session.user[1], channel, version)

    def _any(self, slot: int) -> bool:
        self.told.inherit(slot, self._bulk_ms)
        session = self.told.registration.sessions.get(slot)
        resumed = session is not None and session.before is not None and bool(session.asked)
        return resumed or self.told.wants.any(slot, self._bulk_ms)

    def _user(self, slot: int) -> str:
        session = self.told.registration.sessions.get(slot)
        return f"nobody, slot {slot}" if session is None else session.user[1]

    def _window_ms(self, key: tuple[object, ...]) -> int:
        policy = self.run.policies.last(self.told.group.key[0])
        return policy.status_window_ms if key[3] == "unread_status" else policy.unread_window_ms


def _levels_of(entry: Heard) -> tuple[Level, ...]:
    if isinstance(entry, Head):
        return MESSAGE_LEVELS
    return ("typing",) if _is_typing(entry) else ("messages",)


def _is_typing(entry: Heard) -> bool:
    return isinstance(entry, SignalOut) and entry.kind == TYPING


_FOREVER: Final = 1 << 62
_BATCH_MS: Final = 1_000  # what one batch writes may be appended so far apart
