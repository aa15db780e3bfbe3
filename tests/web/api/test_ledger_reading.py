"""Can an outsider read the ledger over HTTP and check what was read?"""

import hashlib
from uuid import UUID

import pytest

from ledger.core.checkpoint import check_note
from ledger.core.merkle import check_consistency, check_inclusion
from ledger.operations.keep_signing_key import load_signing_key
from o10.access.roles import Role
from o10.kernel.ids import id_of
from tests.operations.ledger.rows import ORIGIN, write_entries

from .conftest import problem


@pytest.fixture
def auditor(ledger, script):
    return script(Role.AUDITOR)


def hexes(values):
    return tuple(bytes.fromhex(value) for value in values)


def test_a_list_pages_through_all_entries_newest_first(auditor, seal_all):
    written = [write_entries()[0] for _ in range(7)]
    sealed = seal_all()
    seen, cursor = [], None
    while True:
        query = {"limit": 3, "kind": "settle"} | ({"cursor": cursor} if cursor else {})
        page = auditor.get("ledger/entries", query)
        assert page.status_code == 200, page.content
        told = page.json()
        assert told["as_of"] == {"ledger_seq": sealed}
        seen += told["items"]
        cursor = told["next"]
        if cursor is None:
            break
    assert [item["id"] for item in seen] == [
        id_of("ent", stored.uid) for stored in reversed(written)
    ]
    assert [item["seq"] for item in seen] == list(range(7, 0, -1))


def test_one_entry_shows_its_fields_and_its_leaf_recomputes(auditor, seal_all):
    stored = write_entries()[0]
    public = id_of("ent", stored.uid)
    before = auditor.get(f"ledger/entries/{public}").json()
    assert (before["seq"], before["chain"]) == (None, None)
    seal_all()
    told = auditor.get(f"ledger/entries/{public}").json()
    assert told["kind"] == "settle"
    assert told["seq"] == 1
    assert told["leaf"] == stored.leaf.hex()
    assert told["entry"]["amount_nanos"] == 3_915_000


def test_a_proof_checks_against_the_signed_checkpoint(auditor, seal_all, key_file):
    stored = write_entries(5)[2]
    public = id_of("ent", stored.uid)
    waiting = auditor.get(f"ledger/entries/{public}/proof")
    assert problem(waiting)["code"] == "not_sealed_yet"
    seal_all()
    told = auditor.get(f"ledger/entries/{public}/proof").json()
    image = bytes.fromhex(told["image"])
    assert hashlib.sha256(b"\x00" + image).hexdigest() == told["leaf"]
    check_inclusion(
        leaf=bytes.fromhex(told["leaf"]),
        index=told["index"],
        size=told["size"],
        path=hexes(told["path"]),
        root=bytes.fromhex(told["root"]),
    )
    note = auditor.get("ledger/checkpoint")
    assert note.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert note.content.decode().splitlines()[0] == ORIGIN
    key = load_signing_key(path=key_file, name=ORIGIN)
    checked, _ = check_note(told["checkpoint"], keys=[key.verifier])
    assert checked.root.hex() == told["root"]


def test_consistency_between_two_checkpoints(auditor, seal_all):
    write_entries(3)
    first = seal_all()
    write_entries(300)
    second = seal_all()
    told = auditor.get("ledger/consistency", {"from": first, "to": second}).json()
    check_consistency(
        first=first,
        second=second,
        first_root=bytes.fromhex(told["first_root"]),
        second_root=bytes.fromhex(told["second_root"]),
        path=hexes(told["path"]),
    )
    backwards = auditor.get("ledger/consistency", {"from": second, "to": first})
    assert problem(backwards)["code"] == "proof_out_of_range"


def test_tiles_are_raw_hashes_and_full_ones_are_for_ever(auditor, seal_all):
    leaves = [stored.leaf for stored in write_entries(260)]
    seal_all()
    full = auditor.get("ledger/tile/0/000")
    assert full.content == b"".join(leaves[:256])
    assert "immutable" in full.headers["Cache-Control"]
    partial = auditor.get("ledger/tile/0/001.p/4")
    assert partial.content == b"".join(leaves[256:260])
    assert "immutable" not in partial.headers["Cache-Control"]


def test_checkpoint_and_hash_tiles_are_open_and_entries_are_not(
    ledger,
    seal_all,
    client,
):
    write_entries(2)
    seal_all()
    assert client.get("/api/v1/ledger/checkpoint").status_code == 200
    assert client.get("/api/v1/ledger/tile/0/000.p/2").status_code == 200
    for closed in (
        "ledger/tile/entries/000.p/2",
        "ledger/entries",
        "ledger/consistency?from=1&to=2",
    ):
        answer = client.get(f"/api/v1/{closed}")
        assert problem(answer)["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_sees_the_entries_of_its_use_cases_alone(ledger, script, seal_all):
    from django.db import transaction

    from ledger import facade
    from tests.operations.ledger.rows import NOW

    with transaction.atomic():
        for number, slug in ((3, "mine"), (4, "theirs")):
            facade.bind(
                facade.Domain.USE_CASE,
                number,
                {"id": f"uc_{slug}", "slug": slug, "name": slug, "department": "d"},
                ledger_id=1,
                actor=0,
                now=NOW,
            )
    mine = write_entries(use_case_id=3)[0]
    theirs = write_entries(use_case_id=4)[0]
    seal_all()
    viewer = script(Role.VIEWER, use_cases=["mine"])
    listed = viewer.get("ledger/entries").json()["items"]
    assert [item["id"] for item in listed] == [id_of("ent", mine.uid)]
    assert listed[0]["names"]["use_case"]["slug"] == "mine"
    hidden = id_of("ent", theirs.uid)
    for path in (f"ledger/entries/{hidden}", f"ledger/entries/{hidden}/proof"):
        assert problem(viewer.get(path))["code"] == "not_found"
    refused = viewer.get("ledger/entries", {"use_case": "theirs"})
    assert problem(refused)["errors"][0]["field"] == "/use_case"
    assert problem(viewer.get("ledger/tile/entries/000.p/2"))["code"] == "forbidden"
    stranger = script(Role.VIEWER, use_cases=["nothing-yet"])
    assert stranger.get("ledger/entries").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"cursor": "nonsense"}, "/cursor"),
        ({"cursor": "1.2.3"}, "/cursor"),
        ({"limit": "0"}, "/limit"),
        ({"limit": "201"}, "/limit"),
        ({"limit": "-1"}, "/limit"),
        ({"limit": "ten"}, "/limit"),
        ({"limit": "\u0663"}, "/limit"),
        ({"kind": "payment"}, "/kind"),
        ({"use_case": "nobody"}, "/use_case"),
        ({"envelope": "env_nobody"}, "/envelope"),
        ({"reservation": "rsv_short"}, "/reservation"),
        ({"effective_from": "yesterday"}, "/effective_from"),
        ({"effective_from": "2026-11-01T00:00:00"}, "/effective_from"),
        ({"seq_from": "-1"}, "/seq_from"),
        ({"seq_to": "9" * 30}, "/seq_to"),
        ({"use-case": "misspelt"}, "/use-case"),
        ({"limit": ["1", "2"]}, "/limit"),
        ({"ref": "a\x00b"}, "/ref"),
    ],
)
def test_a_wrong_filter_is_named_and_never_ignored(auditor, query, pointer):
    answer = auditor.get("ledger/entries", query)
    told = problem(answer)
    assert (told["status"], told["code"]) == (422, "validation_failed")
    assert [error["field"] for error in told["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"ledger/entries/{id_of('ent', UUID(int=7))}", 404, "not_found"),
        ("ledger/entries/ent_x", 404, "not_found"),
        ("ledger/entries/12", 404, "not_found"),
        (f"ledger/entries/{id_of('env', UUID(int=7))}", 404, "not_found"),
        (f"ledger/entries/{id_of('ent', UUID(int=7))}/proof", 404, "not_found"),
        ("ledger/checkpoint", 404, "not_found"),
        ("ledger/tile/0/000", 404, "not_found"),
        ("ledger/tile/0/0", 404, "tile_path_invalid"),
        ("ledger/tile/99/000", 404, "tile_path_invalid"),
        ("ledger/tile/0/000.p/257", 404, "not_found"),
        ("ledger/tile/../../x", 404, "tile_path_invalid"),
        ("ledger/consistency", 422, "validation_failed"),
        ("ledger/consistency?from=1&to=9", 404, "not_found"),
        ("ledger/consistency?from=-1&to=1", 422, "validation_failed"),
        ("ledger/consistency?from=1&to=NaN", 422, "validation_failed"),
    ],
)
def test_what_is_not_there_is_a_problem(auditor, path, status, code):
    told = problem(auditor.get(path))
    assert (told["status"], told["code"]) == (status, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_ledger_takes_no_writes_here(auditor, method):
    for path in ("ledger/entries", "ledger/checkpoint", "ledger/consistency"):
        answer = auditor.send(method, path, {})
        assert problem(answer)["code"] == "method_not_allowed"
        assert "GET" in answer.headers["Allow"]
