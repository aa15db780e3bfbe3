"""Does the code keep the rules of the house? Every static check with one command."""

import ast
import contextlib
import io
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from o10.management.commands import codemap
from o10.settings import SETTINGS  # noqa: TID251 - the table itself, not a value

LONG_MODULE = 400
LONG_FUNCTION = 70


class Command(BaseCommand):
    """Runs all checks, prints each with its result, fails when one fails."""

    help = "Every static check: ruff, types, import contracts, code map, migrations, settings."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the checks in turn; the slow ones last."""
        failed = []
        for name, check in CHECKS.items():
            problem = check()
            self.stdout.write(f"{'FAIL' if problem else 'ok':<5}{name}")
            if problem:
                failed.append(name)
                self.stdout.write(problem.rstrip())
        self.stdout.write(size_report(settings.BASE_DIR))
        if failed:
            raise CommandError(f"the house is not in order: {', '.join(failed)}")


def _tool(*command: str) -> Callable[[], str]:
    def run() -> str:
        program = Path(sys.executable).with_name(command[0])
        if not program.exists() and shutil.which(command[0]) is None:
            return f"{command[0]} is missing: pip install -e '.[test]'"
        done = subprocess.run(  # noqa: S603 - fixed command lines
            [str(program) if program.exists() else command[0], *command[1:]],
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout + done.stderr)[-6000:] if done.returncode else ""

    return run


def _django_check() -> str:
    try:
        call_command("check", stdout=io.StringIO())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return str(error)
    return ""


def _migrations() -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        # Comparing models with files needs no database, and none has to run here.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            call_command("makemigrations", check=True, dry_run=True, verbosity=1, stdout=said)
        except SystemExit:
            return f"models and migrations differ:\n{said.getvalue()}"
    return ""


def _code_map() -> str:
    unanswered = [
        str(path.relative_to(settings.BASE_DIR))
        for path in codemap.modules(settings.BASE_DIR)
        if not codemap.question_of(path)
    ]
    if unanswered:
        return "no question in the docstring of: " + ", ".join(unanswered)
    readme = (settings.BASE_DIR / "README.md").read_text()
    if codemap.written_map(readme) != codemap.draw(settings.BASE_DIR):
        return "README.md has an old code map: run `manage.py codemap --write`"
    return ""


def _settings_documented() -> str:
    readme = (settings.BASE_DIR / "README.md").read_text()
    missing = [row.name for row in SETTINGS if f"`{row.name}`" not in readme]
    return f"not in the README table: {', '.join(missing)}" if missing else ""


CHECKS: dict[str, Callable[[], str]] = {
    "ruff check": _tool("ruff", "check", "."),
    "ruff format": _tool("ruff", "format", "--check", "."),
    "code map": _code_map,
    "settings documented": _settings_documented,
    "django check": _django_check,
    "migrations complete": _migrations,
    "import contracts": _tool("lint-imports", "--no-cache"),
    "types (mypy strict)": _tool("mypy"),
}


def size_report(root: Path) -> str:
    """How large are modules and functions? Counted for the reader; fails nothing."""
    code = tests = 0
    long_modules, long_functions = [], []
    for path in codemap.modules(root):
        text = path.read_text()
        lines = text.count("\n")
        code += lines
        if lines > LONG_MODULE:
            long_modules.append(f"{path.relative_to(root)} {lines}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONG_FUNCTION:
                    long_functions.append(f"{path.relative_to(root)}:{node.name} {length}")
    for path in (root / "tests").rglob("*.py"):
        tests += path.read_text().count("\n")
    return "\n".join(
        [
            f"{code} lines of code, {tests} of tests, ratio {tests / max(code, 1):.2f}",
            f"modules over {LONG_MODULE} lines: {', '.join(long_modules) or 'none'}",
            f"functions over {LONG_FUNCTION} lines: {', '.join(long_functions) or 'none'}",
        ]
    )
