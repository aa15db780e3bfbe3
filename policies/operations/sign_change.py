"""How is a change of a use case signed, in advance or late? By an approval of two people.

A prompt version, a model, a retry setting or a venue is approved like any change
(`change.signed`); its first sight is then nobody's surprise, and no cost that it moves is an
alert.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from o10.access.checks import check_see_use_case
from o10.access.keys import Caller
from o10.kernel.errors import FieldError, NotFound, ValidationFailed
from o10.wire.fields import is_label
from policies.models import ChangeSighting, SignedChange, UseCase
from policies.operations.change_kinds import (
    Applied,
    Change,
    ChangeKind,
    ChangeText,
    DiffRow,
    EvidenceRow,
    register,
)
from policies.operations.find_changes import covers
from policies.operations.weigh_changes import WORDS
from policies.queries.approvals import ApprovalView

KIND: Final = "change.signed"
_MOST: Final = 128


def register_signed_change() -> None:
    """Makes it possible to have a change signed."""
    register(
        ChangeKind(
            name=KIND,
            apply=_apply,
            base_of=_base,
            describe=_describe,
            check=_check,
            takes_until=True,
        )
    )


def _check(change: Change, actor: Caller | None, now: datetime) -> None:
    errors = []
    dimension, value = str(change.get("dimension")), change.get("value")
    if dimension not in ChangeSighting.DIMENSIONS:
        words = ", ".join(ChangeSighting.DIMENSIONS)
        errors.append(FieldError("/dimension", "unknown", f"One of {words}."))
    if not isinstance(value, str) or not 0 < len(value) <= _MOST:
        errors.append(FieldError("/value", "length", f"1 to {_MOST} characters."))
    elif dimension == "prompt_version" and not is_label(value):
        message = "A label or hash: letters, digits and . _ : / @ + - alone, 64 at most."
        errors.append(FieldError("/value", "bad_format", message))
    elif dimension == "attempt" and not (value.isdecimal() and 0 < int(value) <= 1_000):
        message = "How many attempts a call may take: 1 to 1,000."
        errors.append(FieldError("/value", "out_of_range", message))
    if errors:
        raise ValidationFailed(errors=errors)
    slug = str(change.get("use_case"))
    if actor is not None:
        check_see_use_case(caller=actor, slug=slug)
    _use_case(slug)


def _apply(change: Change, approval: ApprovalView, actor: Caller, now: datetime) -> Applied:
    """Signed from now on; what was seen already is matched too, and weighed no more."""
    use_case = _use_case(str(change["use_case"]))
    signers = [party.id for party in approval.approved_by] or [actor.principal]
    by = ", ".join(dict.fromkeys([*signers, approval.maker.id]))[:200]
    signed = SignedChange.objects.create(
        use_case=use_case,
        dimension=change["dimension"],
        value=change["value"],
        signed_by=by,
        ref=approval.id,
        at=now,
        until=approval.until,
    )
    seen = ChangeSighting.objects.filter(
        use_case=use_case, dimension=signed.dimension, baseline=False, signed_by=""
    )
    matched = [each.id for each in seen if covers(signed.dimension, signed.value, each.value)]
    ChangeSighting.objects.filter(id__in=matched).update(signed_by=by, signed_ref=approval.id)
    ChangeSighting.objects.filter(id__in=matched, weighing="open").update(weighing="none")
    return Applied(ids={"change": str(signed.id)})


def _base(change: Mapping[str, Any]) -> str:
    """It adds to what is there, so nothing it was made against can move."""
    return "signed-change"


def _describe(change: Change) -> ChangeText:
    use_case = _use_case(str(change["use_case"]))
    dimension, value = str(change["dimension"]), str(change["value"])
    seen = ChangeSighting.objects.filter(use_case=use_case, dimension=dimension).order_by(
        "-seq", "-id"
    )
    newest = seen.exclude(value=value).values_list("value", flat=True).first()
    row = seen.filter(value=value).first()
    evidence = ()
    if row is not None:
        evidence = (
            EvidenceRow(
                "First seen",
                f"{row.seen_at:%Y-%m-%d %H:%M} UTC",
                note=f"entry {row.seq:,}",
                url=f"/ledger/{row.seq}/",
            ),
        )
    return ChangeText(
        title=f"Sign {WORDS[dimension]} {value} of {use_case.name}",
        rows=(DiffRow(WORDS[dimension].capitalize(), newest or "", value),),
        evidence=evidence,
        url=f"/use-cases/{use_case.slug}/",
    )


def _use_case(slug: str) -> UseCase:
    row = UseCase.objects.filter(slug=slug).first()
    if row is None:
        raise NotFound(kind="use_case", id=slug)
    return row
