"""Which company do the API tests call? A small one, committed once for a whole module."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from ledger import facade as ledger
from o10.access import operations
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from policies import facade as policies
from tests.forget import forget_everything

MODEL = "openai/gpt-4o"
COUNTED = (
    "ledger_entry",
    "ledger_idem",
    "ledger_document",
    "ledger_registry",
    "policies_use_case",
    "policies_envelope",
    "policies_envelope_version",
    "policies_decision_log",
    "policies_policy_version",
    "envelope_balance",
    "envelope_tree",
    "reservation",
    "access_person",
    "access_router_key",
    "access_audit",
)
"""Tables that a refused request must leave as they were."""


@dataclass(frozen=True)
class Company:
    """Envelopes by name, and the callers that act in it."""

    envelopes: dict[str, str]
    finops: Caller


def found_company(now: datetime) -> Company:
    """Ledger, prices, one department, two use cases, envelopes of 1,000, 100 and 1 dollar."""
    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/acme", currency="USD", time_zone="Europe/Berlin", now=now
    )
    ledger.load_first_prices(now=now)
    policies.found_organisation(
        name="Acme", slug="acme", demo=False, actor=operations.COMMAND_LINE, now=now
    )
    policies.found_approval_policy(
        policy=policies.ApprovalPolicy(keys_may_approve=True),
        actor=operations.COMMAND_LINE,
        now=now,
    )
    finops = caller(Role.FINOPS)
    for slug in ("support-assistant", "contract-review"):
        policies.create_use_case(
            draft=policies.UseCaseDraft(slug=slug, name=slug, department="service"),
            actor=finops,
            now=now,
        )
    envelopes = {}
    for kind, slug, amount in (
        ("company", "", 1_000),
        ("department", "service", 100),
        ("use_case", "support-assistant", 1),
    ):
        view = policies.create_envelope(
            draft=policies.EnvelopeDraft(
                scope_kind=kind, scope_slug=slug, amount_nanos=amount * 10**9
            ),
            actor=finops,
            now=now,
        )
        envelopes[kind] = view.id
    return Company(envelopes=envelopes, finops=finops)


def caller(role: Role, key_id: str = "usr_finance") -> Caller:
    """A caller of this role without a key of its own."""
    return Caller(key_id, key_id, key_id, role, None, ROLE_ACTIONS[role])


def committed_company(database_urls: Any, blocker: Any, now: datetime) -> Iterator[Company]:
    """The company, committed; everything is taken out at the end."""
    from django.db import connections

    from tests.conftest import _empty

    with blocker.unblock():
        try:
            yield found_company(now)
        finally:
            for alias in ("default", "owner", "sealer"):
                connections[alias].close()
            _empty(database_urls)
            forget_everything()


def count_rows(urls: Any) -> dict[str, int]:
    """How many rows has each table that a refused request must not touch?"""
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in COUNTED)
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        return dict(connection.execute(counts).fetchall())
