"""How do architecture tests read the code? As files and syntax trees, running nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("o10", "ledger", "policies", "reports")


def code_files(root: Path = ROOT) -> Iterator[Path]:
    """Every module of the product, migrations and tests left out."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module name a tree imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            for name in node.names:
                yield f"{node.module}.{name.name}"


def importers_of(package: str, root: Path = ROOT) -> set[str]:
    """Which files import this package? Paths relative to the project."""
    found = set()
    for path in code_files(root):
        names = imported(ast.parse(path.read_text()))
        if any(name == package or name.startswith(f"{package}.") for name in names):
            found.add(path.relative_to(root).as_posix())
    return found
