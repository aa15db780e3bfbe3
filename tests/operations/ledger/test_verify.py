"""Is every attack found, and named? The attacker is a superuser, the triggers are off."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import facade
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.operations.keep_signing_key import load_signing_key, load_verifier_keys
from ledger.operations.record_verification import VerifierMode
from ledger.operations.verify_ledger import verify_ledger
from ledger.operations.verify_walk import Audit

from .rows import NOW, ORIGIN, connect, write_entries

Seal = Callable[..., int]


@pytest.fixture
def verify(ledger: Any, key_file: Path) -> Callable[..., Audit]:
    def run(mode: VerifierMode = VerifierMode.FULL, trusted: tuple[str, ...] = ()) -> Audit:
        keys = load_verifier_keys(path=key_file, name=ORIGIN)
        return verify_ledger(mode=mode, keys=keys, trusted=trusted)

    return run


@pytest.fixture
def sealed(ledger: Any, seal_all: Seal, key_file: Path) -> Any:
    """600 entries with a second checkpoint in the middle."""
    facade.intern(facade.Domain.DIMS, {"a": "1"}, ledger_id=1, actor=0, now=NOW)
    # One big hold that all the settles below are taken from.
    write_entries(
        1,
        kind=facade.Kind.RESERVE,
        amount_nanos=0,
        held_nanos=10_000_000_000,
        env_version=1,
        tok_in=0,
        tok_out=0,
    )
    write_entries(98)
    write_entries(1, counter_nanos=111_000_001)
    write_entries(1, counter_nanos=222_000_002)
    write_entries(179)
    seal_all()
    note = facade.latest_checkpoint()
    assert note is not None
    ledger.kept = note.note
    write_entries(320)
    seal_all(NOW.replace(minute=40))
    return ledger


def attack(urls: Any, *statements: str) -> None:
    with connect(urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for statement in statements:
            superuser.execute(statement)


def entry_at(seq: int) -> str:
    return f"id = (SELECT entry_id FROM ledger_seal WHERE seq = {seq})"


def test_an_honest_ledger_has_no_finding(sealed: Any, verify: Callable[..., Audit]) -> None:
    for mode in (VerifierMode.FULL, VerifierMode.INCREMENTAL):
        audit = verify(mode, (sealed.kept,))
        assert audit.findings == []
        assert audit.size == facade.seal_state(now=NOW).seq
        assert audit.head == facade.seal_state(now=NOW).head
    assert audit.mode is VerifierMode.INCREMENTAL
    assert audit.from_seq > 200


ATTACKS = {
    "one nano": (
        f"UPDATE ledger_entry SET amount_nanos = amount_nanos + 1 WHERE {entry_at(77)}",
        ("entry_changed", 77, "amount_nanos", "3915000", "3915001"),
    ),
    "one nano of a recent entry": (
        f"UPDATE ledger_entry SET held_nanos = held_nanos - 1 WHERE {entry_at(500)}",
        ("entry_changed", 500, "held_nanos", "-3915000", "-3915001"),
    ),
    "tokens": (
        f"UPDATE ledger_entry SET tok_out = 0 WHERE {entry_at(310)}",
        ("entry_changed", 310, None, None, "0"),
    ),
    "text": (
        f"UPDATE ledger_entry SET ref = 'other' WHERE {entry_at(90)}",
        ("entry_changed", 90, "", None, None),
    ),
    "deleted in the middle": (
        f"DELETE FROM ledger_entry WHERE {entry_at(120)}",
        ("entry_missing", 120, None, None, "none"),
    ),
    "deleted beside the own checkpoint": (
        f"DELETE FROM ledger_entry WHERE {entry_at(270)}",
        ("entry_missing", 270, None, None, "none"),
    ),
    "last deleted": (
        "DELETE FROM ledger_entry WHERE id ="
        " (SELECT entry_id FROM ledger_seal ORDER BY seq DESC LIMIT 1)",
        ("entry_missing", 602, None, None, "none"),
    ),
    "forged leaf": (
        "UPDATE ledger_entry SET amount_nanos = 1, held_nanos = -1, leaf = sha256('x')"
        f" WHERE {entry_at(200)}",
        (None, 200, None, None, None),
    ),
    "chain": (
        "UPDATE ledger_seal SET chain = sha256('x') WHERE seq = 450",
        ("chain_broken", 450, "chain", None, None),
    ),
    "tile": (
        "UPDATE ledger_tile SET hashes = set_byte(hashes, 5000, 1 # get_byte(hashes, 5000))"
        " WHERE level = 0 AND idx = 1",
        (None, 413, None, None, None),
    ),
    "tile gone": (
        "DELETE FROM ledger_tile WHERE idx = 1",
        ("tile_missing", 0, None, None, None),
    ),
    "seal row gone": (
        "DELETE FROM ledger_seal WHERE seq = 333",
        ("seal_missing", 333, None, None, None),
    ),
    "rollup": (
        "UPDATE rollup_day SET amount_nanos = amount_nanos - 7"
        " WHERE ctid = (SELECT min(ctid) FROM rollup_day)",
        ("rollup_drift", 0, "rollup_day.amount_nanos", None, None),
    ),
    "rollup invented": (
        "INSERT INTO rollup_hour SELECT '2026-01-01Z', amount_nanos, held_nanos,"
        " unsettled_nanos, reserved_nanos, counter_nanos, n, tok_in, tok_cache_read,"
        " tok_cache_write, tok_cache_write_1h, tok_out, tok_reasoning, upto_seq, ledger_id,"
        " 99, envelope_id, venue_id, model_id, dims_id, kind_class FROM rollup_hour LIMIT 1",
        ("rollup_drift", 0, None, "0", None),
    ),
    "state": (
        "UPDATE ledger_seal_state SET chain = sha256('x')",
        ("seal_state", 0, "chain", None, None),
    ),
    "checkpoint root": (
        "UPDATE ledger_checkpoint SET root = sha256('x')"
        " WHERE size = (SELECT max(size) FROM ledger_checkpoint)",
        ("checkpoint_changed", 0, "root", None, None),
    ),
}


@pytest.mark.parametrize("mode", list(VerifierMode)[1:])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_and_named(
    sealed: Any, verify: Callable[..., Audit], name: str, mode: VerifierMode
) -> None:
    statement, (code, seq, column, expected, found) = ATTACKS[name]
    attack(sealed.urls, statement)
    audit = verify(mode, (sealed.kept,))
    assert audit.findings
    first = audit.findings[0]
    assert first.seq == seq
    assert code is None or first.code == code
    assert column is None or first.column == column
    assert expected is None or first.expected == expected
    assert found is None or first.found == found


@pytest.mark.parametrize("mode", list(VerifierMode)[1:])
def test_two_swapped_amounts_are_both_named(
    sealed: Any, verify: Callable[..., Audit], mode: VerifierMode
) -> None:
    attack(
        sealed.urls,
        "UPDATE ledger_entry e SET counter_nanos = o.counter_nanos FROM ledger_entry o"
        f" WHERE e.{entry_at(101)} AND o.{entry_at(102)}"
        f" OR e.{entry_at(102)} AND o.{entry_at(101)}",
    )
    found = verify(mode, (sealed.kept,)).findings
    assert [finding.seq for finding in found] == [101, 102]
    assert {finding.column for finding in found} == {"counter_nanos"}
    assert found[0].expected == found[1].found == "111000001"
    assert found[1].expected == found[0].found == "222000002"


def test_a_partition_taken_out_changed_and_put_back_is_named(
    sealed: Any, verify: Callable[..., Audit]
) -> None:
    part, bounds = "ledger_entry_2026_11", "FROM ('2026-11-01Z') TO ('2026-12-01Z')"
    attack(
        sealed.urls,
        f"ALTER TABLE ledger_entry DETACH PARTITION {part}",
        f"UPDATE {part} SET tok_in = tok_in + 5 WHERE {entry_at(44)}",
        f"ALTER TABLE ledger_entry ATTACH PARTITION {part} FOR VALUES {bounds}",
    )
    first = verify().findings[0]
    assert (first.seq, first.column, first.expected) == (44, "tok_in", "400")


def test_the_whole_end_cut_off_is_found_by_the_kept_checkpoint(
    sealed: Any, verify: Callable[..., Audit], key_file: Path
) -> None:
    newest = facade.latest_checkpoint()
    assert newest is not None
    attack(
        sealed.urls,
        "TRUNCATE ledger_seal, ledger_tile, ledger_checkpoint, ledger_anchor",
        "TRUNCATE rollup_hour, rollup_day, ledger_seal_state",
        "DELETE FROM ledger_entry WHERE id > (SELECT min(id) + 99 FROM ledger_entry)",
    )
    _reseal(sealed, key_file)
    assert verify().findings == []
    audit = verify(VerifierMode.INCREMENTAL, (newest.note,))
    assert audit.findings[0].code == "ledger_shorter"


def test_a_full_rewrite_signed_with_the_right_key_is_found_by_the_kept_checkpoint(
    sealed: Any, verify: Callable[..., Audit], key_file: Path
) -> None:
    attack(
        sealed.urls,
        "TRUNCATE ledger_seal, ledger_tile, ledger_checkpoint, ledger_anchor",
        "TRUNCATE rollup_hour, rollup_day, ledger_seal_state",
        "UPDATE ledger_entry SET leaf = sha256(leaf), amount_nanos = 3, held_nanos = -3"
        " WHERE id = (SELECT min(id) + 40 FROM ledger_entry)",
    )
    _rehash(sealed.urls)
    _reseal(sealed, key_file)
    # Consistent in itself: only who kept something outside can know.
    assert verify().findings == []
    for mode in (VerifierMode.FULL, VerifierMode.INCREMENTAL):
        codes = {finding.code for finding in verify(mode, (sealed.kept,)).findings}
        assert "history_rewritten" in codes


def test_a_checkpoint_signed_by_an_unknown_key_is_named(
    sealed: Any, verify: Callable[..., Audit], tmp_path: Path
) -> None:
    newest = facade.latest_checkpoint()
    assert newest is not None
    stranger = load_signing_key(path=tmp_path / "other" / "k.pem", name=ORIGIN)
    note = sign_checkpoint(Checkpoint(ORIGIN, newest.size, newest.root), stranger)
    with connect(sealed.urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "UPDATE ledger_checkpoint SET note = %s WHERE size = %s", [note, newest.size]
        )
    assert [finding.code for finding in verify().findings] == ["signature_invalid"]


def test_an_edited_document_and_a_missing_one_are_named(
    sealed: Any, verify: Callable[..., Audit]
) -> None:
    attack(
        sealed.urls,
        "ALTER TABLE ledger_document DROP CONSTRAINT document_hash_is_of_body",
        "UPDATE ledger_document SET body = body || ' ' WHERE hash ="
        " (SELECT doc FROM ledger_entry WHERE kind = 32 LIMIT 1)",
    )
    try:
        assert "document" in {finding.code for finding in verify().findings}
    finally:
        attack(
            sealed.urls,
            "DELETE FROM ledger_document",
            "ALTER TABLE ledger_document ADD CONSTRAINT document_hash_is_of_body"
            " CHECK (hash = sha256(body))",
        )
    assert "i8" in {finding.code for finding in verify().findings}


def test_an_entry_slipped_below_the_cursor_is_named(
    sealed: Any, verify: Callable[..., Audit]
) -> None:
    stray = write_entries(1)[0]
    attack(
        sealed.urls,
        f"UPDATE ledger_entry SET xid = '4' WHERE id = {stray.id}",
    )
    found = verify().findings[0]
    assert (found.code, found.uid) == ("entry_unsealed", str(stray.uid))


def test_the_command_answers_names_records_and_remembers(
    sealed: Any, key_file: Path, settings: Any, tmp_path: Path, capsys: Any
) -> None:
    from django.core.management import call_command

    settings.O10_HOME = tmp_path / "home"
    settings.O10_SIGNING_KEY_FILE = str(key_file)
    call_command("ledger_verify", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert said["mode"] == "full"
    assert (tmp_path / "home" / "verify" / "last_checkpoint").exists()
    assert facade.seal_badge(now=NOW).state is facade.SealVerdict.VERIFIED

    attack(sealed.urls, ATTACKS["one nano"][0])
    with pytest.raises(SystemExit) as left:
        call_command("ledger_verify", "--json")
    assert left.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["mode"] == "incremental"
    assert said["first"]["seq"] == 77
    assert said["first"]["column"] == "amount_nanos"
    badge = facade.seal_badge(now=NOW)
    assert badge.state is facade.SealVerdict.BROKEN
    assert badge.finding is not None
    assert badge.finding["seq"] == 77


def test_a_checkpoint_file_that_is_none_is_a_wrong_call(
    sealed: Any, settings: Any, tmp_path: Path
) -> None:
    from django.core.management import call_command

    settings.O10_HOME = tmp_path / "home"
    wrong = tmp_path / "note"
    wrong.write_text("hello\n")
    with pytest.raises(SystemExit) as left:
        call_command("ledger_verify", "--checkpoint", str(wrong))
    assert left.value.code == 2


def _rehash(urls: Any) -> None:
    from ledger.core.canonical import encode
    from ledger.core.chain import leaf

    page = facade.list_entries(ledger_id=1, where=facade.EntryFilter(), limit=1000)
    with connect(urls.superuser_url) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for stored in page.items:
            superuser.execute(
                "UPDATE ledger_entry SET leaf = %s WHERE id = %s",
                [leaf(encode(stored.entry)), stored.id],
            )


def _reseal(sealed: Any, key_file: Path) -> None:
    from ledger.operations.open_sealer import open_sealer
    from ledger.operations.seal import seal_once
    from ledger.operations.sign import read_signed, sign_if_due

    key = load_signing_key(path=key_file, name=ORIGIN)
    with connect(sealed.urls.sealer_url) as connection:
        sealer = open_sealer(connection, ledger=sealed.row, keys=(key.verifier,), now=NOW)
        while seal_once(sealer, now=NOW).count:
            pass
        sign_if_due(sealer, read_signed(sealer), key=key, now=NOW)
