"""Builders of rules for tests of pure policy: keyword-only, plain defaults."""

from datetime import UTC, datetime
from typing import Any

from o10.kernel.rates import Rates
from o10.kernel.usage import TokenClass
from o10.wire.requests import Authorize
from policies.core.envelope import Balance
from policies.core.question import Left, Price, Question, question_labels
from policies.core.snapshot import (
    EnvelopeRule,
    PolicyRows,
    Snapshot,
    UseCaseRule,
    compile_policy,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DOLLAR = 1_000_000_000
RATES = Rates(
    "USD",
    {
        TokenClass.INPUT: 2_500_000_000,
        TokenClass.OUTPUT: 15_000_000_000,
        TokenClass.REASONING: 15_000_000_000,
    },
)


def make_use_case(**fields: Any) -> UseCaseRule:
    base: dict[str, Any] = {
        "id": 1,
        "slug": "support",
        "name": "Support",
        "department": 1,
        "department_slug": "service",
        "mode": "enforce",
        "state": "active",
        "starts_at": None,
        "fail_mode": "closed",
        "floor_class": "silver",
        "default_model": "",
        "default_max_output_tokens": None,
        "p50_output_tokens": None,
        "max_input_tokens": None,
        "fit_output": False,
        "may_write_cache": False,
        "strict_prices": False,
        "may_pin": True,
    }
    return UseCaseRule(**{**base, **fields})


def make_envelope(**fields: Any) -> EnvelopeRule:
    number = fields.get("id", 1)
    base: dict[str, Any] = {
        "id": number,
        "public": f"env_{number}",
        "name": f"Envelope {number}",
        "root": 1,
        "parent": None,
        "scope_kind": "company",
        "slug": "company",
        "department": None,
        "use_case": None,
        "period_kind": "month",
        "time_zone": "UTC",
        "start_at": None,
        "end_at": None,
        "week_start": 0,
        "days": None,
        "fiscal": None,
        "amount_nanos": DOLLAR,
        "hard": True,
        "soft_thresholds_ppm": (),
        "per_call_nanos": None,
        "per_run_nanos": None,
        "state": "active",
        "epoch": 1,
    }
    return EnvelopeRule(**{**base, **fields})


def make_path(**leaf: Any) -> list[EnvelopeRule]:
    """Company > department > use case; `leaf` changes the deepest."""
    return [
        make_envelope(id=1),
        make_envelope(id=2, parent=1, scope_kind="department", slug="service", department=1),
        make_envelope(
            **{"id": 3, "parent": 2, "scope_kind": "use_case", "slug": "support", "use_case": 1}
            | leaf
        ),
    ]


def make_snapshot(
    *, use_case: UseCaseRule | None = None, envelopes: list[EnvelopeRule] | None = None
) -> Snapshot:
    rows = PolicyRows(
        use_cases=[use_case or make_use_case()],
        envelopes=make_path() if envelopes is None else envelopes,
    )
    return compile_policy(rows, version=12)


def make_price(**fields: Any) -> Price:
    base: dict[str, Any] = {
        "offer": "openai/gpt-x",
        "venue": "openai",
        "model": "gpt-x",
        "region": None,
        "tier": "standard",
        "rates": RATES,
        "price_version": 41,
    }
    return Price(**{**base, **fields})


def make_question(snapshot: Snapshot, **fields: Any) -> Question:
    """A question in the place where the snapshot puts it; `request` fields by their name."""
    own = {"scoped", "now", "currency", "price", "place"}
    asked = {
        "use_case": "support",
        "model": "gpt-x",
        "input_tokens": 1_200,
        "max_output_tokens": 800,
        **{name: value for name, value in fields.items() if name not in own},
    }
    request = Authorize(**asked)
    now = fields.get("now", NOW)
    rule = snapshot.use_cases.get(request.use_case)
    place = None
    if rule is not None:
        place = snapshot.place_of(use_case=rule, labels=question_labels(request), at=now)
    return Question(
        request=request,
        scoped=fields.get("scoped", True),
        now=now,
        currency="USD",
        price=fields.get("price", make_price()),
        place=fields.get("place", place),
    )


def make_left(snapshot: Snapshot, question: Question, *, run: int = 0, **by_id: Any) -> Left:
    """Empty balances with the caps of the rules; `e3={"settled": 5}` changes envelope 3."""
    place = question.place
    rules = getattr(place, "path", ())
    return Left(
        tuple(
            Balance(
                **{"envelope_id": rule.id, "cap": rule.cap_nanos} | by_id.get(f"e{rule.id}", {})
            )
            for rule in rules
        ),
        run,
    )
