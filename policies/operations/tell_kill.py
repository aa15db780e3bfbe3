"""Who hears that a criterion tripped, waits for people, or asks for its lever?"""

from datetime import datetime

from policies.core.kill_spec import Spec
from policies.core.kill_text import action_text, value_text
from policies.core.metrics import METRICS, Measured
from policies.models import KillCriterion
from policies.operations.raise_alert import raise_alert
from policies.queries.current_policy import current_policy
from policies.queries.kill_rows import spec_of


def tell_trip(row: KillCriterion, *, measured: Measured | None, now: datetime) -> None:
    """Everybody concerned hears of a trip, once."""
    spec = spec_of(row)
    metric = METRICS[spec.metric]
    raise_alert(
        kind="kill_tripped",
        subject=row.public,
        window=now.isoformat()[:40],
        title=f"{row.name} tripped: {_found(spec, measured)}",
        detail=(
            f"Limit {value_text(metric, spec.beyond_at, currency=_currency())}. "
            f"{action_text(spec, currency=_currency())}"
        ),
        severity=spec.severity,
        now=now,
        evidence=_inputs(measured),
        url=f"/policies/kill-criteria/{row.public}/",
        use_case=row.use_case_id,
    )


def tell_restorable(row: KillCriterion, *, now: datetime) -> None:
    """It is back inside, and only people may lift its lever."""
    since = row.tripped_at or now
    raise_alert(
        kind="kill_restorable",
        subject=row.public,
        window=since.isoformat()[:40],
        title=f"{row.name} is back inside its limit",
        detail="Its lever still holds: two people lift it.",
        severity="info",
        now=now,
        url=f"/policies/kill-criteria/{row.public}/",
        use_case=row.use_case_id,
    )


def _found(spec: Spec, measured: Measured | None) -> str:
    if measured is None:
        return "people agreed to its lever"
    return f"{METRICS[spec.metric].label.lower()} {_value(spec, measured)}"


def _inputs(measured: Measured | None) -> dict[str, str]:
    found = {} if measured is None else measured.inputs
    return {name: str(value) for name, value in sorted(found.items())}


def _value(spec: Spec, measured: Measured) -> str:
    if measured.value is None:
        return "unknown"
    return value_text(METRICS[spec.metric], measured.value, currency=_currency())


def _currency() -> str:
    return current_policy().currency


def tell_proposed(
    row: KillCriterion, *, approval: str, measured: Measured, now: datetime
) -> None:
    """Its lever waits for a yes: people are asked, once for each request."""
    spec = spec_of(row)
    metric = METRICS[spec.metric]
    raise_alert(
        kind="kill_proposed",
        subject=row.public,
        window=approval,
        title=f"{row.name} asks for its lever: {metric.label.lower()} {_value(spec, measured)}",
        detail=(
            f"Limit {value_text(metric, spec.beyond_at, currency=_currency())}. If approved: "
            f"{action_text(spec, currency=_currency())}"
        ),
        severity=spec.severity,
        now=now,
        evidence=_inputs(measured),
        url=f"/policies/kill-criteria/{row.public}/",
        use_case=row.use_case_id,
    )
