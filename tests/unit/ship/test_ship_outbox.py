"""The outbox is bounded, keeps its order, and wakes up waiting threads."""

from __future__ import annotations

from threading import Event, Thread

from tests.support.waiting import HUNG_SECONDS
from vaultwatch.ship.outbox import Outbox, StreamRecord

SMALL, LARGE = StreamRecord("", b"x" * 10), StreamRecord("", b"x" * 100)


def put_in_thread(outbox: Outbox, record: StreamRecord) -> Event:
    done = Event()

    def put() -> None:
        outbox.put(record)
        done.set()

    Thread(target=put, daemon=True).start()
    return done


def test_the_oldest_records_that_fit_into_a_call_are_taken() -> None:
    outbox = Outbox()
    records = [StreamRecord(str(number), b"x" * 9) for number in range(5)]
    for record in records:
        outbox.put(record)
    assert outbox.take(2, 1000, wait=True) == records[:2]
    assert outbox.take(500, 29, wait=True) == records[2:4]
    assert outbox.take(500, 9, wait=True) == []


def test_a_full_outbox_blocks_until_a_record_was_accepted() -> None:
    outbox = Outbox(max_bytes=25)
    outbox.put(SMALL)
    outbox.put(SMALL)
    waiting = put_in_thread(outbox, SMALL)
    taken = outbox.take(1, 100, wait=True)
    assert not waiting.wait(0.05)
    outbox.release(taken)
    assert waiting.wait(HUNG_SECONDS)


def test_only_accepted_records_free_room() -> None:
    outbox = Outbox(max_bytes=25)
    outbox.put(SMALL)
    outbox.put(SMALL)
    outbox.release(outbox.take(2, 100, wait=True)[:1])
    outbox.put(SMALL)
    assert not put_in_thread(outbox, SMALL).wait(0.05)


def test_a_record_above_the_bound_is_sent_alone() -> None:
    outbox = Outbox(max_bytes=25)
    outbox.put(LARGE)
    waiting = put_in_thread(outbox, SMALL)
    assert not waiting.wait(0.05)
    outbox.release(outbox.take(1, 1000, wait=True))
    assert waiting.wait(HUNG_SECONDS)


def test_a_closed_outbox_returns_what_is_left_and_then_nothing() -> None:
    outbox = Outbox()
    outbox.put(SMALL)
    outbox.close()
    assert outbox.take(500, 1000, wait=True) == [SMALL]
    assert outbox.take(500, 1000, wait=True) == []


def test_kinesis_counts_the_partition_key_too() -> None:
    assert StreamRecord("key", b"data").size == 7
