"""A small company for tests: one ledger, three priced models, use cases, envelopes, callers."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.access.roles import ROLE_ACTIONS, Role
from o10.wire.requests import Authorize, Extend, Release, Settle, UsageCounts
from policies import facade as policies
from tests.forget import forget_everything

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DOLLAR = 1_000_000_000
MODEL = "gpt-x"
"""2.50 / 15 dollars a million: 1,200 in and 800 out are 15,000,000 nanos (golden G15)."""
CHEAP = "gpt-x-mini"
"""0.75 / 4.50, cache read 0.075."""
DEAR = "gpt-x-pro"
"""30 / 180."""
PRICES = {
    MODEL: {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05},
    CHEAP: {
        "input_cost_per_token": 7.5e-07,
        "output_cost_per_token": 4.5e-06,
        "cache_read_input_token_cost": 7.5e-08,
    },
    DEAR: {"input_cost_per_token": 3e-05, "output_cost_per_token": 1.8e-04},
}


def make_books(*, now: datetime = NOW) -> None:
    """An empty ledger in dollars with a price book."""
    forget_everything()
    ledger.create_ledger(
        origin="ledger.example.com/acme", currency="USD", time_zone="UTC", now=now
    )
    table = {
        model: {"litellm_provider": "openai", "mode": "chat", **card}
        for model, card in PRICES.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.json"
        path.write_text(json.dumps(table))
        catalogue = ledger.read_catalogue(source=str(path))
        ledger.load_catalogue(catalogue=catalogue, actor="system", now=now - timedelta(days=1))


def make_caller(
    *,
    key: str = "key_router",
    role: Role = Role.ROUTER,
    use_cases: frozenset[str] | None = None,
) -> Caller:
    return Caller(key, key, key, role, use_cases, ROLE_ACTIONS[role])


ROUTER = make_caller()
FINANCE = make_caller(key="key_finance", role=Role.FINOPS)


def make_use_case(
    *, slug: str = "support", department: str = "service", now: datetime = NOW, **fields: Any
) -> policies.UseCaseView:
    draft = policies.UseCaseDraft(
        slug=slug, name=slug.capitalize(), department=department, **fields
    )
    return policies.create_use_case(draft=draft, actor=FINANCE, now=now)


def make_envelope(
    *,
    kind: str = "use_case",
    slug: str = "support",
    amount: int | None = DOLLAR,
    now: datetime = NOW,
    **fields: Any,
) -> policies.EnvelopeView:
    # Without thresholds the first reason of a yes is always the same.
    fields = {"soft_thresholds_ppm": (), **fields}
    draft = policies.EnvelopeDraft(
        scope_kind=kind, scope_slug=slug, amount_nanos=amount, **fields
    )
    return policies.create_envelope(draft=draft, actor=FINANCE, now=now)


def make_tree(
    *,
    company: int = 10 * DOLLAR,
    department: int = 5 * DOLLAR,
    use_case: int = DOLLAR,
    now: datetime = NOW,
    **fields: Any,
) -> dict[str, policies.EnvelopeView]:
    """Company > department > use case, each with its cap."""
    make_use_case(now=now)
    return {
        "company": make_envelope(kind="company", slug="", amount=company, now=now),
        "department": make_envelope(
            kind="department", slug="service", amount=department, now=now
        ),
        "use_case": make_envelope(amount=use_case, now=now, **fields),
    }


def ask(
    *,
    now: datetime = NOW,
    caller: Caller = ROUTER,
    use_case: str = "support",
    model: str | None = MODEL,
    input_tokens: int | None = 1_200,
    max_output_tokens: int | None = 800,
    **fields: Any,
) -> dict[str, Any]:
    """What authorize answers, decoded."""
    request = Authorize(
        use_case=use_case,
        model=model,
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        **fields,
    )
    return decoded(policies.authorize(request=request, caller=caller, now=now))


def pay(
    answer: dict[str, Any],
    *,
    usage: tuple[int, int] | None = (1_200, 310),
    counts: UsageCounts | None = None,
    now: datetime = NOW,
    caller: Caller = ROUTER,
    **fields: Any,
) -> dict[str, Any]:
    """What settle answers, decoded; `usage` = input and output tokens, None = not reported."""
    if counts is None and usage is not None:
        counts = UsageCounts(input_tokens=usage[0], output_tokens=usage[1])
    fields = {"usage": counts, **fields}
    request = Settle(reservation=answer["reservation"]["id"], **fields)
    return decoded(policies.settle(request=request, caller=caller, now=now))


def let_go(
    answer: dict[str, Any], *, now: datetime = NOW, caller: Caller = ROUTER, **fields: Any
) -> dict[str, Any]:
    request = Release(reservation=answer["reservation"]["id"], **fields)
    return decoded(policies.release(request=request, caller=caller, now=now))


def prolong(
    answer: dict[str, Any], *, now: datetime = NOW, caller: Caller = ROUTER, **fields: Any
) -> dict[str, Any]:
    request = Extend(reservation=answer["reservation"]["id"], **fields)
    return decoded(policies.extend(request=request, caller=caller, now=now))


def money_of(envelope: policies.EnvelopeView, *, now: datetime = NOW) -> dict[str, int]:
    """Settled, held (all that is lent), unsettled, unguarded and available, in nanos."""
    view = policies.get_envelope(envelope=envelope.id, now=now)
    return {
        "settled": int(view.settled_nanos),
        "held": int(view.leased_nanos),
        "unsettled": int(view.unsettled_nanos),
        "unguarded": int(view.unguarded_nanos),
        "available": int(view.available_nanos) if view.available_nanos is not None else -1,
    }


def entries(**filters: Any) -> list[Any]:
    """All entries, oldest first, by kind name and the fields a test looks at."""
    from ledger.models import Entry

    return list(Entry.objects.filter(**filters).order_by("recorded_at", "id"))


def reason_of(answer: dict[str, Any]) -> str:
    return answer["reasons"][0]["code"]


def decoded(answer: bytes) -> dict[str, Any]:
    return msgspec.json.decode(answer)
