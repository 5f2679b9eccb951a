from __future__ import annotations

import zlib
from collections import Counter

from jobs.bench.world import APP, Churn, Crowd, Sends, bodies, link_name
from topics.bindings import Bind, Unbind
from topics.codec import decode
from topics.keys import key_of, partition_of
from topics.messages import Send
from topics.wire import ToSession

CROWD = Crowd(groups=30, members=20, links=10, partitions=4)


def test_bodies_are_json_of_the_asked_size_that_packs_badly() -> None:
    made = bodies(100, 200)
    assert {len(body) for body in made} == {200}
    assert len(zlib.compress(b"".join(made), 9)) > 0.8 * 100 * 200


def test_every_group_has_its_members_on_every_link_alike() -> None:
    on = Counter[str]()
    for partition, _, value in CROWD.bindings():
        for bind in decode("bindings", value).entries:
            assert isinstance(bind, Bind)
            assert partition == partition_of(key_of(APP, bind.group), 4)
            assert bind.user == f"{bind.group}-{bind.ordinal}"
            on[bind.link] += 1
    assert on == {link_name(link): 30 * 20 / 10 for link in range(10)}


def test_no_two_sessions_of_a_link_have_one_slot() -> None:
    binds = [bind for _, _, value in CROWD.bindings() for bind in decode("bindings", value).entries]
    assert len({(bind.link, bind.slot) for bind in binds}) == 30 * 20


def test_groups_name_their_members_in_the_order_of_ordinals() -> None:
    for partition, key, value in CROWD.relations():
        group = decode("relations", value)
        assert key == key_of(APP, group.group)
        assert partition == partition_of(key, 4)
        assert group.members == [f"{group.group}-{ordinal}" for ordinal in range(20)]


def test_sends_are_what_the_contract_says() -> None:
    taken = Sends(CROWD, 200, answered=True).take(500, 1_234)
    ids = set()
    for partition, key, value in taken:
        send = decode("messages", value)
        assert isinstance(send, Send)
        assert key == key_of(APP, send.group)
        assert partition == partition_of(key_of(APP, send.group), 4)
        assert send.sender.startswith(f"{send.group}-")
        assert (send.tried_at, len(bytes(send.body))) == (1_234, 200)
        assert isinstance(send.reply, ToSession)
        assert send.reply.link == link_name(int(send.sender.partition("-")[2]) % 10)
        ids.add(send.client_id)
    assert len(ids) == 500


def test_sends_ask_for_no_answer_unless_told() -> None:
    ((_, _, value),) = Sends(CROWD, 200).take(1, 0)
    assert decode("messages", value).reply is None


def test_the_same_seed_gives_the_same_sends() -> None:
    assert Sends(CROWD, 200, seed=7).take(50, 1) == Sends(CROWD, 200, seed=7).take(50, 1)
    assert Sends(CROWD, 200, seed=7).take(50, 1) != Sends(CROWD, 200, seed=8).take(50, 1)


def test_sessions_that_come_and_go_were_there_and_were_not_there() -> None:
    churn = Churn(CROWD)
    online = {(group, ordinal): CROWD.slot(group, ordinal) for group in range(30) for ordinal in range(20)}
    for _ in range(50):
        went: dict[tuple[int, int], int] = {}
        came: dict[tuple[int, int], int] = {}
        for partition, _, value in churn.take(15):
            for entry in decode("bindings", value).entries:
                assert isinstance(entry, Bind | Unbind)
                assert partition == partition_of(key_of(APP, entry.group), 4)
                member = int(entry.group.removeprefix("g")), entry.ordinal
                (came if isinstance(entry, Bind) else went)[member] = entry.slot
        assert went.items() <= online.items()
        assert not came.keys() & online.keys()
        assert not {*came.values()} & {*online.values()}
        online = {member: slot for member, slot in online.items() if member not in went} | came
    assert len(online) == 30 * 20 - 15
