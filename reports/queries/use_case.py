"""What does one use case cost, where does the money go, and what stops it?"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from ledger import facade as ledger
from o10.kernel.errors import NotFound
from o10.kernel.money import Nanos, half_even
from o10.kernel.viewquery import ViewQuery
from policies import facade as policies
from reports.core.headline import headline_of_one
from reports.core.plan import Variance
from reports.queries.frames import days_of_spend
from reports.queries.use_cases import UseCaseLine, UseCaseTable, read_use_case_table

DAY = timedelta(days=1)
RECENT = 8


@dataclass(frozen=True, slots=True)
class Slice:
    """What did one model at one venue cost? Units: nanos; tokens."""

    model: str
    venue: str
    spent: Nanos
    calls: int
    tokens: int

    @property
    def cost_per_call(self) -> Nanos | None:
        """What did one call cost? None without a call."""
        return half_even(self.spent, self.calls) if self.calls > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCasePage:
    """What stands on the page of a use case?

    Shape: `days` is a frame of `reports.queries.frames`; `path` the envelopes its calls must
    fit into, root first; spend at one position, the rest live.
    """

    table: UseCaseTable
    line: UseCaseLine
    row: policies.UseCaseRow
    days: pd.DataFrame
    slices: tuple[Slice, ...]
    path: tuple[policies.EnvelopeLine, ...]
    decisions: tuple[policies.DecisionRow, ...]
    denied: tuple[policies.DecisionCount, ...]
    entries: tuple[ledger.EntryLine, ...]

    @property
    def headline(self) -> str:
        """Which sentence opens the page? The same rule as the overview, for one use case."""
        return headline_of_one(
            name=self.row.name,
            period=self.table.period.name,
            progress=self.table.period.progress,
            currency=self.table.currency,
            variance=self.line.variance,
        )

    @property
    def variance(self) -> Variance:
        """How far is it from plan?"""
        return self.line.variance


def get_use_case_page(*, slug: str, query: ViewQuery, now: datetime) -> UseCasePage:
    """What does this use case cost in the period asked for?

    Raises: NotFound (`not_found`); ValidationFailed for a position not reached.
    """
    row = policies.get_use_case_row(slug=slug)
    table = read_use_case_table(query=query, now=now)
    line = next((each for each in table.lines if each.slug == slug), None)
    if line is None:
        raise NotFound(kind="use_case", id=slug)
    period = table.period
    last_day = policies.DecisionLogFilter(
        use_cases=(slug,), decided_from=now - DAY, decided_to=now
    )
    seen = policies.DecisionLogFilter(use_cases=(slug,))
    seq_to = table.position.seq + 1 if table.frozen else None
    return UseCasePage(
        table=table,
        line=line,
        row=row,
        days=days_of_spend(
            days=[period.first_day + DAY * index for index in range(period.days)],
            rows=_spend(table, row, ledger.SpendKey.DAY),
            until=table.today,
        ),
        slices=_slices(_spend(table, row, ledger.SpendKey.MODEL, ledger.SpendKey.VENUE)),
        path=tuple(policies.list_path_lines(use_case=row.number, now=now)),
        decisions=policies.list_decision_rows(where=seen, limit=RECENT).items,
        denied=tuple(
            each
            for each in policies.count_decisions(where=last_day)
            if each.outcome in ("deny", "hold")
        ),
        entries=ledger.list_entry_lines(
            where=ledger.LineFilter(use_cases=(slug,), seq_to=seq_to), limit=RECENT
        ).items,
    )


def _spend(
    table: UseCaseTable, row: policies.UseCaseRow, *by: ledger.SpendKey
) -> list[ledger.SpendRow]:
    return ledger.sum_spend(
        ledger_id=ledger.COMPANY_LEDGER,
        time_zone=table.time_zone,
        by=by,
        start=table.period.first_day,
        end=table.period.after,
        as_of=table.position.seq,
        use_case_ids=(row.number,),
    )


def _slices(rows: list[ledger.SpendRow]) -> tuple[Slice, ...]:
    """Dearest first. Entries without a model are denials and charges; they have no offer."""
    models = ledger.meanings_of(domain="model", numbers={int(str(r.keys[0])) for r in rows})
    venues = ledger.meanings_of(domain="venue", numbers={int(str(r.keys[1])) for r in rows})
    found = [
        Slice(
            model=str(models.get(int(str(row.keys[0])), {}).get("slug", "")),
            venue=str(venues.get(int(str(row.keys[1])), {}).get("slug", "")),
            spent=row.spent,
            calls=row.calls,
            tokens=row.tokens,
        )
        for row in rows
        if row.spent or row.calls
    ]
    return tuple(sorted(found, key=lambda each: (-each.spent, each.model, each.venue)))
