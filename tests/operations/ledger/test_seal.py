"""Does every entry get one position, whatever happens between two statements?"""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import transaction

from ledger import facade
from ledger.core.chain import chain_start, link
from ledger.core.merkle import check_consistency, check_inclusion, root
from ledger.operations import seal as seal_module
from ledger.operations.adopt_cluster import XidBehind
from ledger.operations.append import append_rows
from ledger.operations.open_sealer import SealerElsewhere
from ledger.operations.seal import FenceLost, SealBroken, Sealer, seal_once
from ledger.queries.integrity import sum_range, sum_rollups
from o10.kernel.errors import Corrupt, NotSealedYet

from .rows import NOW, ORIGIN, append_drafts, connect, make_entry, write_entries

Opened = Callable[..., Sealer]


def positions(urls: Any) -> list[tuple[int, int]]:
    with connect(urls.superuser_url) as reader:
        return reader.execute("SELECT seq, entry_id FROM ledger_seal ORDER BY seq").fetchall()


def entries_in_order(urls: Any) -> list[tuple[int, bytes]]:
    with connect(urls.superuser_url) as reader:
        rows = reader.execute("SELECT id, leaf FROM ledger_entry ORDER BY xid, id").fetchall()
    return [(number, bytes(leaf)) for number, leaf in rows]


def check_all(urls: Any) -> None:
    """Positions, chain, tree, rollups against the entries themselves."""
    entries = entries_in_order(urls)
    assert positions(urls) == [(seq, number) for seq, (number, _) in enumerate(entries, 1)]
    head = chain_start(ORIGIN)
    for _, leaf in entries:
        head = link(head, leaf)
    status = facade.seal_state(now=NOW)
    assert status.head == head.hex()
    assert status.waiting == 0
    with connect(urls.sealer_url) as reader, reader.cursor() as cursor:
        checked = sum_range(cursor, ledger_id=1, origin=ORIGIN, after=0, upto=len(entries))
        assert checked.finding is None
        for table in ("rollup_hour", "rollup_day"):
            assert sum_rollups(cursor, ledger_id=1, table=table) == checked.sums
        state = cursor.execute("SELECT ranges FROM ledger_seal_state").fetchone()
        from ledger.core.merkle import CompactRange

        assert state is not None
        assert CompactRange.from_bytes(bytes(state[0])).root() == root(
            [leaf for _, leaf in entries]
        )


def test_an_empty_ledger_seals_nothing_and_waits(ledger: Any, opened: Opened) -> None:
    sealer = opened()
    assert seal_once(sealer, now=NOW).count == 0
    assert facade.seal_badge(now=NOW).state is facade.SealVerdict.EMPTY


@pytest.mark.parametrize("limit", [1, 7, 256, 10_000])
def test_batches_of_any_size_give_the_same_chain_and_tree(
    ledger: Any, opened: Opened, limit: int
) -> None:
    write_entries(3)
    write_entries(30)
    write_entries(270)
    sealer = opened()
    while seal_once(sealer, now=NOW, limit=limit).count:
        pass
    assert sealer.seq == 303
    check_all(ledger.urls)


def test_an_aborted_transaction_leaves_a_hole_in_id_and_none_in_seq(
    ledger: Any, opened: Opened
) -> None:
    write_entries(2)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        facade.append([make_entry()])
        raise ZeroDivisionError
    write_entries(2)
    assert seal_once(opened(), now=NOW).count == 4
    check_all(ledger.urls)


def test_a_lower_transaction_that_commits_later_is_waited_for(
    ledger: Any, opened: Opened
) -> None:
    sealer = opened()
    with psycopg.connect(ledger.urls.app_url) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        with slow.cursor() as cursor:
            append_rows(cursor, [make_entry()], claimed={})
        write_entries(5)
        # The higher transaction is committed and still not sealed: the lower might commit.
        assert seal_once(sealer, now=NOW).count == 0
        assert facade.seal_state(now=NOW).waiting == 5
        slow.commit()
    assert seal_once(sealer, now=NOW).count == 6
    check_all(ledger.urls)


def test_concurrent_writers_never_lose_an_entry_behind_the_cursor(
    ledger: Any, opened: Opened
) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write(seed: int) -> None:
        with psycopg.connect(ledger.urls.app_url) as own:
            count = 0
            while not stop.is_set() and count < 120:
                with own.cursor() as cursor:
                    append_rows(
                        cursor, [make_entry() for _ in range(1 + count % 12)], claimed={}
                    )
                    if count % 5 == seed % 5:
                        own.rollback()
                    else:
                        written.append(1 + count % 12)
                        own.commit()
                count += 1

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    sealer = opened()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seal_once(sealer, now=NOW, limit=37)
    stop.set()
    while seal_once(sealer, now=NOW).count:
        pass
    assert sealer.seq == sum(written)
    check_all(ledger.urls)


def test_a_second_sealer_stands_by_until_the_first_is_gone(ledger: Any, opened: Opened) -> None:
    first = opened()
    with pytest.raises(SealerElsewhere):
        opened()
    first.connection.close()
    write_entries(2)
    assert seal_once(_eventually(opened), now=NOW).count == 2


def test_an_older_fence_changes_nothing(ledger: Any, opened: Opened) -> None:
    old = opened()
    write_entries(4)
    # Its session lost the lock without its knowing, as after a network split.
    old.connection.execute("SELECT pg_advisory_unlock_all()")
    new = opened()
    with pytest.raises(FenceLost):
        seal_once(old, now=NOW)
    assert positions(ledger.urls) == []
    assert seal_once(new, now=NOW).count == 4
    check_all(ledger.urls)


class _Crash(Exception):
    """The process is gone."""


class _Counting:
    """Counts the statements of a connection and dies before the chosen one."""

    def __init__(self, connection: Any, dies_at: int) -> None:
        self._connection, self.dies_at, self.seen = connection, dies_at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _step(self) -> None:
        if self.seen == self.dies_at:
            # As after kill -9: the server sees the socket close and rolls back.
            self._connection.close()
            raise _Crash
        self.seen += 1

    def execute(self, *args: Any) -> Any:
        self._step()
        return self._connection.execute(*args)

    def cursor(self) -> Any:
        return _CountingCursor(self._connection.cursor(), self)


class _CountingCursor:
    def __init__(self, cursor: Any, owner: _Counting) -> None:
        self._cursor, self._owner = cursor, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *details: Any) -> None:
        self._cursor.close()

    def execute(self, *args: Any) -> Any:
        self._owner._step()
        return self._cursor.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self._owner._step()
        return self._cursor.executemany(*args)

    def copy(self, *args: Any) -> Any:
        self._owner._step()
        return self._cursor.copy(*args)


def test_a_crash_before_any_statement_leaves_what_a_restart_goes_on_from(
    ledger: Any, opened: Opened
) -> None:
    crashes = 0
    for dies_at in range(40):
        write_entries(260)
        before = positions(ledger.urls)
        sealer = _eventually(opened)
        counting = _Counting(sealer.connection, dies_at)
        sealer.connection = counting  # type: ignore[assignment]
        try:
            seal_once(sealer, now=NOW)
        except (_Crash, psycopg.Error):
            crashes += 1
            assert positions(ledger.urls) == before
        else:
            sealer.connection.close()
            break
        after = _eventually(opened)
        while seal_once(after, now=NOW).count:
            pass
        after.connection.close()
        check_all(ledger.urls)
    assert crashes >= 6


def test_a_sealer_refuses_to_build_on_a_changed_leaf(
    ledger: Any, seal_all: Callable[[], int], opened: Opened
) -> None:
    write_entries(20)
    seal_all()
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "UPDATE ledger_entry SET leaf = sha256('forged') WHERE id ="
            " (SELECT entry_id FROM ledger_seal WHERE seq = 12)"
        )
    with pytest.raises(SealBroken):
        _eventually(opened)


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        ("UPDATE ledger_seal SET chain = sha256('x') WHERE seq = 9", "chain at 9"),
        ("DELETE FROM ledger_seal WHERE seq = 21", "leaves 0 to 21"),
        ("UPDATE ledger_seal_state SET chain = sha256('x')", "head of the chain"),
        (
            "UPDATE ledger_seal_state SET ranges ="
            " set_byte(ranges, 9, 1 # get_byte(ranges, 9))",
            "right edge of the tree",
        ),
        ("DELETE FROM ledger_seal_state", "seal state"),
    ],
)
def test_a_sealer_names_what_does_not_hold(
    ledger: Any, seal_all: Callable[[], int], opened: Opened, attack: str, named: str
) -> None:
    write_entries(20)
    assert seal_all() == 21
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(attack)
    with pytest.raises(Corrupt) as caught:
        _eventually(opened)
    assert named in caught.value.fields.values()


def test_the_state_of_another_cluster_is_not_taken_over(
    ledger: Any, seal_all: Callable[[], int], opened: Opened
) -> None:
    write_entries(3)
    seal_all()
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute("UPDATE ledger_seal_state SET system_id = system_id + 1")
    from ledger.operations.open_sealer import ClusterChanged

    with pytest.raises(ClusterChanged):
        _eventually(opened)


def test_an_upgraded_cluster_is_adopted_and_sealing_goes_on(
    ledger: Any, seal_all: Callable[[], int], opened: Opened
) -> None:
    write_entries(3)
    seal_all()
    write_entries(2)
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute("UPDATE ledger_seal_state SET system_id = 77")
    with connect(ledger.urls.sealer_url) as connection:
        before, now = facade.adopt_cluster(connection, ledger=ledger.row)
    assert before == 77
    assert now > 77
    assert seal_once(_eventually(opened), now=NOW).count == 2
    check_all(ledger.urls)


def test_a_cluster_whose_counter_is_behind_is_not_adopted(ledger: Any) -> None:
    write_entries(1)
    with connect(ledger.urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE ledger_entry SET xid = '9000000000'")
    with connect(ledger.urls.sealer_url) as connection, pytest.raises(XidBehind):
        facade.adopt_cluster(connection, ledger=ledger.row)


def test_proofs_of_sealed_entries_lead_to_the_signed_root(
    ledger: Any, seal_all: Callable[[], int]
) -> None:
    write_entries(700)
    size = seal_all()
    signed = facade.latest_checkpoint()
    assert signed is not None
    for seq in (1, 2, 255, 256, 257, 512, 513, 700):
        proof = facade.prove_inclusion(uid=facade.get_by_seq(ledger_id=1, seq=seq).uid)
        check_inclusion(
            leaf=proof.leaf,
            index=seq - 1,
            size=proof.size,
            path=proof.path,
            root=signed.root,
        )
    for first in (1, 256, 300, 512, 699):
        proof = facade.prove_consistency(first=first, second=size)
        check_consistency(
            first=first,
            second=size,
            first_root=proof.first_root,
            second_root=proof.second_root,
            path=proof.path,
        )


def test_an_entry_without_position_has_no_proof_yet(
    ledger: Any, seal_all: Callable[[], int]
) -> None:
    write_entries(1)
    seal_all()
    waiting = append_drafts([make_entry()])[0]
    with pytest.raises(NotSealedYet):
        facade.prove_inclusion(uid=waiting.uid)


def test_the_hourly_reference_binds_the_chain_to_the_signed_root(
    ledger: Any, seal_all: Callable[[], int]
) -> None:
    write_entries(5)
    assert seal_all() == 6
    assert facade.get_by_seq(ledger_id=1, seq=6).entry.kind == facade.Kind.CHECKPOINT_REF
    write_entries(5)
    # The same hour: no second one.
    assert seal_all() == 11


def test_the_batch_limit_is_what_the_loop_uses() -> None:
    assert seal_module.BATCH_MAX == 10_000


def _eventually(opened: Opened) -> Sealer:
    """The server needs a moment to see that a session is gone."""
    for _ in range(100):
        try:
            return opened()
        except SealerElsewhere:
            time.sleep(0.05)
    raise TimeoutError("the advisory lock was never released")
