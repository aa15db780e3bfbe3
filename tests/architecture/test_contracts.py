"""Do the import contracts hold, and would they notice?"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT

LINT = str(Path(sys.executable).with_name("lint-imports"))


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )


def test_every_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("o10/kernel/money.py", "import msgspec"),
        ("ledger/core/chain.py", "import django"),
        ("ledger/core/verify.py", "from ledger.core import chain"),
        ("ledger/facade.py", "from policies import facade"),
        ("policies/core/decide.py", "import ledger.core.entry"),
        ("policies/plane/app.py", "from policies.operations import settle"),
        ("reports/charts/spend_against_plan.py", "import reports.queries.frames"),
        ("o10/client/http.py", "from policies import facade"),
        ("o10/client/outbox.py", "import django"),
        ("policies/web/urls.py", "import o10.client"),
        ("o10/lease/book.py", "import httpx"),
    ],
)
def test_a_contract_notices_a_forbidden_import(file: str, line: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    target = tmp_path / file
    target.write_text(target.read_text() + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout


def test_a_new_room_must_be_placed_first(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "ledger" / "utils.py").write_text("")
    assert lint(tmp_path).returncode != 0
