"""Which company do the tests of full cost have? Use cases without caps, and a sealed ledger."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger import facade as ledger
from o10.access import operations as access
from o10.access.keys import Caller
from o10.access.roles import Role
from o10.wire.facts import BulkCounts, UsageRecord
from o10.wire.requests import Finish, OutcomeFact, Purpose
from policies import facade as policies
from reports import facade as reports
from tests.company import caller
from tests.forget import forget_everything
from tests.web.reports.pages_company import seal_all

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
SLUGS = ("support", "claims", "sandbox")
MAKER, CHECKER = "usr_maker", "usr_checker"
MODEL = "gpt-small"
FRONTIER = "gpt-large"
CARD = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 7.5e-07,
    "output_cost_per_token": 4.5e-06,
}
DEAR_CARD = CARD | {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05}


@dataclass
class CostCompany:
    """What can be done in it, each step one call."""

    urls: Any
    home: Path
    finops: Caller
    router: Caller
    numbers: dict[str, int] = field(default_factory=dict)

    def use(
        self,
        name: str,
        *,
        slug: str | None = "support",
        day: date = date(2026, 10, 12),
        purpose: Purpose = Purpose.SERVE,
        status: Finish = Finish.OK,
        thousands: int = 1,
        run_id: str | None = None,
        customer: str | None = None,
        outcome: OutcomeFact | None = None,
        **fields: Any,
    ) -> int:
        """One usage record; its amount."""
        counts = BulkCounts(input_tokens=1_000 * thousands, output_tokens=100 * thousands)
        said = {
            "at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
            "usage": counts,
            "model": MODEL,
            "use_case": slug,
            "purpose": purpose,
            "status": status,
            "run_id": run_id,
            "customer": customer,
            "outcome": outcome,
        }
        record = UsageRecord(id=name, **said | fields)
        report = ledger.record_usage(records=[record], caller=self.finops, now=NOW)
        return report.items[0].amount_nanos

    def count(self, now: datetime = NOW) -> int:
        """Seals and counts all that is waiting."""
        seal_all(self.urls, self.home, now)
        return reports.count_costs(now=now)

    def tell(self, *drafts: reports.OutcomeDraft, now: datetime = NOW) -> Any:
        """Tells outcomes as a router."""
        return reports.record_outcomes(drafts=drafts, actor=self.router, now=now)

    def state(self, component: str, amount: int | None, **fields: Any) -> int:
        """States an amount of October, in nanos."""
        wanted = {"month": OCTOBER, "source": "invoice 7"} | fields
        draft = reports.ComponentDraft(component=component, amount_nanos=amount, **wanted)
        return reports.set_component_amounts(drafts=[draft], actor=self.finops, now=NOW)

    def rule(self, component: str, method: str, **fields: Any) -> Any:
        """A rule that two people approved."""
        wanted = {"from": "2026-01", "weights": {}, "reason": "as agreed"} | fields
        return reports.apply_allocation_rule(
            change={"component": component, "method": method, **wanted},
            requested_by=MAKER,
            approved_by=CHECKER,
            actor=CHECKER,
            now=NOW,
        )

    def value(self, slug: str, amount: str, **fields: Any) -> Any:
        """A value that two people approved."""
        wanted = {"from": "2026-01-01", "type": "ticket", "reason": "as agreed"} | fields
        return reports.apply_outcome_value(
            change={"use_case": slug, "value": amount, **wanted},
            requested_by=MAKER,
            approved_by=CHECKER,
            actor=CHECKER,
            now=NOW,
        )

    def allocate(self, month: date = OCTOBER, **fields: Any) -> Any:
        """Books a month, as two people approved it."""
        wanted = {"now": NOW, "actor": CHECKER} | fields
        people = {"requested_by": MAKER, "approved_by": CHECKER} | wanted
        return reports.run_allocation(month=month, **people)


def cost_company(urls: Any, blocker: Any, home: Path) -> Iterator[CostCompany]:
    """The company, committed; everything is taken out at the end."""
    from django.db import connections

    from tests.conftest import _empty

    with blocker.unblock():
        try:
            yield found(urls, home)
        finally:
            for alias in ("default", "owner", "sealer"):
                connections[alias].close()
            _empty(urls)
            forget_everything()


def found(urls: Any, home: Path) -> CostCompany:
    """Ledger, prices, three use cases in one envelope of $1,000."""
    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/cost", currency="USD", time_zone="Europe/Berlin", now=NOW
    )
    _load_prices()
    policies.found_organisation(
        name="Acme", slug="acme", demo=False, actor=access.COMMAND_LINE, now=NOW
    )
    finops = caller(Role.FINOPS)
    for slug in SLUGS:
        draft = policies.UseCaseDraft(slug=slug, name=slug.capitalize(), department="service")
        policies.create_use_case(draft=draft, actor=finops, now=NOW)
    policies.create_envelope(
        draft=policies.EnvelopeDraft(
            scope_kind="company", amount_nanos=1_000 * 10**9, start_at=NOW - timedelta(days=300)
        ),
        actor=finops,
        now=NOW,
    )
    made = CostCompany(urls, home, finops, caller(Role.ROUTER, "key_router"))
    made.numbers = {row.slug: row.number for row in policies.list_use_case_rows()}
    return made


def _load_prices() -> None:
    """Two models, so that a company is there in a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.json"
        path.write_text(json.dumps({MODEL: CARD, FRONTIER: DEAR_CARD}))
        catalogue = ledger.read_catalogue(source=str(path))
        ledger.load_catalogue(
            catalogue=catalogue, actor="system", now=NOW - timedelta(days=300)
        )
