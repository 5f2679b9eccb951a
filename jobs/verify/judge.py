"""The judge: a run as seen from outside in, a verdict out. Pure; it reads nothing but what it is given."""

from __future__ import annotations

from typing import Final

from jobs.verify.answers import Answers
from jobs.verify.commands import judge_commands, replay_commands
from jobs.verify.deliveries import Deliveries, arrived
from jobs.verify.drives import Drives
from jobs.verify.findings import Findings
from jobs.verify.history import History
from jobs.verify.links import Registrations
from jobs.verify.members import NEVER, Groups
from jobs.verify.notices import judge_notices
from jobs.verify.policies import Policies
from jobs.verify.reached import Reached
from jobs.verify.rejects import Rejects
from jobs.verify.report import Latency, Report
from jobs.verify.run import Run
from jobs.verify.said import Said
from jobs.verify.sends import SendJudge, Sends
from jobs.verify.stores import judge_stores
from jobs.verify.world import World
from topics import catalog

#: The topics that a run is judged by, in the order in which they have to be read while it goes on: what follows from a
#: record before the record, so that nothing is seen without its cause. What is read first must not be read for long.
TOPICS: Final = (
    catalog.STORED,
    catalog.DELIVERIES,
    catalog.ANSWERS,
    catalog.REJECTS,
    catalog.HISTORY,
    catalog.NOTICES,
    catalog.RELATION_EVENTS,
    catalog.LINK_VOIDS,
    catalog.MESSAGES,
    catalog.RELATIONS,
    catalog.RESYNC,
    catalog.LINK_ACKS,
    catalog.POLICIES,
    catalog.SESSIONS,
    catalog.LINKS,
)
SETTLE_MS: Final = 20_000
EXAMPLES: Final = 10


def judge(world: World, *, settled: bool, settle_ms: int = SETTLE_MS, examples: int = EXAMPLES) -> Report:
    """Judges a run by every rule of `findings.RULES`.

    Args:
        world: what the topics, and where given the stores, hold.
        settled: the run has come to rest: nothing is under way, so everything has to be answered, stored and bound.
            Else what is younger than `settle_ms` may still be under way.
        settle_ms: a session or a membership as old as this has to be heard of by all.
        examples: how many breaches of each kind are told in words.
    """
    findings, report = Findings(examples), Report(planned=list(world.planned))
    due_before_ms = NEVER if settled else world.newest_ms() - settle_ms
    rejects = Rejects(world, findings, due_before_ms)
    groups, policies, said = Groups(world, findings), Policies(world, findings), Said(world, findings)
    registrations = Registrations(world, rejects, policies, findings)
    history = History(world, groups, findings)
    answers = Answers(world, findings)
    sends = Sends(world, rejects)
    run = Run(
        history,
        [sends.taken_ms(message) for message in history.messages],
        arrived(world, registrations, history.channels),
        policies,
        Drives(policies),
        findings,
        due_before_ms,
        settle_ms,
    )
    deliveries = Deliveries(world, groups, registrations, run, answers, said)

    outcomes = replay_commands(world, groups, rejects, policies, findings, due_before_ms)
    judge_commands(outcomes, answers, registrations, findings, due_before_ms)
    SendJudge(sends, history, answers, groups, registrations, findings, due_before_ms).judge(report)
    reached = Reached(groups, registrations, history, deliveries, sends, findings, due_before_ms)
    reached.judge_settled(settle_ms)
    if settled:
        reached.judge_end()
        reached.judge_drives(run.drives)
    told = {(one.told.registration, one.told.group.key): one.told for one in deliveries.all()}
    deliveries.mentions.judge(registrations, told)
    deliveries.sessions.judge(due_before_ms, settled=settled)
    judge_notices(said, groups, policies, findings, due_before_ms)
    judge_stores(world, history, findings, settled=settled)

    report.resends, report.signals = sends.resends, sends.signals
    report.rejected, report.rejects = rejects.count, rejects.shown
    report.groups = sum(bool(group.events) for group in groups.by_key.values())
    report.registrations = len(registrations.by_key)
    report.sessions = sum(len(registration.sessions) for registration in registrations.by_key.values())
    report.lots, report.deliveries, report.reached = deliveries.lots, deliveries.messages, deliveries.reached
    report.stored = None if world.stored is None else len(world.stored)
    report.cached = None if world.cached is None else len(world.cached)
    report.notices, report.to_notice = deliveries.notices, Latency.of(run.to_notice)
    report.append_to_append = Latency.of(deliveries.append_to_append)
    report.up_to_bound = Latency.of(deliveries.up_to_bound)
    report.conclude(findings)
    return report
