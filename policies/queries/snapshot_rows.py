"""Of which rows is the policy snapshot made? All that compile needs, in two reads."""

from policies.core.snapshot import EnvelopeRule, PolicyRows, UseCaseRule
from policies.models import Envelope, UseCase


def read_policy_rows() -> PolicyRows:
    """Which use cases and envelopes are there now, closed ones included?

    A closed envelope stays in the snapshot: its calls hear ENVELOPE_CLOSED, and late money
    still finds its path.
    """
    use_cases = UseCase.objects.select_related("department").order_by("id")
    envelopes = Envelope.objects.order_by("id")
    return PolicyRows(
        use_cases=[use_case_rule(row) for row in use_cases],
        envelopes=[envelope_rule(row) for row in envelopes],
    )


def use_case_rule(row: UseCase) -> UseCaseRule:
    """Which rule does this row say?"""
    return UseCaseRule(
        id=row.id,
        slug=row.slug,
        name=row.name,
        department=row.department_id,
        department_slug=row.department.slug,
        mode=row.mode,
        state=row.state,
        starts_at=row.starts_at,
        fail_mode=row.fail_mode,
        floor_class=row.floor_class,
        default_model=row.default_model,
        default_max_output_tokens=row.default_max_output_tokens,
        p50_output_tokens=None,
        max_input_tokens=row.max_input_tokens,
        fit_output=row.fit_output,
        may_write_cache=row.may_write_cache,
        strict_prices=row.strict_prices,
        may_pin=row.may_pin,
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
