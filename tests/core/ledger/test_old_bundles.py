"""Does what an earlier release wrote still verify, and still fail when touched?

tests/golden/bundle_v1/bundle.tar.gz was written once by `ledger_export` of release 0.1.0 from a
small simulated company (a denial, settles in parts and late, overruns, a reversal, expiries, a
write-off, usage) and is never made anew: a release that can't read it has broken the format.
`kept_checkpoint` is a signed note of the same ledger at an earlier size, kept outside it.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ledger.core import verify
from ledger.core.entry import Kind

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bundle_v1"
PACKED = GOLDEN / "bundle.tar.gz"
SIZE, KEPT_SIZE = 47, 26
ROOT = "212857cf21a58b0c0c8bf79308b1fdaa7d949e5dea432da475988ed4806ed377"
CHAIN = "010a88047237d146e3c6dccb002769a852d3c6b7db9f8867bee237fa535b3dd1"
ENTRIES = "tile/entries/000.p/47"
FILES = (
    "checkpoint",
    "checkpoints/26",
    "checkpoints/41",
    "checkpoints/47",
    "documents.jsonl",
    "keys.json",
    "manifest.json",
    "periods.json",
    "registry.json",
    "tile/0/000.p/47",
    ENTRIES,
    "verify.py",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The old bundle as an auditor unpacks it."""
    with tarfile.open(PACKED) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "bundle_v1"


def kept(old: Path) -> Path:
    """The verifier's own note; a copy, as a good verification replaces it."""
    return Path(shutil.copy(GOLDEN / "kept_checkpoint", old.parent / "kept"))


def look(old: Path) -> verify.Verdict:
    trusted = verify.Checkpoint.parse((GOLDEN / "kept_checkpoint").read_text())
    return verify.Bundle(old, trusted=trusted).verify()


def run_its_own_verifier(old: Path) -> tuple[int, dict]:
    words = [str(old / "verify.py"), str(old), "--trust", str(kept(old)), "--json"]
    done = subprocess.run(
        [sys.executable, "-I", *words], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_the_old_bundle_is_small_and_holds_the_files_named_here(old: Path) -> None:
    assert PACKED.stat().st_size < 100_000
    found = {str(path.relative_to(old)) for path in old.rglob("*") if path.is_file()}
    assert found == set(FILES)


def test_this_release_verifies_what_the_old_one_wrote(old: Path) -> None:
    verdict = look(old)
    assert verdict.findings == []
    assert (verdict.size, verdict.entries) == (SIZE, SIZE)
    assert (verdict.root, verdict.chain) == (ROOT, CHAIN)


def test_the_verifier_inside_the_old_bundle_agrees(old: Path) -> None:
    code, said = run_its_own_verifier(old)
    assert (code, said["findings"]) == (0, [])
    assert (said["size"], said["root"], said["chain"]) == (SIZE, ROOT, CHAIN)
    assert f"extends the own one of {KEPT_SIZE}" in said["notes"][0]


def test_the_old_bundle_tells_of_every_way_money_moves() -> None:
    with tarfile.open(PACKED) as packed:
        tile = packed.extractfile(f"bundle_v1/{ENTRIES}")
        assert tile is not None
        images = verify.images_of(tile.read())
    kinds = {Kind(verify.fields_of(image)["kind"]) for image in images}
    assert kinds >= {
        *(Kind.ENVELOPE_CHANGE, Kind.RESERVE, Kind.SETTLE, Kind.RELEASE, Kind.EXPIRE),
        *(Kind.OVERRUN, Kind.REVERSAL, Kind.WRITE_OFF, Kind.USAGE, Kind.DENY),
        *(Kind.CHECKPOINT_REF, Kind.REGISTRY, Kind.PRICE_CHANGE, Kind.POLICY_CHANGE),
    }


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_in_any_file_is_found(old: Path, name: str) -> None:
    flip(old / name, (old / name).stat().st_size // 2)
    assert look(old).findings


def test_one_flipped_bit_anywhere_among_the_entries_is_found(old: Path) -> None:
    path = old / ENTRIES
    for place in range(0, path.stat().st_size, 1_117):
        flip(path, place)
        assert look(old).findings, place
        flip(path, place)
    assert look(old).findings == []


def test_the_verifier_inside_finds_a_flipped_bit_too(old: Path) -> None:
    flip(old / ENTRIES, 5_000)
    code, said = run_its_own_verifier(old)
    assert code == 1
    assert said["findings"]


def test_another_history_signed_with_the_same_key_breaks_the_kept_checkpoint(
    old: Path,
) -> None:
    """The bundle alone is sound; the note kept outside says another root."""
    note = kept(old).read_text()
    trusted = verify.Checkpoint.parse(note)
    other = trusted._replace(root=bytes(32))
    assert verify.Bundle(old, trusted=other).verify().findings
    assert verify.Bundle(old, trusted=trusted).verify().findings == []
