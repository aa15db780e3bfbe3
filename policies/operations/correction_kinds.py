"""How is an entry of the ledger put right? Asked for by finance, entered once another agrees.

Two kinds: `ledger.reversal` takes an entry back, `ledger.adjust` takes it back and states the
right amount beside it. Nothing is edited; the request is bound to the entry as long as nobody
else has taken it back.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from ledger import facade as ledger
from o10.access.checks import check, check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.errors import FieldError, NotFound, Rejected, ValidationFailed
from o10.kernel.money import MAX_NANOS, Nanos
from policies.core.approvals import Weight, can_make
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
from policies.operations.propose_change import propose_change
from policies.operations.questions import actor_number
from policies.queries.approvals import ApprovalView, find_open

REVERSAL: Final = "ledger.reversal"
ADJUST: Final = "ledger.adjust"


def ask_correction(
    *,
    uid: UUID,
    amount_nanos: Nanos | None,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str = "",
) -> ApprovalView:
    """Which request waits, so that this entry is taken back? With an amount it is stated anew.

    Raises: Forbidden; NotFound; NotReversible (`not_reversible`); AlreadyReversed
    (`already_reversed`); ValidationFailed without a reason or with an amount that cannot be;
    IdempotencyMismatch.
    """
    check(caller=actor, action=Action.CORRECT_LEDGER)
    if actor.use_case_slugs is not None:
        stored = ledger.get_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=uid)
        slug = ledger.lines_of([stored])[0].use_case_slug
        check_see_use_case(caller=actor, slug=slug)
    public = ids.id_of("ent", uid)
    amount = None if amount_nanos is None else str(amount_nanos)
    return propose_change(
        kind=REVERSAL if amount_nanos is None else ADJUST,
        subject=public,
        change={"entry": public, "amount_nanos": amount, "reason": reason},
        actor=actor,
        now=now,
        reason=reason,
        key=key,
    )


def register_correction_kinds() -> None:
    """Makes corrections possible, and puts the desk where the ledger's page asks."""
    for name in (REVERSAL, ADJUST):
        register(
            ChangeKind(
                name=name,
                apply=_apply,
                base_of=_base_of,
                describe=_describe,
                weight_of=lambda change: Weight(nanos=abs(_entry(change).entry.amount_nanos)),
                check=_check,
            )
        )
    ledger.set_correction_desk(
        ledger.CorrectionDesk(ask=_ask_at_desk, may_ask=_may_ask, waiting=_waiting)
    )


def _may_ask(actor: Caller) -> bool:
    return can_make(kind=REVERSAL, role=actor.role)


def _ask_at_desk(
    *,
    uid: UUID,
    amount_nanos: Nanos | None,
    reason: str,
    actor: Caller,
    now: datetime,
    key: str,
) -> ledger.WaitingCorrection:
    asked = ask_correction(
        uid=uid, amount_nanos=amount_nanos, reason=reason, actor=actor, now=now, key=key
    )
    return _told(asked)


def _waiting(uid: UUID, now: datetime) -> list[ledger.WaitingCorrection]:
    return [_told(each) for each in find_open(subject=ids.id_of("ent", uid), now=now)]


def _told(view: ApprovalView) -> ledger.WaitingCorrection:
    return ledger.WaitingCorrection(
        title=view.text.title, maker=view.maker.name, url=f"/approvals/{view.id}/"
    )


def _uid(change: Change) -> UUID:
    return ids.uuid_of(str(change["entry"]), "ent")


def _entry(change: Change) -> ledger.StoredEntry:
    return ledger.get_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=_uid(change))


def _amount(change: Change) -> Nanos | None:
    return None if change["amount_nanos"] is None else int(change["amount_nanos"])


def _check(change: Change, _: Caller | None, now: datetime) -> None:
    stored = _entry(change)
    if not str(change["reason"]).strip():
        message = "A correction says why."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    kind = ledger.Kind(stored.entry.kind)
    if kind not in ledger.REVERSIBLE:
        raise ledger.NotReversible(uid=str(stored.uid), kind=kind.name.lower())
    by = ledger.reversed_by(uid=stored.uid)
    if by is not None:
        raise ledger.AlreadyReversed(uid=str(stored.uid), by=str(by))
    amount = _amount(change)
    if amount is None:
        return
    if not 0 <= amount <= MAX_NANOS:
        message = "An amount is not negative."
        raise ValidationFailed(errors=[FieldError("/amount", "out_of_range", message)])
    if amount == stored.entry.amount_nanos:
        message = "The entry says this amount already."
        raise ValidationFailed(errors=[FieldError("/amount", "nothing_changes", message)])


def _base_of(change: Change) -> str:
    by = ledger.reversed_by(uid=_uid(change))
    return "stands" if by is None else f"taken back by {ids.id_of('ent', by)}"


def _apply(change: Change, approval: ApprovalView, actor: Caller, now: datetime) -> Applied:
    amount = _amount(change)
    written = ledger.reverse(
        uid=_uid(change),
        key=approval.id,
        reason=str(change["reason"]),
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        actor_id=actor_number(approval.maker.id, now=now),
        now=now,
        replacement=None if amount is None else {"amount_nanos": amount},
        approval=approval.id,
    )
    return Applied(ids={"entry": ids.id_of("ent", written.uid)}, entries=(written.uid,))


def _describe(change: Change) -> ChangeText:
    stored, amount = _entry(change), _amount(change)
    entry = stored.entry
    currency = ledger.ledger_of_company().currency
    line = ledger.lines_of([stored])[0]
    where = f"entry {stored.seq:,}" if stored.seq else "an entry"
    old = figures.money_exact(entry.amount_nanos, currency).text
    new = figures.money_exact(amount or 0, currency).text
    moved = figures.money_exact((amount or 0) - entry.amount_nanos, currency).text
    word = "Take back" if amount is None else "Correct"
    title = f"{word} {where}: {old}" + ("" if amount is None else f" to {new}")
    told = " · ".join(part for part in (line.use_case, line.model, line.venue) if part)
    return ChangeText(
        title=title,
        rows=(
            DiffRow("Amount", old, new if amount is not None else "none: it never happened"),
        ),
        effect=(
            EffectRow("Spent", moved, "as it is", "as it is"),
            EffectRow("This entry", "stays, with its negative", "stays", "stays"),
        ),
        evidence=(
            EvidenceRow("It says", told or line.kind, f"{line.calls:,} calls", _url(stored)),
        ),
        money_nanos=(amount or 0) - entry.amount_nanos,
        url=_url(stored),
    )


def _url(stored: ledger.StoredEntry) -> str:
    return f"/ledger/{stored.seq or ids.id_of('ent', stored.uid)}/"


def entry_uid(public: str) -> UUID:
    """Which uid has the entry of this id?

    Raises: NotFound (`not_found`) for what is no id of an entry.
    """
    try:
        return ids.uuid_of(public, "ent")
    except Rejected as error:
        raise NotFound(kind="entry", id=public[:64]) from error
