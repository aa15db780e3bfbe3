"""Which volumes does a CSV file or a paste from a sheet mean, and which rows are wrong?

One row a line: use case, driver, day or month, volume, and when told anew the revision, and the
source; separated by tabs, semicolons or commas. A head row is skipped. Nothing is guessed.
"""

import csv
import re
from dataclasses import dataclass
from typing import Final

ROWS_MOST: Final = 10_000
_CELLS_LEAST: Final = 4
_CELLS_MOST: Final = 6
_WHOLE: Final = re.compile(r"\d{1,15}", re.A)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3}){1,4}", re.A)
_PERIOD: Final = re.compile(r"\d{4}-\d{2}(?:-\d{2})?", re.A)


@dataclass(frozen=True, slots=True)
class VolumeLine:
    """Which volume does a row tell? `row` counts from 1."""

    row: int
    use_case: str
    driver: str
    period: str
    volume: int
    revision: int
    source: str


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Which row is wrong, and how?"""

    row: int
    text: str
    message: str


@dataclass(frozen=True, slots=True)
class VolumeRows:
    """What was understood, and what was not?"""

    lines: tuple[VolumeLine, ...]
    problems: tuple[RowProblem, ...]


def parse_volumes(text: str) -> VolumeRows:
    """Which volumes does this text tell?"""
    lines: list[VolumeLine] = []
    problems: list[RowProblem] = []
    rows = text.removeprefix("\ufeff").splitlines()
    separator = next((each for each in "\t;" if rows and each in rows[0]), ",")
    for row, raw in enumerate(rows[: ROWS_MOST + 2], start=1):
        cells = [cell.strip() for cell in _cells(raw, separator)]
        if not any(cells) or (row == 1 and _is_head(cells)):
            continue
        found = _line(row, cells)
        if isinstance(found, str):
            problems.append(RowProblem(row, raw.strip()[:120], found))
        else:
            lines.append(found)
    if len(lines) > ROWS_MOST or len(rows) > ROWS_MOST + 1:
        message = f"At most {ROWS_MOST:,} volumes are read at once."
        problems.append(RowProblem(ROWS_MOST + 1, "", message))
    return VolumeRows(tuple(lines), tuple(problems))


def _cells(raw: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([raw], delimiter=separator, strict=True), [])
    except csv.Error:
        return [raw]


def _is_head(cells: list[str]) -> bool:
    return len(cells) >= _CELLS_LEAST and _PERIOD.fullmatch(cells[2]) is None


def _line(row: int, cells: list[str]) -> VolumeLine | str:
    if not _CELLS_LEAST <= len(cells) <= _CELLS_MOST:
        return "A row has use case, driver, day or month, volume; then revision and source."
    use_case, driver, period, volume, revision, source = (*cells, "", "")[:_CELLS_MOST]
    plain = volume.replace(",", "") if _GROUPED.fullmatch(volume) else volume
    if _WHOLE.fullmatch(plain) is None:
        return "A volume is a whole number such as 1240."
    if revision and _WHOLE.fullmatch(revision) is None:
        return "A revision is a number such as 2."
    return VolumeLine(row, use_case, driver, period, int(plain), int(revision or 1), source)
