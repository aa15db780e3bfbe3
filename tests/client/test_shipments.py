"""What may a router send as its journal? Its own words, whole, in order, and once."""

import struct
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec
import pytest
from django.conf import settings
from django.db import connection, connections

from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.kernel import clock as kernel_clock
from o10.kernel import errors
from o10.lease import records
from o10.wire.leasing import LeaseAnswer, LeaseAsk, Shipment, Want
from policies import facade as policies
from tests.client.conftest import MODEL


def router(key: str = "key_a", *, slugs: frozenset[str] | None = None) -> Caller:
    return Caller(key, key, key, Role.ROUTER, slugs, ROLE_ACTIONS[Role.ROUTER])


ME = router()


def lend(caller: Caller = ME, **changes: Any) -> LeaseAnswer:
    ask = LeaseAsk(
        use_case="support-assistant",
        model=MODEL,
        input_tokens=10,
        max_output_tokens=10,
        want=Want.LEASE,
        least=1_000_000,
    )
    asked = msgspec.structs.replace(ask, **changes)
    return policies.lend_to_router(ask_of=asked, caller=caller, now=kernel_clock.now())


def framed(*said: Any) -> bytes:
    payloads = [each if isinstance(each, bytes) else records.encode(each) for each in said]
    return b"".join(struct.pack(">II", len(p), crc32(p)) + p for p in payloads)


def ship(fence: int, content: bytes, *, offset: int = 0, caller: Caller = ME) -> Any:
    return policies.keep_shipment(
        fence=fence,
        shipment=Shipment(offset=offset, content=content),
        caller=caller,
        now=kernel_clock.now(),
    )


def started(fence: int) -> records.Started:
    return records.Started(format=records.FORMAT, fence=fence, host="h", pid=1, born=1, at_us=1)


def mirror(fence: int) -> bytes:
    return (Path(settings.O10_HOME) / "plane" / f"journal-{fence}.bin").read_bytes()


def test_what_is_sent_twice_is_kept_once_and_a_gap_is_refused(company: Any) -> None:
    fence = lend().holder
    first = framed(started(fence))
    more = framed(records.GivenBack(lease=own_lease(fence).bytes, at_us=2, amount=1))
    assert ship(fence, first).kept_to == len(first)
    assert ship(fence, first).kept_to == len(first)
    assert ship(fence, first + more).kept_to == len(first + more)
    assert ship(fence, more, offset=len(first)).kept_to == len(first + more)
    assert mirror(fence) == first + more
    with pytest.raises(errors.Conflict):
        ship(fence, more, offset=10_000)
    with pytest.raises(errors.ValidationFailed, match="contradicts"):
        ship(fence, framed(records.Ended(at_us=1)), offset=0)


def own_lease(fence: int) -> UUID:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM lease WHERE fence = %s", [fence])
        row = cursor.fetchone()
    return row[0]


def test_two_shipments_at_once_are_kept_one_after_the_other(company: Any) -> None:
    fence = lend().holder
    content = framed(started(fence), *[records.Ended(at_us=n) for n in range(200)])
    failures: list[Exception] = []

    def send() -> None:
        try:
            ship(fence, content)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert mirror(fence) == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:5],
        lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
        lambda whole: whole + b"\x00\x00\x00\x00\x00\x00\x00\x00",
        lambda whole: whole + framed(b"\xc1"),
        lambda whole: whole + framed(msgspec.msgpack.encode([99, 1])),
    ],
)
def test_records_that_are_not_whole_are_refused(damage: Any, company: Any) -> None:
    fence = lend().holder
    with pytest.raises(errors.ValidationFailed):
        ship(fence, damage(framed(started(fence))))


def test_a_router_speaks_of_its_own_leases_alone(company: Any) -> None:
    mine, other = lend(), lend(router("key_b"))
    fence, theirs = mine.holder, own_lease(other.holder)
    grounds = records.decode(mine.terms.grounds)
    foreign_end = records.Released(
        lease=theirs.bytes,
        sequence=1,
        journal=other.holder,
        at_us=1,
        caller="key_a",
        actor="key_a",
        request_hash=b"",
        request=b"{}",
        answer=b"{}",
    )
    denied = records.Denied(
        id=bytes(16),
        caller="key_a",
        actor="key_a",
        at_us=1,
        use_case=1,
        use_case_slug="x",
        department_slug="",
        envelope=0,
        decision="deny",
        would_decision="deny",
        mode="enforce",
        reason="X",
        reason_code=1,
        model="",
        worst=0,
        policy_version=1,
        price_version=1,
        offer=None,
        attempt=1,
        request_id="",
        request_hash=b"",
        request=b"{}",
        record=b"{}",
        answer=b"{}",
    )
    for wrong, why in [
        (started(fence + 1), "another journal"),
        (records.GivenBack(lease=theirs.bytes, at_us=1, amount=1), "not its own"),
        (msgspec.structs.replace(grounds, caller="key_b"), "another key"),
        (foreign_end, "not its own"),
        (denied, "may not come from a router"),
    ]:
        with pytest.raises(errors.ValidationFailed, match=why):
            ship(fence, framed(wrong))
    with pytest.raises(errors.Missing):
        ship(other.holder, framed(started(other.holder)))
    with pytest.raises(errors.Missing):
        lend(holder=other.holder)
    narrow = router(slugs=frozenset({"contract-review"}))
    with pytest.raises(errors.ValidationFailed, match="out of scope"):
        ship(fence, framed(grounds), caller=narrow)


def test_a_key_out_of_scope_gets_no_terms(company: Any) -> None:
    answer = lend(router("key_c", slugs=frozenset({"contract-review"})))
    assert answer.terms is None
    assert answer.lease is None


def test_all_processes_of_a_key_together_hold_a_bounded_sum(company: Any) -> None:
    rich = {"use_case": "contract-review", "burn": 10**12, "dearest": 10**6}
    answers = [lend(router("key_rich"), **rich) for _ in range(6)]
    lent = sum(each.lease.granted for each in answers if each.lease)
    assert lent <= 20 * 10**9 + 6 * 1_000_000
    assert all(each.lease is not None for each in answers)


def test_a_lease_that_nobody_renews_expires_into_unsettled(company: Any) -> None:
    answer = lend(router("key_lost"))
    assert answer.lease is not None
    assert answer.lease.lives_ms == 10_000
    late = kernel_clock.now() + timedelta(seconds=16)
    assert policies.reconcile_leases(now=late) >= 1
    assert list(policies.check_conservation()) == []
