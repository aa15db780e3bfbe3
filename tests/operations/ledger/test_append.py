"""Does a draft become the row it should, once, and never another?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from ledger import facade
from ledger.core import canonical
from ledger.core.chain import leaf
from ledger.core.entry import Entry, Flag, Kind
from ledger.operations.append import ExposureUnversioned
from o10.kernel.errors import IdempotencyMismatch

from .rows import NOW, append_drafts, make_entry, make_ledger

pytestmark = pytest.mark.django_db
HASH = b"\x07" * 32


@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_inserted_and_copied_rows_read_back_as_the_drafts(count: int) -> None:
    make_ledger()
    drafts = [make_entry(ref="größe ±1", doc=b"\x01" * 32) for _ in range(count)]
    written = append_drafts(drafts)
    for draft, stored in zip(drafts, written, strict=True):
        found = facade.get_by_uid(ledger_id=1, uid=draft.uid)
        assert found.entry == draft
        assert found.id == stored.id
        assert found.leaf == leaf(canonical.encode(draft))
        assert found.seq is None


def test_the_database_emits_the_image_that_was_hashed() -> None:
    make_ledger()
    draft = make_entry()
    append_drafts([draft])
    columns = ", ".join(column.name for column in canonical.COLUMNS_V1)
    with connection.cursor() as cursor:
        statement = f"COPY (SELECT {columns} FROM ledger_entry) TO STDOUT (FORMAT binary)"
        with cursor.copy(statement) as copy:
            wire = b"".join(copy)
    assert wire[19:-2] == canonical.encode(draft)


def test_the_hashed_columns_are_the_frozen_list() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable, col_description("
            "'ledger_entry'::regclass, ordinal_position) FROM information_schema.columns"
            " WHERE table_name = 'ledger_entry'"
        )
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    spelled = {"timestamptz": "timestamp with time zone"}
    for number, column in enumerate(canonical.COLUMNS_V1, 1):
        kind, nullable, comment = found.pop(column.name)
        assert kind == spelled.get(column.type, column.type)
        assert nullable == "NO"
        assert comment.startswith(f"{number}: ")
    assert set(found) == {"id", "xid", "leaf"}


def test_the_same_uid_is_refused_whatever_the_size_of_the_batch() -> None:
    make_ledger()
    taken = make_entry()
    append_drafts([taken])
    for others in (0, 20):
        again = replace(taken, recorded_at=NOW + timedelta(hours=1))
        with pytest.raises(facade.EntryExists) as caught:
            append_drafts([again, *(make_entry() for _ in range(others))])
        assert str(taken.uid) in caught.value.fields["uids"]


def test_one_key_runs_once_and_repeats_the_first_entry() -> None:
    make_ledger()
    calls: list[UUID] = []

    def run(uid: UUID) -> list[Entry]:
        calls.append(uid)
        return [make_entry(uid=uid), make_entry(kind=Kind.OVERRUN, held_nanos=0, env_version=1)]

    first = facade.write(ledger_id=1, scope="settle", key="k-1", request_hash=HASH, run=run)
    again = facade.write(ledger_id=1, scope="settle", key="k-1", request_hash=HASH, run=run)
    assert len(calls) == 1
    assert first.replayed is None
    assert len(first.entries) == 2
    assert again.entries == ()
    assert again.replayed is not None
    assert again.replayed.entry is not None
    assert again.replayed.entry.entry == first.entries[0].entry


def test_one_key_with_another_request_is_a_mismatch_and_writes_nothing() -> None:
    make_ledger()

    def run(uid: UUID) -> list[Entry]:
        return [make_entry(uid=uid)]

    facade.write(ledger_id=1, scope="settle", key="k-1", request_hash=HASH, run=run)
    before = _count()
    with pytest.raises(IdempotencyMismatch):
        facade.write(ledger_id=1, scope="settle", key="k-1", request_hash=b"x" * 32, run=run)
    assert _count() == before


def test_a_dry_run_answers_and_leaves_nothing() -> None:
    make_ledger()
    before = _count()
    written = facade.write(
        ledger_id=1,
        scope="settle",
        key="k-9",
        request_hash=HASH,
        run=lambda uid: [make_entry(uid=uid)],
        mode=facade.Mode.DRY_RUN,
    )
    assert len(written.entries) == 1
    assert _count() == before
    assert facade.find_by_uid(ledger_id=1, uid=written.uid) is None


def test_a_failing_run_leaves_the_key_free() -> None:
    make_ledger()

    def fails(uid: UUID) -> list[Entry]:
        raise LookupError("no such envelope")

    with pytest.raises(LookupError):
        facade.write(ledger_id=1, scope="settle", key="k", request_hash=HASH, run=fails)
    written = facade.write(
        ledger_id=1,
        scope="settle",
        key="k",
        request_hash=HASH,
        run=lambda uid: [make_entry(uid=uid)],
    )
    assert written.replayed is None


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("entry_env_version_not_negative", {"held_nanos": 0, "env_version": -1}),
        ("entry_reverses_iff_reversal", {"reverses": UUID(int=5)}),
        ("entry_reverses_iff_reversal", {"kind": Kind.REVERSAL}),
        ("entry_quantities_negative_only_in_reversals", {"tok_in": -1}),
        ("entry_quantities_negative_only_in_reversals", {"n": -1}),
        ("entry_amount_matches_kind", {"amount_nanos": -1, "held_nanos": 1}),
        (
            "entry_amount_matches_kind",
            {"kind": Kind.RESERVE, "env_version": 1, "held_nanos": 0},
        ),
        ("entry_held_matches_kind", {"amount_nanos": 0, "held_nanos": 9, "env_version": 1}),
        (
            "entry_held_matches_kind",
            {"kind": Kind.RESERVE, "amount_nanos": 0, "env_version": 1},
        ),
        (
            "entry_unsettled_matches_kind",
            {"amount_nanos": 0, "held_nanos": 0, "unsettled_nanos": 3, "env_version": 1},
        ),
        (
            "entry_unsettled_matches_kind",
            {"kind": Kind.EXPIRE, "amount_nanos": 0, "unsettled_nanos": 3, "env_version": 1},
        ),
    ],
)
def test_the_database_refuses_an_entry_that_breaks_a_rule(
    constraint: str, fields: dict[str, object]
) -> None:
    make_ledger()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        facade.append([make_entry(**fields)])


@pytest.mark.parametrize(
    "fields",
    [
        {"held_nanos": 0},
        {"env_version": 4},
        {"kind": Kind.ENVELOPE_CHANGE, "amount_nanos": 0, "held_nanos": 0},
    ],
)
def test_exposure_never_moves_without_its_version(fields: dict[str, object]) -> None:
    make_ledger()
    with pytest.raises(ExposureUnversioned), transaction.atomic():
        facade.append([make_entry(**fields)])


def test_an_unguarded_usage_entry_passes_every_check() -> None:
    make_ledger()
    draft = make_entry(
        kind=Kind.USAGE, held_nanos=0, env_version=918, flags=int(Flag.UNGUARDED)
    )
    assert append_drafts([draft])[0].uid == draft.uid


def test_a_month_without_partition_gets_one_on_the_way() -> None:
    make_ledger()
    old = datetime(2025, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    uid = UUID("01950000-0000-8000-8000-000000000001")
    append_drafts([make_entry(uid=uid, recorded_at=old, effective_at=old)])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM ledger_entry WHERE uid = %s", [uid]
        )
        assert cursor.fetchone()[0] == "ledger_entry_2025_02"
        cursor.execute("SELECT tableoid::regclass::text FROM ledger_idem WHERE uid = %s", [uid])
        assert cursor.fetchone()[0] == "ledger_idem_2025_02"


def test_a_meaning_has_one_number_and_one_registry_entry() -> None:
    make_ledger()
    about = {"ledger_id": 1, "actor": 0, "now": NOW}
    before = _count()
    first = facade.intern(facade.Domain.DIMS, {"b": "2", "a": "1"}, **about)
    again = facade.intern(facade.Domain.DIMS, {"a": "1", "b": "2"}, **about)
    other = facade.intern(facade.Domain.DIMS, {"a": "1"}, **about)
    assert first == again
    assert other != first
    assert _count() == before + 2
    newest = facade.list_entries(
        ledger_id=1, where=facade.EntryFilter(kinds=(Kind.REGISTRY,)), limit=1
    ).items[0]
    assert newest.entry.doc


def test_a_bound_number_may_get_a_new_meaning_and_keeps_the_old_row() -> None:
    make_ledger()
    about = {"ledger_id": 1, "actor": 0, "now": NOW}
    facade.bind(facade.Domain.USE_CASE, 3, {"slug": "support"}, **about)
    facade.bind(facade.Domain.USE_CASE, 3, {"slug": "support"}, **about)
    facade.bind(
        facade.Domain.USE_CASE,
        3,
        {"slug": "support", "name": "Support"},
        ledger_id=1,
        actor=0,
        now=NOW + timedelta(seconds=1),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_registry WHERE number = 3")
        assert cursor.fetchone()[0] == 2
    assert facade.meanings_of(domain="use_case", numbers=[3])[3]["name"] == "Support"


def test_pages_of_entries_follow_each_other_without_gap() -> None:
    make_ledger()
    written = append_drafts([make_entry(use_case_id=7) for _ in range(25)])
    seen: list[UUID] = []
    cursor = None
    while True:
        page = facade.list_entries(
            ledger_id=1,
            where=facade.EntryFilter(use_case_ids=(7,)),
            cursor=cursor,
            limit=10,
        )
        seen += [item.uid for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [stored.uid for stored in reversed(written)]


def _count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry")
        return int(cursor.fetchone()[0])
