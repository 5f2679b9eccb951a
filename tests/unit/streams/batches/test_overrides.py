"""Each override of Faust and aiokafka still overrides something; an upgrade that changes this fails here, not live."""

from __future__ import annotations

import inspect
import re

import pytest
from aiokafka import conn
from aiokafka.consumer import fetcher, group_coordinator
from aiokafka.producer import message_accumulator, producer, sender, transaction_manager
from faust.app import base
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver

from streams.batches import connections, role, transport
from streams.batches import producer as ours
from streams.batches.packed import PackedBatch


def test_the_wait_between_transactions_is_still_20_ms_as_shipped_and_2_ms_here() -> None:
    """When this fails, look whether the override is still needed, and still does anything."""
    source = inspect.getsource(sender)
    assert "\nBACKOFF_OVERRIDE = 0.02 " in source
    assert "return BACKOFF_OVERRIDE" in source
    assert sender.BACKOFF_OVERRIDE == ours.BACKOFF_S == 0.002


@pytest.mark.parametrize(
    ("base_class", "our_class", "names"),
    [
        (driver.Consumer, transport.BatchConsumer, "getmany perform_seek _add_gap commit verify_event_path"),
        (
            driver.AIOKafkaConsumerThread,
            transport.BatchThread,
            "on_start on_thread_stop on_partitions_assigned _create_worker_consumer",
        ),
        (
            base.App,
            role.RoleApp,
            "on_rebalance_start on_rebalance_end on_stop _crash _producer_flush _new_transport",
        ),
        (
            base.App,
            role.RoleApp,
            "_on_partitions_revoked _on_partitions_assigned",
        ),
    ],
)
def test_what_is_overridden_exists_with_the_same_parameters(base_class: type, our_class: type, names: str) -> None:
    for name in names.split():
        theirs, mine = getattr(base_class, name), getattr(our_class, name)
        assert theirs is not mine
        assert list(inspect.signature(theirs).parameters) == list(inspect.signature(mine).parameters), name


def test_faust_still_seeks_after_a_rebalance_and_remembers_read_offsets() -> None:
    """Why `perform_seek` does nothing and `_read_offset` forgets."""
    assert "if r_offset is None or offset >= r_offset" in inspect.getsource(consumer.Consumer._drain_messages)
    assert "self._read_offset = defaultdict" in inspect.getsource(consumer.Consumer.__init__)


def test_faust_still_takes_another_assignor_when_there_are_no_tables() -> None:
    assert "RoundRobinPartitionAssignor" in inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)


def test_the_parts_of_aiokafka_that_we_reach_into_are_there() -> None:
    assert "timeout=0" in inspect.getsource(fetcher.Fetcher.fetched_records)
    for owner, names in (
        (fetcher.Fetcher, "_proc_fetch_request _create_fetch_waiter"),
        (group_coordinator.GroupCoordinator, "_do_heartbeat"),
        (sender.Sender, "_find_coordinator sender_task"),
        (message_accumulator.MessageAccumulator, "fail_all"),
        (producer.AIOKafkaProducer, "send_batch"),
        (transaction_manager.TransactionManager, "is_fatal_error"),
    ):
        for name in names.split():
            assert hasattr(owner, name), name
    assert "self._prefetch_backoff = prefetch_backoff" in inspect.getsource(fetcher.Fetcher.__init__)


def test_aiokafka_asks_of_a_batch_what_a_packed_one_answers() -> None:
    """Whatever the sender calls on a batch's builder, `PackedBatch` has."""
    source = inspect.getsource(message_accumulator.MessageBatch) + inspect.getsource(
        message_accumulator.MessageAccumulator
    )
    asked = set(re.findall(r"builder\.(\w+)\(", source)) - {"append"}  # only of batches that are not closed
    assert asked == {"record_count", "closed", "close", "_set_producer_state", "_build"}
    assert all(hasattr(PackedBatch, name) for name in asked)


def test_aiokafka_still_catches_no_runtime_error_of_a_write_and_tells_nobody_of_ended_tasks() -> None:
    """Why `connections` overrides `send`, and the consumer's tasks are watched."""
    assert "except OSError" in inspect.getsource(connections._send)
    assert "RuntimeError" not in inspect.getsource(connections._send)
    assert inspect.signature(connections._send) == inspect.signature(conn.AIOKafkaConnection.send).replace(
        return_annotation=inspect.Signature.empty,
        parameters=[
            one.replace(annotation=inspect.Parameter.empty)
            for one in inspect.signature(conn.AIOKafkaConnection.send).parameters.values()
        ],
    )
    assert "check_errors" not in inspect.getsource(fetcher)
    assert "await self._push_error_to_user" in inspect.getsource(group_coordinator)
