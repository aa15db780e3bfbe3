"""Are settings, code map, questions, models, reasons and errors written down as they are?"""

import importlib
import re

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from o10.management.commands import codemap
from o10.settings import SETTINGS, read_settings  # noqa: TID251 - the table of settings
from tests.architecture.source import ROOT

README = (ROOT / "README.md").read_text()


def test_every_module_answers_a_question() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in codemap.modules(ROOT)
        if not codemap.question_of(path).endswith(("?", ".", "!"))
        and "?" not in codemap.question_of(path)
    ]
    assert silent == []


def test_the_code_map_of_the_readme_is_the_code() -> None:
    assert codemap.written_map(README) == codemap.draw(ROOT)


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    rows = {
        cells[0].strip("` "): cells[1].strip("` ")
        for line in README.splitlines()
        if line.startswith("| `O10_")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    assert set(rows) == {setting.name for setting in SETTINGS}
    for setting in SETTINGS:
        assert rows[setting.name] == (setting.default or "empty")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("O10_DATABASE_URL", "mysql://x/y", "must start with one of postgresql://"),
        ("O10_BROKER_URL", "kafka://x", "must start with one of amqp://"),
        ("O10_TIME_ZONE", "Berlin", "must be an IANA time zone"),
        ("O10_REPORTING_CURRENCY", "dollars", "three-letter ISO 4217"),
        ("O10_HOT_PATH", "yes", "must be 0 or 1"),
        ("O10_SIGNING_KEY_FILE", "/nowhere/key.pem", "file this process can read"),
        ("O10_BASE_URL", "o10.example.com", "must start with one of http://"),
        ("O10_DATABSE_URL", "postgresql://x/y", "is not a setting of o10"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(name: str, value: str, words: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read_settings({name: value})
    sentence = str(caught.value)
    assert name in sentence
    assert words in sentence
    assert "\n" not in sentence


def test_a_wrong_setting_ends_a_command_without_a_traceback(tmp_path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"O10_TIME_ZONE": "Mars/Olympus", "O10_HOME": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("o10: O10_TIME_ZONE must be an IANA time zone")
    assert "Traceback" not in done.stderr


def questions() -> list[tuple[str, str]]:
    """Rows of the README's question table: question, symbol."""
    found = []
    for line in README.splitlines():
        match = re.match(r"^\| (Where|What|How|Which|At|Who)[^|]*\? \| (.*) \|$", line)
        if match:
            found.extend((line, symbol) for symbol in re.findall(r"`([\w.]+)`", match[2]))
    return found


def test_the_question_table_is_there() -> None:
    assert len(questions()) >= 15


@pytest.mark.parametrize("row", questions(), ids=lambda row: row[1])
def test_every_symbol_of_the_question_table_exists(row: tuple[str, str]) -> None:
    module_name, _, name = row[1].rpartition(".")
    try:
        importlib.import_module(row[1])
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module_name), name)


def test_every_model_is_declared_append_only_frozen_or_mutable() -> None:
    from ledger import models as ledger
    from o10.access import models as access
    from policies import models as policies
    from reports import models as reports

    declared: list[str] = []
    for module in (ledger, access, policies, reports):
        frozen = getattr(module, "PERIOD_FROZEN", ())
        declared += [*module.APPEND_ONLY, *frozen, *module.MUTABLE]
    own = {
        model._meta.db_table
        for label in ("ledger", "access", "policies", "reports")
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    }
    assert own <= set(declared)
    assert len(declared) == len(set(declared))


def test_reasons_flags_and_error_codes_are_documented() -> None:
    from o10.problems import ANSWERS
    from o10.wire.reasons import REASONS, SettleFlag

    page = (ROOT / "docs" / "reasons-and-errors.md").read_text()
    missing = [
        code
        for code in (*(code.value for code in REASONS), *SettleFlag, *ANSWERS)
        if f"`{code}`" not in page
    ]
    assert missing == []
    for code, row in REASONS.items():
        assert f"| {row.number} | `{code.value}` |" in page
        assert row.next_step in page
