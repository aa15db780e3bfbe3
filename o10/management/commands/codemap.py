"""Which file answers which question? One line per module, from its docstring."""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

PACKAGES = ("o10", "ledger", "policies", "reports")
BEGIN = "<!-- codemap: made by `o10 codemap --write` -->"
END = "<!-- end of codemap -->"
WIDTH = 46


def question_of(path: Path) -> str:
    """What does the first line of this module's docstring say? Empty when there is none."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.split("\n", 1)[0].strip()


def modules(root: Path) -> Iterator[Path]:
    """Which modules are on the map? All but migrations and empty package files."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" in path.parts or any(part.startswith("_") for part in path.parts):
                continue
            yield path


def draw(root: Path) -> str:
    """What does the whole map look like? A line per folder, a line per module below it."""
    lines: list[str] = []
    folder = None
    for path in modules(root):
        here = path.parent.relative_to(root)
        if here != folder:
            folder = here
            lines.append(f"{here.as_posix()}/")
        lines.append(f"  {path.name:<{WIDTH - 2}}{question_of(path)}".rstrip())
    return "\n".join(lines)


def written_map(readme: str) -> str:
    """Which map does this README carry? Text between the two marks, without the fence."""
    inside = readme.split(BEGIN, 1)[-1].split(END, 1)[0]
    return inside.strip().removeprefix("```text").removesuffix("```").strip("\n")


class Command(BaseCommand):
    """Prints the code map, or writes it into README.md."""

    help = "One line per module, from its docstring."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--write", action="store_true", help="put the map into README.md")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints or writes."""
        drawn = draw(settings.BASE_DIR)
        if not options["write"]:
            self.stdout.write(drawn)
            return
        readme = settings.BASE_DIR / "README.md"
        text = readme.read_text()
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        readme.write_text(f"{before}{BEGIN}\n```text\n{drawn}\n```\n{END}{after}")
