"""Does a bundle verify with the standard library alone, and notice when it is touched?"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ledger import facade

from .rows import NOW, write_entries


@pytest.fixture
def bundle(
    ledger: Any, seal_all: Callable[..., int], key_file: Path, settings: Any, tmp_path: Path
) -> Path:
    settings.O10_SIGNING_KEY_FILE = str(key_file)
    facade.intern(facade.Domain.DIMS, {"a": "1"}, ledger_id=1, actor=0, now=NOW)
    write_entries(1, kind=facade.Kind.RESERVE, amount_nanos=0, held_nanos=10**10, env_version=1)
    write_entries(300)
    seal_all()
    write_entries(400)
    seal_all(NOW.replace(minute=40))
    directory = tmp_path / "bundle"
    call_command("ledger_export", str(directory), verbosity=0)
    return directory


def check(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", str(directory / "verify.py"), str(directory), *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_exported_bundle_verifies_with_the_standard_library_alone(bundle: Path) -> None:
    done = check(bundle, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["findings"]) == (0, [])
    assert said["size"] == said["entries"] == 703
    assert said["chain"] == facade.seal_state(now=NOW).head


def test_a_bundle_of_one_month_verifies_too(bundle: Path, tmp_path: Path) -> None:
    directory = tmp_path / "november"
    call_command("ledger_export", str(directory), "--period", "2026-11", verbosity=0)
    assert check(directory).returncode == 0


@pytest.mark.parametrize("where", ["tile/entries/001", "documents.jsonl", "checkpoint"])
def test_a_touched_or_removed_file_is_named(bundle: Path, where: str) -> None:
    path = bundle / where
    kept = path.read_bytes()
    path.write_bytes(kept[:-9] + b"123456789")
    done = check(bundle)
    assert done.returncode == 1
    assert where in done.stdout
    path.unlink()
    assert check(bundle).returncode == 1


def test_a_directory_that_holds_something_is_left_alone(bundle: Path) -> None:
    before = sorted(path for path in bundle.rglob("*"))
    with pytest.raises(CommandError, match="directory_taken"):
        call_command("ledger_export", str(bundle), verbosity=0)
    assert sorted(path for path in bundle.rglob("*")) == before


def test_a_wrong_month_is_a_wrong_call(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="2026-11"):
        call_command("ledger_export", str(tmp_path / "x"), "--period", "November")
