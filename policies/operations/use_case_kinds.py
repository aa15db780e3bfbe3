"""How is a change of a use case told to its approvers, and how is it carried out?

One place for the kinds of `policies.core.use_case_changes`. The change is kept as the fields
that were named, and bound to the mode, state and models it was made against.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.errors import NotFound
from o10.kernel.usage import TokenClass
from policies.core import use_case_changes as core
from policies.core.approvals import Weight
from policies.core.drafts import ApprovedModel, UseCaseChange
from policies.core.rules import ModelRule
from policies.models import DecisionLog, Envelope, UseCase
from policies.operations.approved import approved_by
from policies.operations.change_kinds import (
    Applied,
    Change,
    ChangeKind,
    ChangeText,
    DiffRow,
    EffectRow,
    EvidenceRow,
    register,
)
from policies.operations.create_use_case import change_use_case
from policies.queries.approvals import ApprovalView
from policies.queries.envelope_pages import get_envelope_line
from policies.queries.prices import find_price

LOOKED_BACK: Final = timedelta(days=7)
MODELS_SHOWN: Final = 20


def change_body(slug: str, change: UseCaseChange) -> dict[str, Any]:
    """How is this change kept with its request? Only the fields that were named."""
    fields = msgspec.to_builtins(change)
    fields.pop("reason", None)
    return {"use_case": slug, "fields": fields, "reason": change.reason}


def change_from(change: Change) -> UseCaseChange:
    """Which change was kept like this?"""
    fields = {**change["fields"], "reason": change["reason"]}
    return msgspec.convert(fields, UseCaseChange, strict=False)


def find_use_case(slug: str) -> UseCase:
    """Which use case is it?

    Raises: NotFound (`not_found`).
    """
    row = UseCase.objects.select_related("department").filter(slug=slug).first()
    if row is None:
        raise NotFound(kind="use_case", id=slug)
    return row


def standing_of(row: UseCase) -> core.Standing:
    """How does it stand now?"""
    return core.Standing(row.mode, row.state, _rules(_models_of(row)))


def standing_after(row: UseCase, change: UseCaseChange) -> core.Standing:
    """How would it stand after this change?"""
    now_so = standing_of(row)
    models = change.approved_models
    return core.Standing(
        now_so.mode if isinstance(change.mode, msgspec.UnsetType) else change.mode,
        now_so.state if isinstance(change.state, msgspec.UnsetType) else change.state,
        now_so.models if isinstance(models, msgspec.UnsetType) else _rules(models),
    )


def register_use_case_kinds() -> None:
    """Makes the kinds of use case changes possible. Called when spend control starts."""
    kinds = (
        (core.ENFORCE, _base_of_standing, _describe_enforce),
        (core.RESTORE, _base_of_standing, _describe_restore),
        (core.MODELS, _base_of_models, _describe_models),
    )
    for name, base_of, describe_at in kinds:
        register(
            ChangeKind(
                name=name,
                apply=_apply,
                base_of=base_of,
                describe=_undated,
                describe_at=describe_at,
                weight_of=lambda _: Weight(),
                takes_until=name == core.MODELS,
            )
        )
    register(
        ChangeKind(
            name=core.CONFIRM,
            apply=lambda *_: Applied(),
            base_of=lambda change: f"policy version {change['version']}",
            describe=_describe_confirm,
        )
    )


def _undated(_: Change) -> ChangeText:
    raise NotImplementedError("told at an instant: describe_at")


def _models_of(row: UseCase) -> tuple[ApprovedModel, ...] | None:
    if row.approved_models is None:
        return None
    return tuple(msgspec.convert(each, ApprovedModel) for each in row.approved_models)


def _rules(models: Sequence[ApprovedModel] | None) -> tuple[ModelRule, ...] | None:
    if models is None:
        return None
    return tuple(ModelRule(name=each.name, until=each.until) for each in models)


def _base_of_standing(change: Change) -> str:
    row = find_use_case(change["use_case"])
    return f"{row.slug} {row.mode} {row.state}"


def _base_of_models(change: Change) -> str:
    row = find_use_case(change["use_case"])
    known = _rules(_models_of(row))
    digest = sha256(msgspec.json.encode(known)).hexdigest()[:16]
    count = "all" if known is None else str(len(known))
    return f"{row.slug} models {count} {digest}"


def _apply(change: Change, approval: ApprovalView, actor: Caller, now: datetime) -> Applied:
    wanted = change_from(change)
    row = find_use_case(change["use_case"])
    if not isinstance(wanted.approved_models, msgspec.UnsetType):
        agreed = _agreed(row, wanted.approved_models, approval)
        wanted = msgspec.structs.replace(wanted, approved_models=agreed)
    # The request gives the key: however often it is carried out, it is one change.
    change_use_case(
        slug=row.slug,
        change=wanted,
        actor=actor,
        now=now,
        key=approval.id,
        approved=approved_by(approval),
    )
    return Applied(ids={"use_case": row.slug})


def _agreed(
    row: UseCase, models: Sequence[ApprovedModel] | None, approval: ApprovalView
) -> tuple[ApprovedModel, ...] | None:
    """Those that are new name the request, and end when the approvers said so."""
    if models is None:
        return None
    fresh = {each.name for each in core.added(standing_of(row).models, _rules(models))}
    end = approval.until
    return tuple(
        msgspec.structs.replace(
            each,
            approval=approval.id,
            until=end if each.until is None or (end and end < each.until) else each.until,
        )
        if each.name in fresh
        else each
        for each in models
    )


def _describe_enforce(change: Change, now: datetime) -> ChangeText:
    row = find_use_case(change["use_case"])
    wanted = str(change["fields"]["mode"])
    stays = "go through, whatever they cost"
    return ChangeText(
        title=f"Enforce the limits of {row.name}",
        rows=(DiffRow("Mode", row.mode, wanted), *_others(row, change, "mode")),
        effect=(
            EffectRow("Calls beyond a limit", "are denied", stays, stays),
            EffectRow("Calls within it", "hold their money", "hold nothing", "hold nothing"),
        ),
        evidence=(*_would_deny(row, now), *_money_left(row, now)),
        url=f"/use-cases/{row.slug}/",
    )


def _describe_restore(change: Change, now: datetime) -> ChangeText:
    row = find_use_case(change["use_case"])
    wanted = str(change["fields"]["state"])
    word = {"stopped": "EMERGENCY_STOP", "sunset": "USE_CASE_SUNSET"}.get(row.state, "OK")
    return ChangeText(
        title=f"Restore use case: {row.name}",
        rows=(DiffRow("State", row.state, wanted), *_others(row, change, "state")),
        effect=(EffectRow("Callers see", "OK_WITHIN_ENVELOPE", word, word),),
        evidence=_money_left(row, now),
        url=f"/use-cases/{row.slug}/",
    )


def _describe_models(change: Change, now: datetime) -> ChangeText:
    row = find_use_case(change["use_case"])
    before, wanted = _models_of(row), change_from(change).approved_models
    after = None if isinstance(wanted, msgspec.UnsetType) else wanted
    rules = _rules(after)
    fresh = core.added(_rules(before), rules)
    gone = core.removed(_rules(before), rules)
    lines = [DiffRow("Approve", "", _model_text(each)) for each in fresh[:MODELS_SHOWN]]
    lines += [DiffRow("Take out", name, "") for name in gone[:MODELS_SHOWN]]
    said = {each.name: each.evidence for each in after or ()}
    if after is None:
        lines = [DiffRow("Models", _names(before), "every model that has a price")]
    title = ", ".join(each.name for each in fresh[:2]) or "every model"
    if len(fresh) > 2:
        title = f"{len(fresh)} models"
    evidence = [_price_row(each.name, now) for each in fresh[:MODELS_SHOWN]]
    evidence += [
        EvidenceRow(f"Evidence for {each.name}", said[each.name])
        for each in fresh[:MODELS_SHOWN]
        if said.get(each.name)
    ]
    return ChangeText(
        title=f"Approve {title} for {row.name}",
        rows=(*lines, *_others(row, change, "approved_models")),
        effect=(
            EffectRow(
                "Calls that name it",
                "go as far as the budget does",
                "are denied, MODEL_NOT_APPROVED",
                "are denied, MODEL_NOT_APPROVED",
            ),
        ),
        evidence=(*evidence, EvidenceRow("Approved today", _names(before))),
        url=f"/use-cases/{row.slug}/",
    )


def _describe_confirm(change: Change) -> ChangeText:
    row = find_use_case(change["use_case"])
    fields, before = change["fields"], change["before"]
    stopped = "state" in fields
    what = "was stopped" if stopped else "no longer enforces its limits"
    return ChangeText(
        title=f"Confirm: {row.name} {what}",
        rows=tuple(
            DiffRow(name.capitalize(), str(before.get(name, "")), str(value))
            for name, value in fields.items()
        ),
        effect=(
            EffectRow("It", "stays, confirmed", "stays, disputed", "stays, unconfirmed"),
            EffectRow(
                "To undo it",
                "is a request of its own",
                "is a request of its own",
                "is a request of its own",
            ),
        ),
        url=f"/use-cases/{row.slug}/",
    )


def _others(row: UseCase, change: Change, own: str) -> tuple[DiffRow, ...]:
    """What else was named goes along with it."""
    return tuple(
        DiffRow(name.replace("_", " ").capitalize(), _said(getattr(row, name)), _said(value))
        for name, value in change["fields"].items()
        if name != own
    )


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def _names(models: Sequence[ApprovedModel] | None) -> str:
    if models is None:
        return "every model that has a price"
    shown = ", ".join(each.name for each in models[:MODELS_SHOWN])
    return shown or "none"


def _model_text(model: ModelRule) -> str:
    if model.until is None:
        return model.name
    return f"{model.name}, until {figures.instant(model.until).text}"


def _price_row(name: str, now: datetime) -> EvidenceRow:
    """What does it cost? By the offer, or by the cheapest one that sells the model."""
    currency = ledger.ledger_of_company().currency
    found = find_price(
        venue=None,
        model=name,
        region=None,
        tier=None,
        at=now,
        max_input_tokens=1_000,
        currency=currency,
        max_output_tokens=1_000,
    )
    if found is None:
        return EvidenceRow(f"Price of {name}", "none: its calls are denied, PRICE_UNKNOWN")
    rates = found.price.rates
    parts = []
    for word, kind in (("in", TokenClass.INPUT), ("out", TokenClass.OUTPUT)):
        price = rates.price_of(kind)
        if price is not None:
            parts.append(f"{figures.rate(price, rates.currency).text} {word}")
    return EvidenceRow(f"Price of {name}", " · ".join(parts), "a million tokens", "/prices/")


def _would_deny(row: UseCase, now: datetime) -> tuple[EvidenceRow, ...]:
    denied = DecisionLog.objects.filter(
        use_case=row.id, decided_at__gt=now - LOOKED_BACK, would_decision="deny"
    ).count()
    return (
        EvidenceRow(
            "Would have been denied, 7 days",
            f"{denied:,} calls",
            f"in {row.mode}",
            f"/policies/decisions/?f=use_case:{row.slug}",
        ),
    )


def _money_left(row: UseCase, now: datetime) -> tuple[EvidenceRow, ...]:
    envelope = (
        Envelope.objects.filter(use_case=row, scope_kind="use_case")
        .exclude(state="closed")
        .first()
    )
    if envelope is None:
        return (EvidenceRow("Its envelope", "none of its own: it draws on the one above"),)
    line = get_envelope_line(envelope=envelope.public, now=now)
    currency = ledger.ledger_of_company().currency
    left = (
        "no own cap"
        if line.available is None
        else (f"{figures.money(line.available, currency).text} left")
    )
    return (
        EvidenceRow(
            f"Its envelope, {line.period_label}", left, "", f"/envelopes/{envelope.public}/"
        ),
    )
