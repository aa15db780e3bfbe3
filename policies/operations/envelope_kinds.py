"""How is a change of an envelope told to its approvers, and how is it carried out?

One place for the kinds `envelope.*`. The change is kept as the fields that were named, amounts
as text, and bound to the version of the envelope it was made on.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ledger import facade as ledger
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.money import Nanos
from policies.core.approvals import Weight
from policies.core.drafts import EnvelopeChange, EnvelopeDraft
from policies.core.envelope_changes import Limits
from policies.models import Envelope, EnvelopeBalance, TemporaryRaise
from policies.operations.approved import approved_by
from policies.operations.change_envelope import (
    change_envelope,
    check_possible,
    find_envelope,
)
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
from policies.operations.create_envelope import check_may_be, create_envelope, parent_of
from policies.operations.create_envelopes import check_batch, create_envelopes
from policies.queries.approvals import ApprovalView
from policies.queries.envelope_pages import EnvelopeLine, get_envelope_line
from policies.queries.envelope_screen import Preview, get_envelope_screen

ROWS_SHOWN: Final = 20
PERIODS_A_YEAR: Final = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}
DAYS_A_MONTH: Final = {"day": 30, "week": 4, "month": 1}
_WORDS: Final = {
    "amount_nanos": "Cap",
    "per_call_nanos": "Per call",
    "per_run_nanos": "Per run",
    "hard": "Stops calls at the cap",
    "allow_overallocation": "Children may exceed it",
    "soft_thresholds_ppm": "Soft thresholds",
    "end_at": "Ends",
    "name": "Name",
    "state": "State",
}


def change_body(envelope: str, change: EnvelopeChange) -> dict[str, Any]:
    """How is this change kept with its request? Only the fields that were named."""
    fields = msgspec.to_builtins(change)
    fields.pop("reason", None)
    return {"envelope": envelope, "fields": _as_text(fields), "reason": change.reason}


def draft_body(draft: EnvelopeDraft) -> dict[str, Any]:
    """How is this draft of an envelope kept with its request?"""
    return _as_text(msgspec.to_builtins(draft))


def change_from(change: Change) -> EnvelopeChange:
    """Which change was kept like this?"""
    fields = {**change["fields"], "reason": change["reason"]}
    return msgspec.convert(fields, EnvelopeChange, strict=False)


def drafts_from(change: Change) -> list[EnvelopeDraft]:
    """Which drafts were kept like this? One, or the rows of a batch."""
    bodies = change["drafts"] if "drafts" in change else [change["draft"]]
    return [msgspec.convert(body, EnvelopeDraft, strict=False) for body in bodies]


def limits_of(row: Envelope) -> Limits:
    """How does this envelope stand?"""
    return Limits(
        amount_nanos=row.amount_nanos,
        per_call_nanos=row.per_call_nanos,
        per_run_nanos=row.per_run_nanos,
        hard=row.hard,
        allow_overallocation=row.allow_overallocation,
        end_at=row.end_at,
        state=row.state,
    )


def register_envelope_kinds() -> None:
    """Makes the kinds of envelope changes possible. Called when spend control starts."""
    for name in ("envelope.raise", "envelope.uncap", "envelope.loosen", "envelope.restore"):
        register(
            ChangeKind(
                name=name,
                apply=_apply_change,
                base_of=_base_of_change,
                describe=_undated,
                describe_at=_describe_change,
                weight_of=_weight_of_change,
                check=_check_change,
                takes_until=name == "envelope.raise",
            )
        )
    register(
        ChangeKind(
            name="envelope.top_up",
            apply=_apply_top_up,
            base_of=_base_of_change,
            describe=_undated,
            describe_at=_describe_top_up,
            weight_of=lambda change: _weight(
                find_envelope(change["envelope"]), int(change["add_nanos"])
            ),
            check=_check_top_up,
        )
    )
    register(
        ChangeKind(
            name="envelope.create",
            apply=_apply_create,
            base_of=_base_of_create,
            describe=_undated,
            describe_at=_describe_create,
            weight_of=_weight_of_create,
            check=_check_create,
        )
    )
    register(
        ChangeKind(
            name="envelope.confirm",
            apply=_apply_nothing,
            base_of=lambda change: f"v{change['version']}",
            describe=_describe_confirm,
        )
    )


def _as_text(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts as text: a reader of JSON may not hold them as whole numbers."""
    return {
        name: str(value) if name.endswith("_nanos") and isinstance(value, int) else value
        for name, value in fields.items()
    }


def _undated(_: Change) -> ChangeText:
    raise NotImplementedError("told at an instant: describe_at")


def _currency() -> str:
    return ledger.ledger_of_company().currency


def _money(nanos: Nanos | None) -> str:
    return "no own cap" if nanos is None else figures.money(nanos, _currency()).text


# -- a change of one that is there


def _base_of_change(change: Change) -> str:
    row = find_envelope(change["envelope"])
    return f"{row.public} v{row.version}"


def _check_change(change: Change, _: Caller | None, now: datetime) -> None:
    check_possible(envelope=change["envelope"], change=change_from(change), now=now)


def _apply_change(
    change: Change, approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    wanted = change_from(change)
    row = find_envelope(change["envelope"])
    before = row.amount_nanos
    # The request gives the key: however often it is carried out, it is one change.
    change_envelope(
        envelope=row.public,
        change=wanted,
        actor=actor,
        now=now,
        key=approval.id,
        approved=approved_by(approval),
    )
    if wanted.amount_nanos is not msgspec.UNSET:
        _note_end(row, before, approval, approval.until, now)
    return Applied(ids={"envelope": row.public})


def _note_end(
    row: Envelope,
    before: Nanos | None,
    approval: ApprovalView,
    until: datetime | None,
    now: datetime,
) -> None:
    """Notes until when a raise holds; a later change of the amount takes its place.

    What a raise on top of a temporary one falls back to is the cap before both.
    """
    running = TemporaryRaise.objects.filter(envelope=row, state="running").first()
    if running is not None:
        if until is not None:
            before = running.back_to_nanos
        running.state, running.ended_at = "replaced", now
        running.save(update_fields=["state", "ended_at"])
    if until is not None and before is not None:
        TemporaryRaise.objects.create(
            envelope=row, approval=approval.id, back_to_nanos=before, until=until
        )


def _weight_of_change(change: Change) -> Weight:
    row = find_envelope(change["envelope"])
    wanted = change_from(change)
    if wanted.amount_nanos is None:
        return Weight(unlimited=True)
    if wanted.amount_nanos is msgspec.UNSET:
        return Weight()
    if row.amount_nanos is None:
        return _weight(row, wanted.amount_nanos)
    return _weight(row, max(0, wanted.amount_nanos - row.amount_nanos))


def _weight(row: Envelope, nanos: Nanos) -> Weight:
    return Weight(nanos=nanos, parent_nanos=row.parent.amount_nanos if row.parent else None)


def _describe_change(change: Change, now: datetime) -> ChangeText:
    row = find_envelope(change["envelope"])
    wanted = change_from(change)
    rows = tuple(
        DiffRow(_WORDS.get(name, name), _value(name, getattr(row, name)), _value(name, value))
        for name in wanted.__struct_fields__
        if name != "reason" and (value := getattr(wanted, name)) is not msgspec.UNSET
    )
    amount = wanted.amount_nanos
    if amount is msgspec.UNSET:
        return ChangeText(
            title=_title(row, rows),
            rows=rows,
            effect=_effect_of_state(row, wanted, now),
            evidence=_evidence(row, now),
            url=f"/envelopes/{row.public}/",
        )
    return _amount_text(row, rows, amount, now)


def _title(row: Envelope, rows: Sequence[DiffRow]) -> str:
    if len(rows) == 1 and rows[0].label == "State":
        return f"Restore envelope: {row.name}"
    return f"Loosen envelope: {row.name}"


def _amount_text(
    row: Envelope, rows: tuple[DiffRow, ...], amount: Nanos | None, now: datetime
) -> ChangeText:
    screen = get_envelope_screen(envelope=row.public, now=now, amount=amount)
    line, old = screen.line, row.amount_nanos
    word = "Raise" if old is not None and amount is not None else "Uncap"
    if old is None:
        word = "Cap"
    delta = None if amount is None or old is None else amount - old
    effect = [EffectRow("Cap", _money(amount), _money(old), _money(old))]
    if screen.preview is not None:
        effect.append(_left_row(line, screen.preview))
        effect.append(_binding_row(line, screen.preview))
        if screen.preview.over_parent:
            more = _money(screen.preview.over_parent)
            effect.append(EffectRow("Parent is short of", more, "0", "0"))
    if delta is not None:
        effect.extend(_effect_over_time(line, delta))
    return ChangeText(
        title=f"{word} envelope: {row.name}, {_money(old)} to {_money(amount)}",
        rows=rows,
        effect=tuple(effect),
        evidence=_evidence(row, now),
        money_nanos=None if delta is None else delta * DAYS_A_MONTH.get(row.period_kind, 1),
        url=f"/envelopes/{row.public}/",
    )


def _left_row(line: EnvelopeLine, preview: Preview) -> EffectRow:
    now_left = _money(line.available)
    return EffectRow("Left now", _money(preview.left), now_left, now_left)


def _binding_row(line: EnvelopeLine, preview: Preview) -> EffectRow:
    def told(binding: Any) -> str:
        if binding is None:
            return "nothing"
        name = "its own cap" if binding.own else binding.name
        return f"{name}, {_money(binding.available)} left"

    before = told(line.binding)
    return EffectRow("What binds", told(preview.binding), before, before)


def _effect_over_time(line: EnvelopeLine, delta: Nanos) -> list[EffectRow]:
    """Per month and per year, for periods that come again; at most what may be spent more."""
    currency = _currency()
    most = figures.money(delta, currency).text
    sign = "+" if delta > 0 else ""
    if line.period_kind not in PERIODS_A_YEAR:
        return [EffectRow("At most, in its period", f"{sign}{most}", "0", "0")]
    year = figures.money(delta * PERIODS_A_YEAR[line.period_kind], currency).text
    found = [EffectRow("At most, a year", f"{sign}{year}", "0", "0")]
    if line.period_kind in DAYS_A_MONTH:
        month = figures.money(delta * DAYS_A_MONTH[line.period_kind], currency).text
        found.insert(0, EffectRow("At most, a month", f"{sign}{month}", "0", "0"))
    return found


def _effect_of_state(
    row: Envelope, wanted: EnvelopeChange, now: datetime
) -> tuple[EffectRow, ...]:
    if wanted.state != "active":
        return ()
    line = get_envelope_line(envelope=row.public, now=now)
    return (
        EffectRow("Callers see", "OK_WITHIN_ENVELOPE", "ENVELOPE_FROZEN", "ENVELOPE_FROZEN"),
        EffectRow("Left now", _money(line.available), "0", "0"),
    )


def _evidence(row: Envelope, now: datetime) -> tuple[EvidenceRow, ...]:
    line = get_envelope_line(envelope=row.public, now=now)
    entries = f"/ledger/?f=envelope:{row.public}"
    page = f"/envelopes/{row.public}/"
    found = [
        EvidenceRow("Spent", _money(line.settled), line.period_label, entries),
        EvidenceRow("Held by open calls", _money(line.held), "", page),
        EvidenceRow("Unsettled", _money(line.unsettled), "", page),
    ]
    if row.parent is not None:
        above = get_envelope_line(envelope=row.parent.public, now=now)
        found.append(
            EvidenceRow(
                f"Above it: {row.parent.name}",
                f"{_money(above.available)} left of {_money(above.cap)}",
                "",
                f"/envelopes/{row.parent.public}/",
            )
        )
    return tuple(found)


def _value(name: str, value: Any) -> str:
    if name == "amount_nanos":
        return _money(value)
    if value is None:
        return "none"
    if name.endswith("_nanos"):
        return _money(value)
    if name == "soft_thresholds_ppm":
        return ", ".join(f"{each // 10_000}%" for each in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return figures.instant(value).text
    return str(value)


# -- more money for the current period


def _check_top_up(change: Change, _: Caller | None, now: datetime) -> None:
    check_possible(
        envelope=change["envelope"], change=_topped(change, change["reason"]), now=now
    )


def _topped(change: Change, reason: str) -> EnvelopeChange:
    row = find_envelope(change["envelope"])
    amount = (row.amount_nanos or 0) + int(change["add_nanos"])
    return EnvelopeChange(amount_nanos=amount, reason=reason)


def _apply_top_up(
    change: Change, approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    row = find_envelope(change["envelope"])
    before = row.amount_nanos
    change_envelope(
        envelope=row.public,
        change=_topped(change, change["reason"]),
        actor=actor,
        now=now,
        key=approval.id,
        approved=approved_by(approval),
    )
    _note_end(row, before, approval, _period_end(row, now), now)
    return Applied(ids={"envelope": row.public})


def _period_end(row: Envelope, now: datetime) -> datetime | None:
    balance = EnvelopeBalance.objects.filter(
        envelope_id=row.id, period_start__lte=now, period_end__gt=now
    ).first()
    return None if balance is None else balance.period_end


def _describe_top_up(change: Change, now: datetime) -> ChangeText:
    row = find_envelope(change["envelope"])
    add = int(change["add_nanos"])
    wanted = _topped(change, "")
    amount = wanted.amount_nanos
    rows = (DiffRow("Cap, this period", _value("amount_nanos", row.amount_nanos), ""),)
    text = _amount_text(row, rows, amount if isinstance(amount, int) else None, now)
    end = _period_end(row, now)
    return ChangeText(
        title=f"Top up envelope: {row.name}, {_money(add)} for this period",
        rows=(
            DiffRow(
                "Cap, this period",
                _value("amount_nanos", row.amount_nanos),
                _value("amount_nanos", amount),
            ),
            DiffRow("Falls back at", "", figures.instant(end).text if end else "its end"),
        ),
        effect=tuple(each for each in text.effect if each.label != "At most, a year"),
        evidence=text.evidence,
        money_nanos=add,
        url=text.url,
    )


# -- a new one, or many below a use case


def _base_of_create(change: Change) -> str:
    drafts = drafts_from(change)
    parents = {draft.parent for draft in drafts if draft.parent}
    if len(drafts) == 1:
        above = parent_of(drafts[0])
        parents = {above.public} if above else set()
    if len(parents) > 1:
        return f"{len(parents)} envelopes"
    return parents.pop() if parents else "none above it"


def _check_create(change: Change, _: Caller | None, now: datetime) -> None:
    drafts = drafts_from(change)
    if "drafts" in change:
        check_batch(drafts=drafts, now=now)
    else:
        check_may_be(draft=drafts[0], now=now)


def _apply_create(
    change: Change, approval: ApprovalView, actor: Caller, now: datetime
) -> Applied:
    drafts, by = drafts_from(change), approved_by(approval)
    if "drafts" in change:
        batch = create_envelopes(
            drafts=drafts, actor=actor, now=now, key=approval.id, approved=by
        )
        return Applied(ids={"envelopes": str(len(batch.items)), "first": batch.items[0].id})
    view = create_envelope(draft=drafts[0], actor=actor, now=now, key=approval.id, approved=by)
    return Applied(ids={"envelope": view.id})


def _weight_of_create(change: Change) -> Weight:
    drafts = drafts_from(change)
    above = parent_of(drafts[0])
    if any(draft.amount_nanos is None for draft in drafts):
        return Weight(unlimited=True)
    return Weight(
        nanos=sum(draft.amount_nanos or 0 for draft in drafts),
        parent_nanos=above.amount_nanos if above else None,
    )


def _describe_create(change: Change, now: datetime) -> ChangeText:
    drafts = drafts_from(change)
    first = drafts[0]
    above = parent_of(first)
    total = sum(draft.amount_nanos or 0 for draft in drafts)
    amount = f"{_money(first.amount_nanos)} a {first.period_kind}"
    title = f"New envelope: {_scope_text(first)}, {amount}"
    if len(drafts) > 1:
        where = above.name if above else "the company"
        title = f"{len(drafts):,} new envelopes below {where}"
    rows = [
        DiffRow(_scope_text(draft), "", _money(draft.amount_nanos))
        for draft in drafts[:ROWS_SHOWN]
    ]
    if len(drafts) > ROWS_SHOWN:
        rows.append(DiffRow(f"and {len(drafts) - ROWS_SHOWN:,} more", "", ""))
    effect = [EffectRow("Caps in all", _money(total), "0", "0")]
    evidence = []
    if above is not None:
        line = get_envelope_line(envelope=above.public, now=now)
        evidence.append(
            EvidenceRow(
                f"Above it: {above.name}",
                f"{_money(line.available)} left of {_money(line.cap)}",
                "",
                f"/envelopes/{above.public}/",
            )
        )
    times = DAYS_A_MONTH.get(first.period_kind, 1)
    return ChangeText(
        title=title,
        rows=tuple(rows),
        effect=tuple(effect),
        evidence=tuple(evidence),
        money_nanos=total * times,
        url=f"/envelopes/{above.public}/" if above else "/envelopes/",
    )


def _scope_text(draft: EnvelopeDraft) -> str:
    return f"{draft.scope_kind} {draft.scope_slug}".strip()


# -- less, which holds already


def _apply_nothing(_: Change, __: ApprovalView, ___: Caller, ____: datetime) -> Applied:
    return Applied()


def _describe_confirm(change: Change) -> ChangeText:
    row = find_envelope(change["envelope"])
    rows = tuple(
        DiffRow(
            _WORDS.get(name, name), _value_of(name, change["before"]), _value_of(name, value)
        )
        for name, value in change["fields"].items()
    )
    stays = "in force"
    return ChangeText(
        title=f"Confirm: {row.name} was limited further",
        rows=rows,
        effect=(
            EffectRow("The limit", "stays, confirmed", "stays, disputed", "stays, unconfirmed"),
            EffectRow("To undo it", stays, "a request of its own", "a request of its own"),
        ),
        url=f"/envelopes/{row.public}/",
    )


def _value_of(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get(name)
    if name.endswith("_nanos") and isinstance(value, str):
        value = int(value)
    return _value(name, value)
