"""Do the pages of docs/algorithms compute what they print?"""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

from o10.kernel.clock import unix_ms
from o10.kernel.periods import PeriodKind, period_at
from o10.kernel.rates import Rates, cost_of
from o10.kernel.usage import TokenClass, Usage
from o10.wire.token import ReservationToken, sign

PAGES = Path(__file__).resolve().parents[3] / "docs" / "algorithms"


def rows_of(page):
    """The table under "Worked example", without its head."""
    text = (PAGES / page).read_text().partition("## Worked example")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_rounding_page():
    rows = rows_of("rounding.md")
    text = (PAGES / "rounding.md").read_text()
    assert len(rows) == 8
    for call in ("E1", "ties"):
        mine = [row for row in rows if row[0] == call]
        usage = Usage(**{row[1]: int(row[2]) for row in mine})
        rates = Rates("USD", {TokenClass(row[1]): int(row[3]) for row in mine})
        cost = cost_of(usage, rates)
        for row in mine:
            assert cost.nanos_of(TokenClass(row[1])) == int(row[5])
            assert Fraction(row[4]) == Fraction(int(row[2]) * int(row[3]), 1_000_000)
        assert f"{call} = {cost.total_nanos}" in text


def test_the_periods_page():
    rows = rows_of("periods.md")
    assert len(rows) == 6
    for at, kind, start, end, hours in rows:
        period = period_at(
            kind=PeriodKind(kind), at=datetime.fromisoformat(at), time_zone="Europe/Berlin"
        )
        assert period.start == datetime.fromisoformat(start)
        assert period.end == datetime.fromisoformat(end)
        assert period.seconds == int(hours) * 3600


def test_the_token_page():
    values = dict(rows_of("reservation-token.md"))
    token = ReservationToken(
        key_id=int(values["key id"]),
        lease=UUID(values["lease"]),
        sequence=int(values["sequence"]),
        amount_nanos=int(values["amount"]),
        policy_version=int(values["policy version"]),
        expires_at_ms=unix_ms(datetime.fromisoformat(values["expiry"])),
        max_output_tokens=int(values["granted max output"]),
    )
    assert sign(token, key=bytes(range(0x20, 0x40))) == values["token"]
