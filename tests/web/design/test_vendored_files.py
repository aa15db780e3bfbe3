"""Are the files of other projects those that were taken, each with its licence?"""

import hashlib
import json
from pathlib import Path

import plotly.offline
import pytest

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = json.loads((ROOT / "static/vendor/manifest.json").read_text())
FILES = [
    (each["path"], each["sha256"]) for part in MANIFEST["vendored"] for each in part["files"]
]


@pytest.mark.parametrize(("path", "sha256"), FILES)
def test_vendored_file_is_the_one_that_was_taken(path: str, sha256: str) -> None:
    assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == sha256


def test_every_file_in_a_vendor_folder_stands_in_the_manifest() -> None:
    listed = {path for path, _ in FILES} | {"static/vendor/manifest.json"}
    folders = ("static/vendor", "static/fonts", "tests/vendor")
    found = {
        str(file.relative_to(ROOT))
        for folder in folders
        for file in (ROOT / folder).rglob("*")
        if file.is_file()
    }
    assert found == listed


@pytest.mark.parametrize("part", MANIFEST["vendored"], ids=lambda part: part["name"])
def test_vendored_part_has_licence_version_source_and_reason(part: dict) -> None:
    assert part["version"] and part["licence"] and part["why"]
    assert part["source"].startswith("https://")
    licences = [ROOT / each["path"] for each in part["files"] if "LICENSE" in each["path"]]
    assert licences and all(len(file.read_text()) > 500 for file in licences)


def test_drawing_script_has_the_major_version_python_describes_figures_for() -> None:
    drawn = next(p for p in MANIFEST["vendored"] if p["name"] == "plotly.js-basic-dist-min")
    described = plotly.offline.get_plotlyjs_version()
    assert drawn["version"].split(".")[0] == described.split(".")[0]
    script = next(e["path"] for e in drawn["files"] if e["path"].endswith(".js"))
    assert f"v{drawn['version']}" in (ROOT / script).read_text()[:400]
    used = (ROOT / "templates/_components/_chart.html").read_text()
    assert script.removeprefix("static/") in used


def test_parts_that_are_not_served_stand_outside_static() -> None:
    for part in MANIFEST["vendored"]:
        places = {each["path"].split("/")[0] for each in part["files"]}
        assert places == ({"static"} if part["served"] else {"tests"})
