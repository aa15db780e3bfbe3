"""Which plan lines does a text pasted from a sheet mean, and which rows are wrong?

One row a line: use case, month (2026-11), amount; separated by tabs, semicolons or commas. A
head row is skipped. Nothing is guessed: what is not plain is named with its row.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from o10.kernel.money import AmountMalformed, Nanos, parse_nanos

ROWS_MOST: Final = 5_000
_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])(?:-01)?", re.A)
_GROUPED: Final = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.A)


@dataclass(frozen=True, slots=True)
class PastedLine:
    """Which cell, how much? `amount_nanos` None takes the cell back (an empty amount)."""

    row: int
    use_case: str
    month: date
    amount_nanos: Nanos | None


@dataclass(frozen=True, slots=True)
class PastedProblem:
    """Which row is wrong, and how?"""

    row: int
    text: str
    message: str


@dataclass(frozen=True, slots=True)
class PastedPlan:
    """What was understood, and what was not?"""

    lines: tuple[PastedLine, ...]
    problems: tuple[PastedProblem, ...]

    @property
    def total(self) -> Nanos:
        """What do the amounts add up to?"""
        return sum(line.amount_nanos or 0 for line in self.lines)


def parse_plan(text: str, *, use_cases: frozenset[str]) -> PastedPlan:
    """Which plan lines does this text mean? `use_cases` are the slugs that exist."""
    lines: list[PastedLine] = []
    problems: list[PastedProblem] = []
    seen: dict[tuple[str, date], int] = {}
    for row, raw in enumerate(text.splitlines()[: ROWS_MOST + 1], start=1):
        cells = _cells(raw)
        if not any(cells) or (row == 1 and _is_head(cells)):
            continue
        found = _line(row, cells, use_cases)
        if isinstance(found, str):
            problems.append(PastedProblem(row, raw.strip()[:120], found))
            continue
        cell = (found.use_case, found.month)
        if cell in seen:
            message = f"Row {seen[cell]} already names this use case and month."
            problems.append(PastedProblem(row, raw.strip()[:120], message))
            continue
        seen[cell] = row
        lines.append(found)
    if len(text.splitlines()) > ROWS_MOST:
        problems.append(
            PastedProblem(ROWS_MOST + 1, "", f"At most {ROWS_MOST:,} rows are read at once.")
        )
    return PastedPlan(tuple(lines), tuple(problems))


def _cells(raw: str) -> list[str]:
    for separator in ("\t", ";"):
        if separator in raw:
            return [cell.strip() for cell in raw.split(separator)]
    return [cell.strip() for cell in raw.split(",", 2)]


def _is_head(cells: list[str]) -> bool:
    return len(cells) >= 2 and _MONTH.fullmatch(cells[1]) is None and not cells[1][:1].isdigit()


def _line(row: int, cells: list[str], use_cases: frozenset[str]) -> PastedLine | str:
    if len(cells) != 3:
        return "A row has three cells: use case, month, amount."
    use_case, month_text, amount_text = cells
    if use_case not in use_cases:
        return f"There is no use case {use_case[:64]!r}."
    month = _MONTH.fullmatch(month_text)
    if month is None:
        return "A month is written 2026-11."
    amount: Nanos | None = None
    if amount_text:
        plain = amount_text.removeprefix("$").strip()
        if _GROUPED.fullmatch(plain):
            plain = plain.replace(",", "")
        try:
            amount = parse_nanos(plain)
        except AmountMalformed:
            return "An amount is a plain number such as 112000 or 112,000.50."
        if amount < 0:
            return "A planned amount is not negative."
    return PastedLine(row, use_case, date(int(month[1]), int(month[2]), 1), amount)
