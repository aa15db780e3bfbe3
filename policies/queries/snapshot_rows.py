"""Of which rows is the policy made? Use cases and envelopes, all of them or those that changed.

Read by plain SQL, some hundreds of rows at a time: a process that serves calls meanwhile is
never kept from them by ten thousand envelopes.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from django.db import connection

from policies.core.rules import LeverRule, ModelRule
from policies.core.snapshot import EnvelopeRule, PolicyRows, UseCaseRule
from policies.models import Envelope

ROWS_AT_ONCE = 500
_USE_CASES = """
SELECT u.id, u.slug, u.name, u.department_id AS department,
    d.slug AS department_slug, u.mode, u.state, u.starts_at,
    u.fail_mode, u.floor_class, u.default_model, u.default_max_output_tokens,
    u.max_input_tokens, u.fit_output, u.may_write_cache, u.strict_prices, u.may_pin,
    u.approved_models::text AS models, k.levers::text AS levers
FROM policies_use_case u JOIN policies_department d ON d.id = u.department_id
LEFT JOIN LATERAL (
    SELECT json_agg(lever ORDER BY public, rank) AS levers
    FROM (
        SELECT c.public, 0 AS rank, json_build_object(
            'criterion', c.public, 'name', c.name, 'lever', c.spec->>'lever',
            'since', c.tripped_at, 'amount', (c.spec->>'amount')::bigint,
            'model', coalesce(c.spec->>'model', ''), 'until', c.sunset_until) AS lever
        FROM policies_kill_criterion c
        WHERE c.acts AND (c.scope_kind = 'company' OR c.use_case_id = u.id
                          OR c.department_id = u.department_id)
        UNION ALL
        -- The interim cap of a board review is a throttle, until it is decided.
        SELECT c.public, 1, json_build_object(
            'criterion', c.public, 'name', c.name, 'lever', 'throttle',
            'since', r.opened_at, 'amount', r.cap_nanos, 'model', '', 'until', NULL)
        FROM policies_kill_review r JOIN policies_kill_criterion c ON c.id = r.criterion_id
        WHERE r.decided_at IS NULL AND r.cap_nanos IS NOT NULL
            AND (c.scope_kind = 'company' OR c.use_case_id = u.id
                 OR c.department_id = u.department_id)
    ) both_kinds
) k ON true
"""
_ENVELOPES = """
SELECT id, public, name, root, parent_id AS parent, scope_kind, slug,
    department_id AS department, use_case_id AS use_case, period_kind, time_zone, start_at,
    end_at, week_start, days, fiscal::text AS fiscal, amount_nanos, hard, soft_thresholds_ppm,
    per_call_nanos, per_run_nanos, state, epoch
FROM policies_envelope
"""
_LEVERS = msgspec.json.Decoder(tuple[LeverRule, ...])
_MODELS = msgspec.json.Decoder(tuple[ModelRule, ...])
_Rule = TypeVar("_Rule")


@dataclass(frozen=True, slots=True)
class Touched:
    """Which use cases and envelopes may a change have touched? By number."""

    use_cases: tuple[int, ...] = ()
    envelopes: tuple[int, ...] = ()


def read_policy_rows(*, touched: Touched | None = None) -> PolicyRows:
    """Which use cases and envelopes are there now, closed ones included? All, or those touched.

    A closed envelope stays in the policy: its calls hear ENVELOPE_CLOSED, and late money
    still finds its path.
    """
    if touched is None:
        return PolicyRows(
            _read(f"{_USE_CASES} ORDER BY u.id", [], _use_case),
            _read(f"{_ENVELOPES} ORDER BY id", [], _envelope),
        )
    some = f"{_USE_CASES} WHERE u.id = ANY(%s) ORDER BY u.id"
    others = f"{_ENVELOPES} WHERE id = ANY(%s) ORDER BY id"
    return PolicyRows(
        _read(some, [list(touched.use_cases)], _use_case) if touched.use_cases else [],
        _read(others, [list(touched.envelopes)], _envelope) if touched.envelopes else [],
    )


def envelope_rule(row: Envelope) -> EnvelopeRule:
    """Which rule does this row say?"""
    return EnvelopeRule(
        id=row.id,
        public=row.public,
        name=row.name,
        root=row.root,
        parent=row.parent_id,
        scope_kind=row.scope_kind,
        slug=row.slug,
        department=row.department_id,
        use_case=row.use_case_id,
        period_kind=row.period_kind,
        time_zone=row.time_zone,
        start_at=row.start_at,
        end_at=row.end_at,
        week_start=row.week_start,
        days=row.days,
        fiscal=row.fiscal,
        amount_nanos=row.amount_nanos,
        hard=row.hard,
        soft_thresholds_ppm=tuple(row.soft_thresholds_ppm),
        per_call_nanos=row.per_call_nanos,
        per_run_nanos=row.per_run_nanos,
        state=row.state,
        epoch=row.epoch,
    )


def _read(query: str, values: Sequence[object], rule: Callable[..., _Rule]) -> list[_Rule]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        names = [column.name for column in cursor.description]
        return [rule(**dict(zip(names, row, strict=True))) for row in _some_at_once(cursor)]


def _some_at_once(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield from rows


def _use_case(levers: str | None, models: str | None, **row: Any) -> UseCaseRule:
    acting = () if levers is None else _LEVERS.decode(levers)
    approved = None if models is None else _MODELS.decode(models)
    return UseCaseRule(p50_output_tokens=None, levers=acting, models=approved, **row)


def _envelope(fiscal: str | None, soft_thresholds_ppm: list[int], **row: Any) -> EnvelopeRule:
    return EnvelopeRule(
        fiscal=None if fiscal is None else json.loads(fiscal),
        soft_thresholds_ppm=tuple(soft_thresholds_ppm),
        **row,
    )
