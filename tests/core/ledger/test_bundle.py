"""Does an auditor with nothing but a directory find every attack on it?"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import verify
from ledger.core.bundle import BundleIncomplete, balances_root, lay_out
from ledger.core.canonical import encode
from ledger.core.checkpoint import SigningKey, VerifierKey
from ledger.core.entry import COLUMNS_V1, Kind
from ledger.core.tiles import TILE_WIDTH, pack_images, tiles_of, unpack_images

from .books import ORIGIN, SIGNER, Book, contents_of, export, number, spending

STRANGER = SigningKey(name=ORIGIN, seed=bytes(range(7, 39)))
SIZES = (1, 255, 256, 257, 400)
ENTRIES_0 = "tile/entries/000"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 563 honest entries with six checkpoints."""
    return export(spending(200), tmp_path_factory.mktemp("sound"), sizes=SIZES)


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "bundle"))


def run(directory: Path, *words: str) -> tuple[int, dict]:
    """As an auditor runs it: another process, isolated, no package of o10 on the path."""
    found = subprocess.run(
        [sys.executable, "-I", str(directory / "verify.py"), str(directory), "--json", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
    )
    assert found.stderr == ""
    return found.returncode, json.loads(found.stdout)


def look(directory: Path, trust: str | None = None) -> verify.Verdict:
    trusted = verify.Checkpoint.parse(trust) if trust else None
    return verify.Bundle(directory, trusted=trusted).verify()


def rewrite(directory: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file and its sum in the manifest: an attacker would."""
    file, manifest = directory / path, directory / "manifest.json"
    file.write_bytes(change(file.read_bytes()))
    listed = json.loads(manifest.read_text())
    listed["files"][path] = sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(listed))


def in_image(tile: bytes, seq: int, place: int, byte: int) -> bytes:
    images = unpack_images(tile)
    image = bytearray(images[seq - 1])
    image[place] ^= byte
    images[seq - 1] = bytes(image)
    return pack_images(images)


# ---- sound bundles


def test_a_sound_bundle_passes_and_prints_its_root(sound: Path) -> None:
    code, verdict = run(sound)
    assert (code, verdict["ok"], verdict["findings"], verdict["notes"]) == (0, True, [], [])
    assert verdict["size"] == verdict["entries"] == 563
    contents, leaves, _ = contents_of(spending(200))
    assert verdict["chain"] == contents.chain[563].hex()
    assert verdict["root"] == verify.root_of(leaves).hex()


def test_the_text_for_a_person_ends_in_a_plain_verdict(
    sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(sound)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{ORIGIN}: 563 entries, 563 read\n")
    assert said.endswith("OK: every check passed\n")


def test_the_verifier_imports_nothing_outside_the_standard_library() -> None:
    code = (
        "import sys, importlib.util as u\n"
        "sys.modules['cryptography'] = None\n"
        f"s = u.spec_from_file_location('verify', {verify.__file__!r})\n"
        "m = u.module_from_spec(s); sys.modules['verify'] = m; s.loader.exec_module(m)\n"
        "new = {n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(new))\n"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['__main__', 'cryptography', 'verify']"


def test_signatures_are_checked_without_the_cryptography_package_too(sound: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-I", "-S", str(sound / "verify.py"), str(sound)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("calls", [0, 1])
def test_the_smallest_ledgers_pass(tmp_path: Path, calls: int) -> None:
    book = spending(calls)
    book.entries = book.entries if calls else []
    assert look(export(book, tmp_path)).findings == []


def test_an_empty_ledger_has_the_empty_root(tmp_path: Path) -> None:
    code, verdict = run(export(Book(), tmp_path))
    assert (code, verdict["root"]) == (0, sha256(b"").hexdigest())


@pytest.mark.parametrize("entries", [255, 256, 257, 512])
def test_ledgers_at_the_edges_of_tiles_pass(tmp_path: Path, entries: int) -> None:
    book = Book().open(None)
    while len(book.entries) < entries:
        book.unbudgeted(1)
    assert look(export(book, tmp_path, sizes=(entries - 1,))).findings == []


def test_a_bundle_has_the_tiles_and_images_that_c2sp_says(sound: Path) -> None:
    for tile in tiles_of(563):
        assert len((sound / tile.path()).read_bytes()) == 32 * tile.width
    images = [
        image
        for path in (ENTRIES_0, "tile/entries/001", "tile/entries/002.p/51")
        for image in unpack_images((sound / path).read_bytes())
    ]
    assert images == spending(200).images()
    manifest = json.loads((sound / "manifest.json").read_text())
    assert manifest["image"]["columns"] == [
        {"name": c.name, "type": c.type} for c in COLUMNS_V1
    ]
    present = {p.relative_to(sound).as_posix() for p in sound.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == present - {"manifest.json"}


def test_a_part_of_a_ledger_is_read_as_a_part(tmp_path: Path) -> None:
    directory = export(spending(200), tmp_path, first_seq=257, last_seq=512)
    code, verdict = run(directory)
    assert (code, verdict["entries"]) == (0, 256)
    assert "entries 257 to 512 of 563 are inside" in verdict["notes"]


def test_a_pruned_range_is_said_and_is_no_finding(tmp_path: Path) -> None:
    directory = export(spending(200), tmp_path, pruned=((1, 256),))
    code, verdict = run(directory)
    assert (code, verdict["entries"]) == (0, 307)
    assert "entries 1 to 256 are pruned: not checked" in verdict["notes"]


def test_a_pruned_document_is_said_and_is_no_finding(tmp_path: Path) -> None:
    book = spending(20)
    digest = book.document({"decision": "deny"})
    book.write(kind=Kind.DENY, n=1, doc=digest)
    del book.documents[digest]
    assert look(export(book, tmp_path, pruned_documents=(digest,))).findings == []


def test_too_few_leaves_or_images_make_no_bundle() -> None:
    contents, leaves, images = contents_of(spending(20))
    with pytest.raises(BundleIncomplete):
        list(lay_out(contents, leaves=leaves[:-1], images=images))
    with pytest.raises(BundleIncomplete):
        list(lay_out(contents, leaves=leaves, images=images[:-1]))


# ---- attacks that the files alone show


def test_one_nano_is_reported_as_exactly_that_entry(bundle: Path) -> None:
    rewrite(bundle, ENTRIES_0, lambda tile: in_image(tile, 17, 133, 1))
    code, verdict = run(bundle)
    first = verdict["first"]
    assert (code, first["check"], first["seq"]) == (1, "leaf", 17)
    assert first["uid"] == str(spending(200).entries[16].uid)
    assert {
        finding["seq"] for finding in verdict["findings"] if finding["check"] == "leaf"
    } == {17}


def test_two_swapped_amounts_are_reported_as_both_entries(bundle: Path) -> None:
    settles = [i for i, e in enumerate(spending(200).entries) if e.kind == Kind.SETTLE]
    first, second = settles[0], settles[1]

    def swap(tile: bytes) -> bytes:
        images = unpack_images(tile)
        a, b = images[first], images[second]
        images[first], images[second] = (
            a[:126] + b[126:134] + a[134:],
            b[:126] + a[126:134] + b[134:],
        )
        return pack_images(images)

    rewrite(bundle, ENTRIES_0, swap)
    leaves = [f.seq for f in look(bundle).findings if f.check == "leaf"]
    assert leaves == [first + 1, second + 1]


def test_a_changed_entry_with_a_forged_leaf_is_caught_by_the_root(bundle: Path) -> None:
    rewrite(bundle, ENTRIES_0, lambda tile: in_image(tile, 17, 133, 1))
    image = unpack_images((bundle / ENTRIES_0).read_bytes())[16]
    forged = sha256(b"\x00" + image).digest()
    rewrite(bundle, "tile/0/000", lambda tile: tile[: 16 * 32] + forged + tile[17 * 32 :])
    findings = look(bundle).findings
    assert {"checkpoint", "chain", "tile"} <= {finding.check for finding in findings}
    roots = [f for f in findings if f.check == "checkpoint"]
    assert sorted(f.where for f in roots) == [
        "checkpoint",
        *(f"checkpoints/{size}" for size in (255, 256, 257, 400, 563)),
    ]


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/51", "tile/1/000.p/2"])
def test_an_edited_tile_byte_is_named(bundle: Path, path: str) -> None:
    rewrite(bundle, path, lambda tile: bytes([tile[0] ^ 1]) + tile[1:])
    findings = look(bundle).findings
    assert findings
    assert any(f.where == path or f.check == "leaf" for f in findings)


def test_an_edited_chain_hash_is_named(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["chain"][2]["chain"] = "00" * 32
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    finding = look(bundle).findings[0]
    assert (finding.check, finding.what) == ("chain", "the chain hash after 256 entries")


def test_a_chain_hash_left_out_is_named(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["chain"][-1]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert look(bundle).findings[0].what == "no chain hash is stated for checkpoint 563"


def test_an_edited_document_is_named_with_its_entry(bundle: Path) -> None:
    rewrite(
        bundle,
        "documents.jsonl",
        lambda text: text.replace(
            b'"cap_nanos":1000000000000', b'"cap_nanos":1000000000001', 1
        ),
    )
    findings = look(bundle).findings
    assert findings[0].check == "document"
    assert findings[0].seq in (1, 2, 3)


def test_a_document_taken_out_is_named_with_its_entry(bundle: Path) -> None:
    rewrite(bundle, "documents.jsonl", lambda text: text.split(b"\n", 1)[1])
    finding = look(bundle).findings[0]
    assert (finding.check, finding.what) == ("I8", "its document is missing")


def test_every_removed_file_is_named(sound: Path, tmp_path: Path) -> None:
    files = [path for path in sound.rglob("*") if path.is_file() and path.name != "verify.py"]
    for number_, path in enumerate(files):
        copy = Path(shutil.copytree(sound, tmp_path / str(number_)))
        gone = path.relative_to(sound)
        (copy / gone).unlink()
        named = {finding.where for finding in look(copy).findings}
        assert gone.as_posix() in named, gone


def test_a_removed_file_that_the_manifest_forgets_is_named(bundle: Path) -> None:
    for path in ("tile/1/000.p/2", "tile/entries/001", "tile/0/001", "checkpoints/257"):
        copy = Path(shutil.copytree(bundle, bundle.parent / path.replace("/", "-")))
        (copy / path).unlink()
        manifest = json.loads((copy / "manifest.json").read_text())
        del manifest["files"][path]
        (copy / "manifest.json").write_text(json.dumps(manifest))
        verdict = look(copy)
        # A checkpoint in between may be left out: the newest one covers all of it.
        assert bool(verdict.findings) == (path != "checkpoints/257"), path


def test_a_checkpoint_signed_by_an_unknown_key_is_named(tmp_path: Path) -> None:
    directory = export(spending(20), tmp_path, signers={59: [STRANGER]})
    finding = look(directory).findings[0]
    assert (finding.check, finding.what) == ("checkpoint", "signed by no known key")
    assert finding.expected == "ledger.example.com/acme+5cbf3414"


def test_a_wrong_signature_of_a_known_key_is_named(bundle: Path) -> None:
    note = (bundle / "checkpoints/400").read_text()
    other = (bundle / "checkpoints/257").read_text()
    forged = note.rpartition("— ")[0] + "— " + other.rpartition("— ")[2]
    rewrite(bundle, "checkpoints/400", lambda _: forged.encode())
    assert [f.what for f in look(bundle).findings] == [
        "a signature is wrong",
        "signed by no known key",
    ]


def test_an_older_checkpoint_of_another_history_is_named(tmp_path: Path) -> None:
    honest = spending(200)
    contents, leaves, images = contents_of(honest, sizes=(255,))
    notes = dict(contents.checkpoints)
    changed = spending(200)
    changed.change(5, latency_ms=1)
    other, _, _ = contents_of(changed, sizes=(255,))
    notes[255] = other.checkpoints[255]
    for path, content in lay_out(
        replace(contents, checkpoints=notes), leaves=leaves, images=images
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    finding = look(tmp_path).findings[0]
    assert (finding.check, finding.where) == ("checkpoint", "checkpoints/255")
    assert finding.what == "the root of the first 255 entries"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "o10-bundle-v2"},
        {"size": 562},
        {"size": "many"},
        {"entries": {"first": 2, "last": 563}},
        {"entries": {"first": 1, "last": 500}},
        {"pruned": [[3, 256]]},
        {"image": {"version": 2, "columns": []}},
        {"origin": "ledger.example.com/other"},
        {"files": {"../outside": "00"}},
        {"files": {}},
        {"chain": None},
    ],
    ids=str,
)
def test_a_manifest_that_says_something_else_is_named(bundle: Path, change: dict) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text()) | change
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, verdict = run(bundle)
    assert code == 1
    assert verdict["findings"]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte_in_any_file_is_found_even_with_its_sum_corrected(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """But for the verifier itself and free text: those are the auditor's to compare."""
    free = {"verify.py", "periods.json", "registry.json", "manifest.json"}
    paths = sorted(json.loads((sound / "manifest.json").read_text())["files"])
    path = data.draw(st.sampled_from([path for path in paths if path not in free]))
    place = data.draw(st.integers(0, len((sound / path).read_bytes()) - 1))
    bit = data.draw(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]))
    directory = tmp_path_factory.mktemp("flipped") / "bundle"
    shutil.copytree(sound, directory)

    def flip(content: bytes) -> bytes:
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]

    untouched = (directory / path).read_bytes()
    (directory / path).write_bytes(flip(untouched))
    assert path in {finding.where for finding in look(directory).findings}
    (directory / path).write_bytes(untouched)
    rewrite(directory, path, flip)
    findings = look(directory).findings
    shutil.rmtree(directory)
    assert findings


# ---- attacks that only the own checkpoint shows


def test_the_own_checkpoint_is_kept_and_moves_on(tmp_path: Path) -> None:
    own, book = tmp_path / "own.note", spending(100)
    first = export(book, tmp_path / "first")
    assert run(first, "--trust", str(own))[0] == 0
    assert own.read_bytes() == (first / "checkpoint").read_bytes()
    for _ in range(50):
        book.usage(7)
    second = export(book, tmp_path / "second")
    code, verdict = run(second, "--trust", str(own))
    assert code == 0
    assert any(
        f"extends the own one of {len(book.entries) - 50}" in n for n in verdict["notes"]
    )
    assert own.read_bytes() == (second / "checkpoint").read_bytes()


def attack_of_the_key_owner(book: Book, name: str) -> Book:
    """A full rewrite, re-signed with the right key: everything inside is consistent."""
    if name == "nano":
        entry = next(i for i, e in enumerate(book.entries, 1) if e.kind == Kind.USAGE)
        book.change(entry, amount_nanos=book.entries[entry - 1].amount_nanos + 1)
    elif name == "last row deleted":
        del book.entries[-1]
    elif name == "older backup":
        del book.entries[40:]
    elif name == "middle row deleted":
        index = next(i for i, e in enumerate(book.entries) if e.kind == Kind.DRIVER)
        del book.entries[index]
    return book


@pytest.mark.parametrize(
    "name", ["nano", "last row deleted", "older backup", "middle row deleted"]
)
def test_a_rewrite_signed_with_the_right_key_is_caught_by_the_own_checkpoint(
    tmp_path: Path, name: str
) -> None:
    def written() -> Book:
        book = spending(15)
        book.write(kind=Kind.DRIVER)
        return spending_on(book)

    def spending_on(book: Book) -> Book:
        for _ in range(10):
            book.unbudgeted(3)
        return book

    own = tmp_path / "own.note"
    assert run(export(written(), tmp_path / "first"), "--trust", str(own))[0] == 0
    kept = own.read_bytes()
    second = export(attack_of_the_key_owner(written(), name), tmp_path / "second")
    assert run(second)[0] == 0, "nothing inside the bundle shows it"
    code, verdict = run(second, "--trust", str(own))
    assert (code, verdict["first"]["check"]) == (1, "trust")
    assert own.read_bytes() == kept


def test_another_ledger_is_not_the_own_one(sound: Path) -> None:
    note = (sound / "checkpoint").read_text().replace("acme", "other")
    assert "another ledger" in {finding.what for finding in look(sound, note).findings}


def test_a_new_key_counts_once_an_old_one_signed_with_it(tmp_path: Path) -> None:
    book, keys = spending(100), (SIGNER.verifier, STRANGER.verifier)
    own = contents_of(book, sizes=(100,))[0].checkpoints[100]
    rotated = {200: [SIGNER, STRANGER], 282: [STRANGER]}
    honest = export(
        book, tmp_path / "honest", sizes=(100, 200, 282), signers=rotated, keys=keys
    )
    assert look(honest, own).findings == []
    stolen = {200: [SIGNER], 282: [STRANGER]}
    forged = export(book, tmp_path / "forged", sizes=(100, 200, 282), signers=stolen, keys=keys)
    assert look(forged).findings == []
    finding = look(forged, own).findings[0]
    assert (finding.what, finding.where) == ("signed by no known key", "checkpoints/282")


def test_keys_that_never_signed_the_own_checkpoint_are_unknown(tmp_path: Path) -> None:
    book = spending(20)
    size = len(book.entries)
    own = contents_of(book)[0].checkpoints[size]
    replaced = export(book, tmp_path, signers={size: [STRANGER]}, keys=(STRANGER.verifier,))
    assert look(replaced).findings == []
    assert "no key of the bundle signed the own checkpoint" in {
        finding.what for finding in look(replaced, own).findings
    }


# ---- references, registry, sealed balances


def test_a_checkpoint_ref_is_compared_with_what_is_recomputed(tmp_path: Path) -> None:
    book = spending(20)
    contents, leaves, _ = contents_of(book)
    size = len(book.entries)
    body = {
        "size": size,
        "root": verify.root_of(leaves).hex(),
        "chain": contents.chain[size].hex(),
    }
    book.write(kind=Kind.CHECKPOINT_REF, envelope_id=0, doc=book.document(body))
    assert look(export(book, tmp_path / "right")).findings == []
    book.write(
        kind=Kind.CHECKPOINT_REF,
        envelope_id=0,
        doc=book.document(body | {"chain": "00" * 32}),
    )
    finding = look(export(book, tmp_path / "wrong")).findings[0]
    assert (finding.check, finding.seq) == ("chain", size + 2)


def test_a_registry_that_no_entry_wrote_is_named(tmp_path: Path) -> None:
    book = spending(20)
    digest = book.document({"domain": "use_case", "number": 3, "body": {"slug": "support"}})
    book.write(kind=Kind.REGISTRY, envelope_id=0, doc=digest)
    right = {"use_case": {3: digest}}
    assert look(export(book, tmp_path / "right", registry=right)).findings == []
    for place, wrong in enumerate(({"use_case": {4: digest}}, {"use_case": {3: bytes(32)}})):
        findings = look(export(book, tmp_path / str(place), registry=wrong)).findings
        assert [finding.check for finding in findings] == ["registry"]


def closed(book: Book, *, settled: int, cap: int) -> tuple[Book, bytes]:
    lines = b"".join(
        verify.canonical(
            {
                "cap_nanos": cap,
                "envelope": f"env_{envelope}",
                "period": "2026-11",
                "settled_nanos": settled,
            }
        )
        + b"\n"
        for envelope in (1, 2, 3)
    )
    body = {
        "period": "2026-11",
        "start": "2026-11-01T00:00:00Z",
        "end": "2026-12-01T00:00:00Z",
        "balances_root": balances_root(lines).hex(),
    }
    book.write(kind=Kind.PERIOD_CLOSE, envelope_id=0, doc=book.document(body))
    return book, lines


def test_sealed_balances_are_compared_with_the_entries(tmp_path: Path) -> None:
    settled = spending(50).replay().balances()[1, verify.micros("2026-11-01T00:00:00Z")].settled
    book, lines = closed(spending(50), settled=settled, cap=10**12)
    right = export(book, tmp_path / "right", balances={"2026-11": lines})
    assert look(right).findings == []
    edited = lines.replace(
        b'"env_2","period":"2026-11","settled_nanos":',
        b'"env_2","period":"2026-11","settled_nanos":1',
    )
    wrong = export(book, tmp_path / "edited", balances={"2026-11": edited})
    assert {finding.check for finding in look(wrong).findings} == {"balances"}
    book, lines = closed(spending(50), settled=settled + 1, cap=10**12)
    wrong = export(book, tmp_path / "wrong", balances={"2026-11": lines})
    findings = look(wrong).findings
    assert [finding.what for finding in findings] == [
        f"the sealed balance of env_{envelope}" for envelope in (1, 2, 3)
    ]
    book, lines = closed(spending(50), settled=settled, cap=10**12)
    missing = look(export(book, tmp_path / "missing"))
    assert missing.findings == []
    assert missing.notes == ["balances/2026-11.jsonl isn't inside: sealed balances not checked"]


# ---- the command


@pytest.mark.parametrize(
    "words", [[], ["/nowhere"], ["--json"], ["--trust"], ["a", "b"], ["--help"]]
)
def test_a_wrong_call_is_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(words) == 2
    assert "usage: python verify.py DIR [--trust FILE] [--json]" in capsys.readouterr().err


def test_a_trust_file_that_is_no_note_is_usage(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.note").write_text("no note")
    assert verify.main([str(sound), "--trust", str(tmp_path / "own.note")]) == 2
    assert "is no checkpoint" in capsys.readouterr().err


def test_a_directory_without_a_manifest_differs(tmp_path: Path) -> None:
    assert verify.main([str(tmp_path), "--json"]) == 1


def test_a_file_beside_the_bundle_is_a_note(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("seen by me")
    code, verdict = run(bundle)
    assert (code, verdict["notes"]) == (0, ["not part of the bundle, ignored: notes.txt"])


def test_findings_are_told_in_the_order_of_the_ledger(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(bundle, "tile/entries/001", lambda tile: in_image(tile, 44, 60, 1))
    rewrite(bundle, ENTRIES_0, lambda tile: in_image(tile, 17, 60, 1))
    assert verify.main([str(bundle)]) == 1
    said = capsys.readouterr().out
    assert said.index("seq 17 ") < said.index("seq 300 ")
    assert said.endswith("DIFFERS\n")


def test_the_verifier_reads_keys_as_they_are_published() -> None:
    key = VerifierKey.parse(SIGNER.verifier.text())
    assert verify.Key.parse(key.text())[:3] == (key.name, key.key_id, key.public)


def test_the_verifier_and_the_writer_agree_on_columns_width_and_format() -> None:
    assert tuple((c.name, c.type) for c in COLUMNS_V1) == verify.COLUMN_TYPES
    assert verify.TILE == TILE_WIDTH
    entry = spending(1).entries[-1]
    assert verify.fields_of(encode(entry))["amount_nanos"] == entry.amount_nanos
    assert number("x").bytes == verify.uuid.UUID(bytes=number("x").bytes).bytes
