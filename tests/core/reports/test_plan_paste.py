"""Is a paste from a sheet read as it stands, and each wrong row named?"""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.core.plan_paste import ROWS_MOST, parse_plan

KNOWN = frozenset({"support-assistant", "sandbox"})


def read(text):
    return parse_plan(text, use_cases=KNOWN)


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_three_cells_are_one_line(separator):
    found = read(separator.join(["support-assistant", "2026-11", "112000.50"]))
    assert not found.problems
    (line,) = found.lines
    assert (line.use_case, line.month) == ("support-assistant", date(2026, 11, 1))
    assert line.amount_nanos == 112_000_500_000_000


def test_a_head_row_and_empty_rows_are_skipped():
    found = read("use case\tmonth\tamount\n\nsandbox\t2026-11\t$3,000\n\n")
    assert [line.amount_nanos for line in found.lines] == [3_000 * 10**9]
    assert not found.problems


def test_an_empty_amount_takes_a_line_back():
    assert read("sandbox\t2026-11\t").lines[0].amount_nanos is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("sandbox\t2026-11", "three cells"),
        ("nobody\t2026-11\t1", "no use case"),
        ("sandbox\t2026-13\t1", "2026-11"),
        ("sandbox\tNov 2026\t1", "2026-11"),
        ("sandbox\t2026-11\t1e9", "plain number"),
        ("sandbox\t2026-11\t-4", "not negative"),
        ("sandbox\t2026-11\tNaN", "plain number"),
        ("sandbox\t2026-11\t1.0000000001", "plain number"),
    ],
)
def test_a_wrong_row_is_named_and_the_others_are_kept(row, says):
    found = read(f"support-assistant\t2026-10\t5\n{row}")
    assert len(found.lines) == 1
    (problem,) = found.problems
    assert problem.row == 2
    assert says in problem.message


def test_a_cell_named_twice_is_a_problem():
    found = read("sandbox\t2026-11\t1\nsandbox\t2026-11-01\t2")
    assert len(found.lines) == 1
    assert "Row 1" in found.problems[0].message


def test_too_many_rows_are_told():
    found = read("\n".join(["sandbox\t2026-11\t1"] * (ROWS_MOST + 5)))
    assert "At most" in found.problems[-1].message


@given(st.text(max_size=400))
def test_no_text_breaks_the_reader(text):
    found = read(text)
    assert all(line.use_case in KNOWN for line in found.lines)
    assert found.total == sum(line.amount_nanos or 0 for line in found.lines)
