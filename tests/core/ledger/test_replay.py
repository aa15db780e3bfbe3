"""Does the replay accept every honest ledger and name what is wrong in every other?"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import verify
from ledger.core.corrections import replacing, reversing
from ledger.core.entry import ZERO_UUID, Flag, Kind
from ledger.core.verify import Coverage

from .books import Book, number, spending

UNGUARDED = int(Flag.UNGUARDED)
LATE = int(Flag.LATE_SETTLE)
NOVEMBER = verify.micros("2026-11-01T00:00:00Z")


def first(book: Book, **options: object) -> verify.Finding:
    findings = book.replay(**options).findings
    assert findings, "nothing was found"
    return findings[0]


def checks(book: Book) -> list[str]:
    return [finding.check for finding in book.replay().findings]


def correct(book: Book, seq: int) -> Book:
    """Reverse the entry and state it anew, one transaction."""
    original = book.entries[seq - 1]
    book.now += timedelta(days=1)
    doc = book.document({"reason": "wrong use case", "approved_by": "usr_4"})
    common = {"recorded_at": book.now, "actor_id": 4}
    reversal = reversing(original, uid=number(f"back {seq}"), doc=doc, **common)
    stated = replacing(original, uid=number(f"again {seq}"), **common)
    version = book.next_version()
    for entry in (reversal, stated):
        book.entries.append(entry)
        book.change(len(book.entries), env_version=version if entry.net_nanos else 0)
    return book


# ---- honest ledgers


def test_an_honest_ledger_has_no_finding_and_its_balances_are_the_sums_of_its_entries() -> None:
    book = spending(200)
    replay = book.replay()
    assert (replay.findings, replay.notes) == ([], [])
    under = [entry for entry in book.entries if entry.envelope_id]
    sums = verify.Balance(
        settled=sum(entry.amount_nanos for entry in under),
        held=0,
        unsettled=0,
        unguarded=sum(e.net_nanos for e in under if e.flags & UNGUARDED),
    )
    assert {replay.balances()[envelope, NOVEMBER] for envelope in (1, 2, 3)} == {sums}
    assert replay.balances()[0, 0].settled == 5 * 40


def test_a_lease_is_granted_settled_from_expired_and_returned() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    lease = number("lease")
    book.write(kind=Kind.LEASE, held_nanos=9_000, lease=lease, env_version=book.next_version())
    for call in range(4):
        book.settle(f"call {call}", 1_000, 1_000, lease=lease)
    book.write(kind=Kind.EXPIRE, held_nanos=-2_000, unsettled_nanos=2_000, lease=lease)
    book.write(
        kind=Kind.LEASE_RETURN, held_nanos=-3_000, lease=lease, env_version=book.next_version()
    )
    replay = book.replay()
    assert replay.findings == []
    assert replay.holds.leases[lease.bytes].rest == 0
    assert replay.balances()[1, NOVEMBER] == (4_000, 0, 2_000, 0)


def test_a_corrected_settle_and_a_write_off_and_a_late_proof_are_honest() -> None:
    book = Book().open(None, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.settle("a", 800, 1_000)
    book.reserve("b", 500)
    book.expire("b", 500)
    book.write(
        kind=Kind.WRITE_OFF,
        unsettled_nanos=-500,
        reservation=number("b"),
        env_version=book.next_version(),
    )
    book.write(
        kind=Kind.SETTLE,
        amount_nanos=450,
        reservation=number("b"),
        attempt=1,
        flags=LATE | UNGUARDED,
        env_version=book.next_version(),
    )
    replay = correct(book, 5).replay()
    assert replay.findings == []
    assert replay.balances()[2, NOVEMBER] == (1_250, 0, 0, 1_250)


def test_an_overdraft_by_unguarded_spend_is_no_breach_until_something_is_reserved() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.usage(5_000)
    assert checks(book) == []
    book.reserve("a", 1)
    finding = first(book)
    assert (finding.check, finding.seq) == ("I1", 5)
    assert "exposure passes the cap of envelope 3" in finding.what
    assert finding.found == "5001"


def test_shadow_spend_without_asking_the_cap_is_marked_unguarded() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 5_000, flags=UNGUARDED)
    assert checks(book) == []
    book.change(4, flags=0)
    assert set(checks(book)) == {"I1"}


def test_a_cap_that_was_cut_below_exposure_keeps_the_exposure_as_limit() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 900)
    book.budget(3, 2, 500, limit_nanos=900)
    book.settle("a", 900, 900)
    assert checks(book) == []
    book.budget(3, 2, 400)
    assert first(book).what.startswith("guarded exposure passes the limit of envelope 3")


def test_caps_beyond_2_to_the_53_are_read_from_text() -> None:
    book = Book().open(2**60, 2**60, 2**60)
    book.reserve("a", 2**60)
    assert checks(book) == []
    book.reserve("b", 1)
    assert first(book).found == str(2**60 + 1)


def test_entries_replay_in_the_order_of_their_versions_not_of_their_sealing() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 1_000)
    book.release("a", 1_000)
    book.reserve("b", 1_000)
    book.settle("b", 1_000, 1_000)
    # The reserve waited for the lock that the release held, and has the lower transaction.
    book.swap(5, 6)
    assert checks(book) == []


def test_an_entry_may_be_sealed_before_the_envelope_it_waited_for() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 100)
    book.settle("a", 100, 100)
    book.swap(3, 4)
    book.swap(4, 5)
    assert checks(book) == []


def test_periods_of_parent_and_child_may_differ() -> None:
    book = Book()
    for month, end in (("10", "11"), ("11", "12")):
        book.budget(
            1,
            0,
            1_000,
            period={"start": f"2026-{month}-01T00:00:00Z", "end": f"2026-{end}-01T00:00:00Z"},
        )
    book.budget(
        2, 1, 1_500, period={"start": "2026-10-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    )
    october = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)
    book.reserve("a", 900, envelope_id=2, effective_at=october)
    book.reserve("b", 600, envelope_id=2, effective_at=october + timedelta(microseconds=1))
    replay = book.replay()
    assert replay.findings == []
    quarter = verify.micros("2026-10-01T00:00:00Z")
    assert replay.balances()[1, quarter].held == 900
    assert replay.balances()[1, NOVEMBER].held == 600
    assert replay.balances()[2, quarter].held == 1_500
    book.reserve("c", 1, envelope_id=2)
    assert "of envelope 2 from 2026-10-01" in first(book).what


def test_a_part_of_a_ledger_checks_what_single_entries_show() -> None:
    book = spending(20)
    rows = book.rows()[30:]
    replay = verify.replay_invariants(
        rows, documents=book.documents, originals=lambda _: {}, coverage=Coverage.PART
    )
    assert replay.findings == []
    assert "not checked for a part" in replay.notes[0]
    seq, image = rows[3]
    rows[3] = seq, image[:133] + bytes([image[133] ^ 1]) + image[134:]
    replay = verify.replay_invariants(
        rows, documents=book.documents, originals=lambda _: {}, coverage=Coverage.PART
    )
    assert [finding.seq for finding in replay.findings] == [seq] * len(replay.findings)
    assert replay.findings[0].check == "I4"


# ---- I1


def test_a_reservation_above_the_cap_is_named_at_the_level_that_it_breaks() -> None:
    book = Book().open(1_000, 700, 1_000)
    book.reserve("a", 600)
    book.reserve("b", 200)
    finding = first(book)
    assert (finding.check, finding.seq) == ("I1", 5)
    assert finding.uid == str(book.entries[4].uid)
    assert "cap of envelope 2" in finding.what or "limit of envelope 2" in finding.what
    assert (finding.expected, finding.found) == ("at most 700", "800")


def test_a_gap_in_the_versions_of_a_tree_is_named() -> None:
    book = spending(20)
    gone = next(seq for seq, e in enumerate(book.entries, 1) if e.kind == Kind.OVERRUN)
    version = book.entries[gone - 1].env_version
    del book.entries[gone - 1]
    finding = first(book)
    assert finding.check == "I1"
    assert "gap" in finding.what
    assert (finding.expected, finding.found) == (str(version), str(version + 1))


def test_a_version_that_is_known_to_wait_for_its_seal_is_a_note_while_it_is_recent() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 1_000)
    book.release("a", 1_000)
    book.reserve("b", 1_000)
    del book.entries[4]
    replay = book.replay(unsealed={(1, 5)})
    assert replay.findings == []
    assert "env_version [5] was committed but not yet sealed" in replay.notes[0]
    assert first(book).check == "I1"
    book.now += timedelta(minutes=2)
    book.unbudgeted(1)
    assert first(book, unsealed={(1, 5)}).check == "I1"


def test_two_transactions_with_one_version_are_named() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.reserve("a", 10)
    book.release("a", 10)
    book.change(5, env_version=4)
    book.reserve("b", 10)
    book.change(6, env_version=4)
    # One run of entries may share a version; a later run may not.
    assert checks(book) == []
    book.entries.insert(
        5, book.write(kind=Kind.RESERVE, held_nanos=1, env_version=5, reservation=number("c"))
    )
    del book.entries[-1]
    assert "two transactions carry one env_version" in {
        finding.what for finding in book.replay().findings
    }


@pytest.mark.parametrize("envelope", [9, 3])
def test_spend_in_an_envelope_or_period_that_no_entry_opened_is_named(envelope: int) -> None:
    book = Book().open(1_000, 1_000, 1_000)
    when = datetime(2026, 12, 1, tzinfo=UTC) if envelope == 3 else book.now
    book.usage(5, envelope_id=envelope, effective_at=when)
    finding = first(book)
    assert (finding.check, finding.seq) == ("I1", 4)
    assert f"envelope {envelope} at 20" in finding.found


def test_a_change_of_cap_may_be_written_before_its_period_begins() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.budget(
        3, 2, 1, period={"start": "2026-12-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    )
    book.budget(
        4, 3, 1, period={"start": "2026-12-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    )
    assert checks(book) == []


def test_an_envelope_that_moves_to_another_parent_is_named() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.budget(3, 1, 1_000)
    assert (first(book).check, first(book).seq) == ("I1", 4)
    assert "changed its parent" in first(book).what


def test_a_change_of_another_envelope_than_its_document_is_named() -> None:
    book = Book().open(1_000, 1_000, 1_000)
    book.budget(3, 2, 1_000)
    book.change(4, envelope_id=2)
    assert first(book).what == "the document is of another envelope"


# ---- I2, I3


def lease_book(*moves: tuple[int, int]) -> Book:
    book = Book().open(10_000, 10_000, 10_000)
    for kind, held in moves:
        settled = -held if kind == Kind.SETTLE else 0
        book.write(
            kind=kind,
            held_nanos=held,
            amount_nanos=settled,
            lease=number("lease"),
            reservation=number(f"call {len(book.entries)}") if settled else ZERO_UUID,
            attempt=1 if settled else 0,
            env_version=0 if settled else book.next_version(),
        )
    return book


@pytest.mark.parametrize(
    ("moves", "what"),
    [
        (
            [(Kind.LEASE, 500), (Kind.SETTLE, -400), (Kind.SETTLE, -200)],
            "more left a lease than it was granted",
        ),
        ([(Kind.SETTLE, -100)], "a lease was never granted"),
        ([(Kind.LEASE, 500), (Kind.LEASE, 500)], "a lease is granted twice"),
    ],
)
def test_a_lease_that_does_not_add_up_is_named(moves: list, what: str) -> None:
    findings = lease_book(*moves).replay().findings
    assert what in {finding.what for finding in findings if finding.check == "I2"}


def lent(*caps: int | None, amount: int = 500) -> Book:
    """A ledger with one lease."""
    book = Book().open(*caps)
    book.write(
        kind=Kind.LEASE,
        held_nanos=amount,
        lease=number("lease"),
        env_version=book.next_version(),
    )
    return book


def lose(book: Book, nanos: int) -> Book:
    """Its holder is gone: what is left of the lease is unsettled."""
    book.write(
        kind=Kind.EXPIRE, held_nanos=-nanos, unsettled_nanos=nanos, lease=number("lease")
    )
    return book


def late_in_lease(book: Book, name: str, cost: int) -> Book:
    book.write(
        kind=Kind.SETTLE,
        amount_nanos=cost,
        unsettled_nanos=-cost,
        lease=number("lease"),
        reservation=number(name),
        attempt=1,
        flags=LATE,
    )
    return book


def give_up(book: Book, nanos: int, **more: object) -> Book:
    book.write(
        kind=Kind.WRITE_OFF,
        unsettled_nanos=-nanos,
        lease=number("lease"),
        env_version=book.next_version(),
        **more,
    )
    return book


def test_a_lost_lease_is_proven_late_and_given_up_and_that_is_honest() -> None:
    book = lose(lent(None, 10_000, 10_000), 500)
    late_in_lease(book, "a", 200)
    give_up(book, 100, reservation=number("b"))
    give_up(book, 200)
    replay = book.replay()
    assert replay.findings == []
    lease = replay.holds.leases[number("lease").bytes]
    assert (lease.rest, lease.unsettled) == (0, 0)
    # Taken back, the late settle is unsettled with its lease again.
    original = next(entry for entry in book.entries if entry.kind == Kind.SETTLE)
    book.entries.append(
        reversing(
            original,
            uid=number("undo"),
            recorded_at=book.now,
            actor_id=1,
            doc=book.document({"why": "drill"}),
        )
    )
    replay = book.replay()
    assert [finding.check for finding in replay.findings] == []
    assert replay.holds.leases[number("lease").bytes].unsettled == 200


def test_more_resolved_of_a_lease_than_expired_is_named() -> None:
    book = late_in_lease(lose(lent(None, 10_000, 10_000), 300), "a", 301)
    found = {(finding.check, finding.what) for finding in book.replay().findings}
    assert ("I2", "more was resolved of a lease than expired") in found


def test_a_settle_in_a_lease_that_does_not_balance_is_named() -> None:
    book = lent(None, 10_000, 10_000)
    book.settle("a", 100, 150, lease=number("lease"))
    assert "I4" in checks(book)


def change_place(book: Book, nanos: int, *, more: int = 0) -> Book:
    """A call leaves the lease with its money, in one transaction; `more` is new money."""
    version = book.next_version()
    book.write(
        kind=Kind.LEASE_RETURN, held_nanos=-nanos, lease=number("lease"), env_version=version
    )
    book.write(
        kind=Kind.RESERVE,
        held_nanos=nanos + more,
        reservation=number("a"),
        env_version=version,
    )
    return book


def test_money_that_only_changes_place_is_admitted_above_a_cap_that_was_cut() -> None:
    book = lent(None, 10_000, 10_000)
    book.budget(3, 2, 100, limit_nanos=500)
    assert checks(change_place(book, 200)) == []
    # Beside it an overrun is booked: unguarded money asks nobody.
    book.settle("a", 200, 200)
    book.write(
        kind=Kind.OVERRUN,
        amount_nanos=50,
        flags=UNGUARDED,
        reservation=number("a"),
        env_version=book.next_version(),
    )
    assert checks(book) == []


def test_new_money_beside_it_passes_the_cap_and_is_named() -> None:
    book = lent(None, 10_000, 10_000)
    book.budget(3, 2, 100, limit_nanos=600)
    assert "I1" in checks(change_place(book, 200, more=1))


def test_an_attempt_settled_twice_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.settle("a", 400, 400)
    book.settle("a", 600, 600)
    finding = first(book)
    assert (finding.check, finding.seq) == ("I3", 6)
    assert finding.what == "attempt 1 of a reservation is settled twice"


@pytest.mark.parametrize("second", ["settle", "release", "expire"])
@pytest.mark.parametrize("ending", ["settle", "release", "expire"])
def test_a_reservation_that_ends_twice_is_named(ending: str, second: str) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.reserve("b", 1_000)
    for attempt, end in enumerate((ending, second), start=1):
        if end == "settle":
            book.settle("a", 1_000, 1_000, attempt=attempt)
        elif end == "release":
            book.release("a", 1_000)
        else:
            book.expire("a", 1_000)
    assert "I3" in checks(book)


def test_two_attempts_may_share_one_reservation() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.settle("a", 300, 300, attempt=1)
    book.settle("a", 500, 700, attempt=2)
    assert checks(book) == []


@pytest.mark.parametrize(
    ("kind", "fields", "what"),
    [
        (Kind.RELEASE, {"held_nanos": -900, "env_version": 5}, "held money of a reservation"),
        (
            Kind.EXPIRE,
            {"held_nanos": -900, "unsettled_nanos": 900},
            "held money of a reservation",
        ),
        (
            Kind.SETTLE,
            {
                "unsettled_nanos": -100,
                "amount_nanos": 100,
                "flags": LATE,
                "attempt": 1,
            },
            "unsettled money of a reservation",
        ),
    ],
)
def test_what_is_left_over_of_a_reservation_is_named(
    kind: Kind, fields: dict, what: str
) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.write(kind=kind, reservation=number("a"), **fields)
    assert (what, "I3") in {(f.what, f.check) for f in book.replay().findings}


# ---- I4


@pytest.mark.parametrize(
    ("kind", "amount", "held", "unsettled", "flags"),
    [
        (Kind.SETTLE, 5, -4, 0, 0),
        (Kind.SETTLE, 5, 0, 0, 0),
        (Kind.SETTLE, -5, 0, 0, 0),
        (Kind.SETTLE, 5, -10, 5, 0),
        (Kind.SETTLE, 5, -5, 0, LATE),
        (Kind.RESERVE, 0, -5, 0, 0),
        (Kind.RESERVE, 5, 5, 0, 0),
        (Kind.RELEASE, 0, 5, 0, 0),
        (Kind.EXPIRE, 0, -5, 4, 0),
        (Kind.OVERRUN, -5, 0, 0, UNGUARDED),
        (Kind.WRITE_OFF, 0, 0, 5, 0),
        (Kind.USAGE, 5, -5, 0, 0),
        (Kind.DENY, 5, 0, 0, 0),
        (Kind.POLICY_CHANGE, 0, 0, 5, 0),
        (Kind.LEASE_RETURN, 5, -5, 0, 0),
    ],
)
def test_effects_that_the_kind_does_not_have_are_named(
    kind: Kind, amount: int, held: int, unsettled: int, flags: int
) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.reserve("a", 1_000)
    book.write(
        kind=kind,
        amount_nanos=amount,
        held_nanos=held,
        unsettled_nanos=unsettled,
        flags=flags,
        env_version=book.next_version() if amount + held + unsettled else 0,
    )
    assert ("I4", 5) in {(f.check, f.seq) for f in book.replay().findings}


@pytest.mark.parametrize("fields", [{"env_version": 0}, {"env_version": -1}])
def test_a_change_of_exposure_without_a_version_is_named(fields: dict) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.usage(5)
    book.change(4, **fields)
    assert (first(book).check, first(book).seq) == ("I4", 4)


def test_a_version_without_a_change_of_exposure_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.write(kind=Kind.DRIVER, env_version=book.next_version())
    assert (first(book).check, first(book).seq) == ("I4", 4)


# ---- I5


def test_an_entry_reversed_twice_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.usage(100)
    correct(book, 4)
    doc = book.document({"reason": "again"})
    book.entries.append(
        reversing(book.entries[3], uid=number("x"), recorded_at=book.now, actor_id=4, doc=doc)
    )
    book.change(len(book.entries), env_version=book.next_version())
    finding = first(book)
    assert (finding.check, finding.seq) == ("I5", 7)
    assert "reversed twice" in finding.what


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"reverses": number("nowhere")}, "the reversed entry isn't there"),
        ({"amount_nanos": -99}, "not the negative of seq 4: amount_nanos"),
        ({"doc": b""}, "an incomplete reversal"),
        ({"reverses": ZERO_UUID}, "an incomplete reversal"),
    ],
)
def test_a_reversal_that_is_none_is_named(fields: dict, what: str) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.usage(100)
    correct(book, 4)
    book.change(5, **fields)
    assert what in {f.what for f in book.replay().findings if f.check == "I5"}


def test_a_reversal_of_a_reversal_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.usage(100)
    correct(book, 4)
    doc = book.document({"reason": "no, it was right"})
    version = book.next_version()
    book.write(
        kind=Kind.REVERSAL,
        amount_nanos=100,
        n=1,
        reverses=book.entries[4].uid,
        doc=doc,
        flags=UNGUARDED,
        env_version=version,
    )
    finding = first(book)
    assert (finding.check, finding.seq) == ("I5", 7)
    assert finding.expected == "no reversal of a reversal"


def test_an_entry_of_another_kind_that_claims_to_reverse_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    book.usage(100)
    book.usage(-100, reverses=book.entries[3].uid, flags=0)
    assert ("I5", 5) in {(f.check, f.seq) for f in book.replay().findings}


# ---- I7, I8, documents, images


def test_an_entry_sealed_twice_is_named() -> None:
    book = spending(5)
    book.entries.append(book.entries[-1])
    assert ("I7", len(book.entries)) in {(f.check, f.seq) for f in book.replay().findings}


def close_of_october(book: Book) -> None:
    body = {"period": "2026-10", "start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    book.write(kind=Kind.PERIOD_CLOSE, doc=book.document(body), envelope_id=0)


def test_an_entry_recorded_in_a_closed_period_is_named_and_one_effective_in_it_is_not() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    close_of_october(book)
    october = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    book.write(kind=Kind.DRIVER, effective_at=october)
    assert checks(book) == []
    book.write(kind=Kind.DRIVER, recorded_at=october)
    finding = first(book)
    assert (finding.check, finding.seq) == ("I8", 6)
    assert finding.found == "2026-10-31T23:59:59Z"


def test_a_missing_document_is_named_and_a_pruned_one_is_not() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    digest = book.document({"decision": "deny"})
    book.write(kind=Kind.DENY, n=1, doc=digest)
    book.documents[digest] = b""
    assert checks(book) == []
    del book.documents[digest]
    assert (first(book).check, first(book).seq) == ("I8", 4)


def test_a_changed_document_is_named() -> None:
    book = Book().open(10_000, 10_000, 10_000)
    digest = book.document({"decision": "deny", "reason": "CAP_EXCEEDED"})
    book.write(kind=Kind.DENY, n=1, doc=digest)
    book.documents[digest] = book.documents[digest].replace(b"CAP", b"COP")
    assert (first(book).check, first(book).seq) == ("document", 4)


@pytest.mark.parametrize("kind", [Kind.ENVELOPE_CHANGE, Kind.PERIOD_CLOSE, Kind.REGISTRY])
def test_a_kind_that_needs_a_document_is_named_without_one(kind: Kind) -> None:
    book = Book().open(10_000, 10_000, 10_000)
    version = book.next_version() if kind == Kind.ENVELOPE_CHANGE else 0
    book.write(kind=kind, env_version=version)
    assert (first(book).check, first(book).seq) == ("I8", 4)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"envelope": 3},
        {
            "envelope": "three",
            "parent": 2,
            "root": 1,
            "cap_nanos": 1,
            "limit_nanos": 1,
            "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        },
        {
            "envelope": 3,
            "parent": 2,
            "root": 1,
            "cap_nanos": 1,
            "limit_nanos": 1,
            "period": {"start": "2026-11-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
        },
        {
            "envelope": 3,
            "parent": 2,
            "root": 1,
            "cap_nanos": 1,
            "limit_nanos": 1,
            "period": {"start": "first of November", "end": "2026-12-01T00:00:00Z"},
        },
    ],
)
def test_an_envelope_document_that_says_nothing_is_named(body: dict) -> None:
    book = Book().open(10_000, 10_000)
    book.write(
        kind=Kind.ENVELOPE_CHANGE, doc=book.document(body), env_version=book.next_version()
    )
    assert (first(book).check, first(book).seq) == ("document", 3)


@pytest.mark.parametrize("place", [1, 5, 9, 20, 412, 416])
def test_bytes_that_are_no_image_are_named(place: int) -> None:
    book = spending(3)
    rows = book.rows()
    seq, image = rows[6]
    rows[6] = seq, image[:place] + bytes([image[place] ^ 0x40]) + image[place + 1 :]
    replay = verify.replay_invariants(rows, documents=book.documents, originals=lambda _: {})
    assert replay.findings[0].check == "image"
    assert replay.findings[0].seq == 7


# ---- properties


@st.composite
def honest_books(draw: st.DrawFn) -> Book:
    """Random calls under random caps; a reservation is made only where every level has room."""
    caps = draw(st.lists(st.integers(500, 5_000), min_size=3, max_size=3))
    book, open_, exposure, late = Book().open(*caps), {}, 0, {}
    for step in range(draw(st.integers(0, 40))):
        nanos = draw(st.integers(1, 1_000))
        match draw(
            st.sampled_from(["reserve", "settle", "release", "expire", "late", "usage"])
        ):
            case "reserve" if exposure + nanos <= min(caps):
                open_[f"r{step}"] = nanos
                exposure += nanos
                book.reserve(f"r{step}", nanos)
            case "settle" if open_:
                name, held = open_.popitem()
                cost = min(nanos, held)
                exposure += cost - held
                book.settle(name, cost, held)
            case "release" if open_:
                name, held = open_.popitem()
                exposure -= held
                book.release(name, held)
            case "expire" if open_:
                name, held = open_.popitem()
                late[name] = held
                book.expire(name, held)
            case "late" if late:
                name, held = late.popitem()
                more = nanos - held
                exposure += more
                book.write(
                    kind=Kind.SETTLE,
                    amount_nanos=nanos,
                    unsettled_nanos=-held,
                    reservation=number(name),
                    attempt=1,
                    flags=LATE | (UNGUARDED if more > 0 else 0),
                    env_version=book.next_version() if more else 0,
                )
            case _:
                exposure += nanos
                book.usage(nanos)
    return book


@given(honest_books())
@settings(max_examples=60, deadline=None)
def test_no_honest_ledger_has_a_finding(book: Book) -> None:
    assert book.replay().findings == []


@given(honest_books(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_hold_moved_by_more_than_there_is_breaks_a_rule_without_any_hash(
    book: Book, data: st.DataObject
) -> None:
    moved = [
        seq
        for seq, entry in enumerate(book.entries, start=1)
        if entry.kind != Kind.ENVELOPE_CHANGE and not entry.flags & UNGUARDED
    ]
    if not moved:
        return
    seq = data.draw(st.sampled_from(moved))
    entry = book.entries[seq - 1]
    name = data.draw(st.sampled_from(["held_nanos", "unsettled_nanos"]))
    if not getattr(entry, name):
        return
    book.change(seq, **{name: getattr(entry, name) - 10_000_000})
    assert book.replay().findings
