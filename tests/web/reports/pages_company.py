"""Which company do the page tests look at? Sealed spend, a plan, odd names, one denied call."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.test import Client

from ledger import facade as ledger
from ledger.operations.keep_signing_key import load_signing_key
from ledger.operations.open_sealer import open_sealer
from ledger.operations.seal import seal_once
from ledger.operations.sign import read_signed, sign_if_due
from o10.access import operations as access
from o10.access.keys import Caller
from o10.access.models import Person
from o10.access.roles import Role
from o10.wire.facts import BulkCounts, UsageRecord
from o10.wire.requests import Authorize
from policies import facade as policies
from reports import facade as reports
from tests.company import MODEL, caller
from tests.forget import forget_everything

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script> & =cmd|\' مرحبا'
LONG = "Contract review for the whole of procurement including framework agreements of 2026"
USE_CASES = (
    ("support-assistant", "Support assistant", 1_000),
    ("contract-review", LONG, 400),
    ("sandbox", HOSTILE, 90),
)
MONTHS = 3


@dataclass(frozen=True)
class PagesCompany:
    """Envelopes by scope, and the people who can sign in by role."""

    envelopes: dict[str, str]
    finops: Caller
    people: dict[Role, str]
    decision: str

    def client(self, role: Role) -> Client:
        """A browser of a person of this role."""
        client = Client()
        client.force_login(Person.objects.get(id=self.people[role]))
        return client


def pages_company(urls: Any, blocker: Any, home: Path) -> Iterator[PagesCompany]:
    """The company, committed and sealed; everything is taken out at the end."""
    from django.db import connections

    from tests.conftest import _empty

    with blocker.unblock():
        try:
            made = _found()
            seal_all(urls, home)
            yield made
        finally:
            for alias in ("default", "owner", "sealer"):
                connections[alias].close()
            _empty(urls)
            forget_everything()


def seal_all(urls: Any, home: Path, now: datetime = NOW) -> int:
    """Seals and signs all that is waiting; the position reached."""
    row = ledger.ledger_of_company()
    with psycopg.connect(urls.sealer_url, autocommit=True) as connection:
        key = load_signing_key(path=home / "ledger.pem", name=row.origin)
        sealer = open_sealer(connection, ledger=row, keys=(key.verifier,), now=now)
        while seal_once(sealer, now=now).count:
            pass
        sign_if_due(sealer, read_signed(sealer), key=key, now=now)
        while seal_once(sealer, now=now).count:
            pass
        return sealer.seq


def use_some(finops: Caller, *, name: str, at: datetime, slug: str, thousands: int) -> None:
    """One usage record of so many thousand calls."""
    counts = BulkCounts(input_tokens=1_200_000 * thousands, output_tokens=300_000 * thousands)
    record = UsageRecord(
        id=name, at=at, usage=counts, calls=1_000 * thousands, model=MODEL, use_case=slug
    )
    ledger.record_usage(records=[record], caller=finops, now=NOW)


def _found() -> PagesCompany:
    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/acme", currency="USD", time_zone="Europe/Berlin", now=NOW
    )
    ledger.load_first_prices(now=NOW)
    policies.found_organisation(
        name="Acme", slug="acme", demo=False, actor=access.COMMAND_LINE, now=NOW
    )
    finops = caller(Role.FINOPS)
    for slug, name, _ in USE_CASES:
        draft = policies.UseCaseDraft(slug=slug, name=name, department="service")
        policies.create_use_case(draft=draft, actor=finops, now=NOW)
    envelopes = _envelopes(finops)
    for back in range(MONTHS):
        for slug, _, thousands in USE_CASES:
            at = datetime(2026, 11 - back, 3, 12, tzinfo=UTC)
            use_some(
                finops, name=f"{slug}-{back}", at=at, slug=slug, thousands=thousands - back * 7
            )
    reports.set_plan(
        lines=[
            reports.PlanDraft(slug, date(2026, month, 1), amount * 10**9)
            for slug, amount in (("support-assistant", 4_000), ("contract-review", 9_000))
            for month in (9, 10, 11, 12)
        ],
        actor=finops,
        now=NOW,
    )
    return PagesCompany(envelopes, finops, _people(), _one_allowed_and_one_denied(finops))


def _envelopes(finops: Caller) -> dict[str, str]:
    made = {}
    for kind, slug, amount in (
        ("company", "", 100_000),
        ("department", "service", 60_000),
        ("use_case", "support-assistant", 20_000),
        ("use_case", "sandbox", 0),
        ("use_case", "contract-review", None),
    ):
        draft = policies.EnvelopeDraft(
            scope_kind=kind,
            scope_slug=slug,
            start_at=NOW - timedelta(days=200),
            amount_nanos=None if amount is None else amount * 10**9,
        )
        made[slug or kind] = policies.create_envelope(draft=draft, actor=finops, now=NOW).id
    return made


def _people() -> dict[Role, str]:
    people = {}
    for role in Role:
        if role is not Role.ROUTER:
            person = access.create_person(
                email=f"{role.value}@acme.example",
                display_name=f"{role.value.capitalize()} person",
                role=role,
                password="a password of the tests",
                actor=access.COMMAND_LINE,
                now=NOW,
            )
            people[role] = person.id
    return people


def _one_allowed_and_one_denied(finops: Caller) -> str:
    import json

    router = caller(Role.ROUTER, "key_router")
    for slug in ("support-assistant", "sandbox"):
        request = Authorize(
            request_id=f"first-{slug}", use_case=slug, model=MODEL, input_tokens=1_200
        )
        answer = policies.authorize(request=request, caller=router, now=NOW)
    return str(json.loads(answer)["decision_id"])
