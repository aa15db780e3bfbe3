"""Is a paste of volumes read as it stands, and is the cost of a unit a ratio of sums?"""

import pytest

from reports.core.driver_cost import DriverCost, drivers_headline
from reports.core.volume_rows import parse_volumes

UNIT = 10**9


def cost(name="Support", driver="tickets", volume=40_000, nanos=8_560 * UNIT, **fields):
    wanted = {"calls": 88_000, "days_told": 30, "days_over": 30} | fields
    return DriverCost(name=name, driver=driver, volume=volume, cost=nanos, **wanted)


def test_a_unit_costs_what_was_spent_over_what_was_told():
    found = cost()
    assert found.per_unit == 214_000_000
    assert found.calls_per_thousand == 2_200
    assert found.whole
    assert not cost(days_told=28).whole
    assert cost(days_told=29).whole  # today is still running
    nothing = cost(volume=0)
    assert (nothing.per_unit, nothing.calls_per_thousand) == (None, None)


def test_the_sentence_names_the_dearest_and_says_when_nothing_is_known():
    rows = [cost(), cost("Claims", "claims", 100, 10 * UNIT), cost("KYC", "files", 9, UNIT)]
    said = drivers_headline(rows, period="October 2026", currency="USD")
    assert "$0.214 for one of tickets (Support)" in said
    assert "Claims" in said
    assert "KYC" not in said
    none = drivers_headline([], period="October 2026", currency="USD")
    assert none == "No volume of a driver was told for October 2026."
    zero = drivers_headline([cost(volume=0)], period="October 2026", currency="USD")
    assert zero == "No unit of a driver was there in October 2026."


@pytest.mark.parametrize(
    "text",
    [
        "use case,driver,period,volume\nsupport,tickets,2026-10-03,1240",
        "support;tickets;2026-10-03;1,240",
        "\ufeffsupport\ttickets\t2026-10-03\t1240\t1\t",
        'support,tickets,2026-10-03,"1,240"\r\n\r\n',
    ],
)
def test_a_file_or_a_paste_is_read_alike(text):
    found = parse_volumes(text)
    assert found.problems == ()
    line = found.lines[0]
    assert (line.use_case, line.driver, line.period) == ("support", "tickets", "2026-10-03")
    assert (line.volume, line.revision, line.source) == (1240, 1, "")


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("support,tickets,2026-10", "A row has"),
        ("support,tickets,2026-10,1,1,x,y", "A row has"),
        ("support,tickets,2026-10,12.5", "whole number"),
        ("support,tickets,2026-10,-3", "whole number"),
        ("support,tickets,2026-10,3,two", "revision"),
        ('support,"tickets,2026-10,3', "A row has"),
    ],
)
def test_a_wrong_row_is_named_and_none_is_guessed(row, word):
    found = parse_volumes(f"support,tickets,2026-09,1\n{row}")
    assert [each.row for each in found.problems] == [2]
    assert word in found.problems[0].message
