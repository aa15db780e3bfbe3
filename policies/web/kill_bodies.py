"""Which bodies do the doors of kill criteria take, and how do they become specs?

Money is decimal text; shares are decimal numbers ("0.15" = 15 %).
"""

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from o10.kernel.errors import FieldError, Rejected, UnitMismatch, ValidationFailed
from o10.kernel.money import parse_nanos
from o10.wire import fields as f
from policies import facade
from policies.web.serializers import Note, Slug, Title

Threshold = Annotated[str, Meta(min_length=1, max_length=30, pattern=r"^-?[0-9.]+$(?!\n)")]
Counted = Annotated[int, Meta(ge=0, le=10**12)]
_SAME = (
    "metric",
    "comparator",
    "threshold",
    "window_s",
    "min_sample",
    "consecutive",
    "severity",
    "lever",
    "amount",
    "model",
    "board_review",
    "review_days",
    "execution",
    "cooldown_s",
    "restore_threshold",
    "restore_consecutive",
    "auto_restore",
    "owner",
    "evidence",
)


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do these bodies have in common? By name, nothing unknown."""


class KillScopeBody(_Body, frozen=True, kw_only=True):
    """What does it watch? The company has no slug."""

    kind: f.Word
    slug: Slug | None = None


class KillSpecBody(_Body, frozen=True, kw_only=True):
    """Which signal pulls which lever? `amount`: output tokens, steps or days, by the lever."""

    metric: f.Word
    threshold: Threshold
    comparator: Annotated[str, Meta(max_length=2)] | None = None
    window_s: Counted | None = None
    min_sample: Counted | None = None
    consecutive: Counted = 2
    severity: f.Word = "warning"
    lever: f.Word = "notify"
    amount: Counted | None = None
    amount_an_hour: str | None = None
    currency: str | None = None
    model: Annotated[str, Meta(max_length=128, pattern=r"^[^\u0000-\u001f\u007f]*$")] = ""
    board_review: bool = False
    review_days: Counted = 14
    review_cap_an_hour: str | None = None
    execution: f.Word = "auto"
    cooldown_s: Counted = 86_400
    restore_threshold: Threshold | None = None
    restore_consecutive: Counted = 3
    auto_restore: bool = True
    owner: Annotated[str, Meta(max_length=64, pattern=r"^[^\u0000-\u001f\u007f]*$")] = ""
    review_by: date | None = None
    evidence: Note = ""


class KillBody(_Body, frozen=True, kw_only=True):
    """Which criterion shall be made? A draft; arming it needs a second person.

    `offered` = as the default pack has it, instead of a name and a spec.
    """

    scope: KillScopeBody
    name: Title | None = None
    spec: KillSpecBody | None = None
    offered: f.Word | None = None
    request_id: f.Name | None = None


class KillChangeBody(_Body, frozen=True, kw_only=True):
    """How shall it read? The whole spec; loosening needs a second person."""

    spec: KillSpecBody
    name: Title | UnsetType = UNSET
    reason: Note = ""
    request_id: f.Name | None = None


class KillReasonBody(_Body, frozen=True, kw_only=True):
    """Why? Kept with the change."""

    reason: Note = ""
    request_id: f.Name | None = None


class KillDecisionBody(_Body, frozen=True, kw_only=True):
    """What did the board decide? Kept with the review."""

    decision: Note
    request_id: f.Name | None = None


class KillOverrideBody(_Body, frozen=True, kw_only=True):
    """Until when shall it be set aside, and why? 14 days at most."""

    until: Annotated[datetime, Meta(tz=True)]
    reason: Note
    request_id: f.Name | None = None


class KillDrillBody(_Body, frozen=True, kw_only=True):
    """Over how many days of history?"""

    days: Annotated[int, Meta(ge=1, le=400)] = 90


def draft_of(body: KillBody, *, currency: str) -> facade.CriterionDraft:
    """Which draft does this body ask for?

    Raises: ValidationFailed; UnitMismatch.
    """
    if body.offered is not None:
        offered = facade.find_offered(body.offered)
        if offered is None or body.spec is not None:
            names = ", ".join(each.slug for each in facade.KILL_PACK)
            message = f"One of {names}, without a spec."
            raise ValidationFailed(errors=[FieldError("/offered", "not_a_choice", message)])
        return facade.CriterionDraft(
            name=body.name or offered.name,
            scope_kind=body.scope.kind,
            scope_slug=body.scope.slug or "",
            spec=offered.spec,
        )
    if body.spec is None or body.name is None:
        missing = "spec" if body.spec is None else "name"
        raise ValidationFailed(
            errors=[
                FieldError(f"/{missing}", "required", "Say what it is, or name one offered.")
            ]
        )
    return facade.CriterionDraft(
        name=body.name,
        scope_kind=body.scope.kind,
        scope_slug=body.scope.slug or "",
        spec=spec_of(body.spec, currency=currency),
    )


def spec_of(body: KillSpecBody, *, currency: str) -> facade.KillSpec:
    """Which spec does this body say? What is left out is as the metric has it.

    Raises: ValidationFailed; UnitMismatch.
    """
    metric = facade.METRICS.get(body.metric)
    said: dict[str, Any] = {name: getattr(body, name) for name in _SAME}
    if metric is not None:
        said["comparator"] = body.comparator or metric.comparator
        said["window_s"] = metric.window_s if body.window_s is None else body.window_s
        said["min_sample"] = metric.min_sample if body.min_sample is None else body.min_sample
    said["comparator"] = said["comparator"] or ">="
    said["window_s"] = 3_600 if said["window_s"] is None else said["window_s"]
    said["min_sample"] = 1 if said["min_sample"] is None else said["min_sample"]
    said["restore_threshold"] = body.restore_threshold or ""
    if body.lever == facade.Lever.THROTTLE:
        said["amount"] = _an_hour(body, currency, "amount_an_hour")
    elif body.amount_an_hour is not None:
        message = "Only a throttle is money by the hour."
        raise ValidationFailed(errors=[FieldError("/spec/amount_an_hour", "invalid", message)])
    said["review_cap"] = _an_hour(body, currency, "review_cap_an_hour")
    return facade.KillSpec(review_by=body.review_by, **said)


def _an_hour(body: KillSpecBody, currency: str, field: str) -> int | None:
    if body.currency not in (None, currency):
        raise UnitMismatch(
            expected=currency,
            got=body.currency,
            errors=[
                FieldError("/spec/currency", "unit_mismatch", f"The ledger is in {currency}.")
            ],
        )
    stated: str | None = getattr(body, field)
    if stated is None:
        return None
    try:
        amount = parse_nanos(stated)
    except Rejected as error:
        message = error.errors[0].message
        raise ValidationFailed(
            errors=[FieldError(f"/spec/{field}", "out_of_range", message)]
        ) from error
    return amount
