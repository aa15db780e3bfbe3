"""Which data frames do charts and files read? The only place that builds them.

Every frame states its columns with unit and dtype, its row order and its unique key. Money
stays in integer nanos; a missing plan is `<NA>`, never 0.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from ledger import facade as ledger
from o10.kernel.money import Nanos


def months_against_plan(
    *,
    months: Sequence[date],
    spent: Mapping[date, Nanos],
    planned: Mapping[date, Nanos],
    due_now: Nanos | None,
    until: date,
) -> pd.DataFrame:
    """What was spent and planned in each month?

    `due_now` is the part of the running month's plan that is due by now: its spend is compared
    with that, not with the plan of days to come.

    Shape: one row a month in calendar order, key `month`.
      month datetime64[ns] first day · ac_nanos Int64 nanos spent, <NA> for months after
      `until` · pl_nanos Int64 nanos planned, <NA> without a plan · due_nanos Int64 nanos of
      the plan that are due, <NA> like pl and for months to come · delta_nanos Int64
      ac - due, <NA> where either is missing.
    """
    frame = pd.DataFrame({"month": pd.to_datetime(pd.Series(list(months), dtype="object"))})
    known = [spent.get(month, 0) if month <= until else None for month in months]
    frame["ac_nanos"] = pd.array(known, dtype="Int64")
    frame["pl_nanos"] = pd.array([planned.get(month) for month in months], dtype="Int64")
    running = until.replace(day=1)
    due = [
        due_now if month == running else planned.get(month) if month < running else None
        for month in months
    ]
    frame["due_nanos"] = pd.array(due, dtype="Int64")
    frame["delta_nanos"] = frame["ac_nanos"] - frame["due_nanos"]
    return frame


def days_of_spend(
    *, days: Sequence[date], rows: Sequence[ledger.SpendRow], until: date
) -> pd.DataFrame:
    """What was spent on each day, and in all up to it?

    Shape: one row a day in calendar order, key `day`; `rows` are grouped by day.
      day datetime64[ns] · ac_nanos Int64, <NA> after `until` · calls Int64 · denials Int64 ·
      cumulative_nanos Int64, <NA> after `until`.
    """
    by_day = {row.keys[0]: row for row in rows}
    found = [by_day.get(day) for day in days]
    past = [day <= until for day in days]
    frame = pd.DataFrame({"day": pd.to_datetime(pd.Series(list(days), dtype="object"))})
    for column, name in (("ac_nanos", "spent"), ("calls", "calls"), ("denials", "denials")):
        values = [
            (getattr(row, name) if row else 0) if is_past else None
            for row, is_past in zip(found, past, strict=True)
        ]
        frame[column] = pd.array(values, dtype="Int64")
    frame["cumulative_nanos"] = frame["ac_nanos"].cumsum()
    return frame
