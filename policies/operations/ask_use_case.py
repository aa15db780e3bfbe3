"""May this change of a use case happen at once, or does it wait for a second person?

What doors call. Enforcing, restoring and another model wait. A stop, a step back towards
observing and fewer models hold with the next call; a second person confirms the first two
within a day, because one denies calls and the other lets them past their limit.
"""

from datetime import datetime

import msgspec
from django.db import transaction

from ledger import facade as ledger
from o10.access.checks import check, check_see_use_case
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import ids
from policies.core import use_case_changes as core
from policies.core.drafts import UseCaseChange, check_use_case
from policies.core.rules import ModelRule
from policies.models import UseCase
from policies.operations.create_use_case import change_use_case
from policies.operations.propose_change import find_proposed, propose_change
from policies.operations.use_case_kinds import (
    change_body,
    find_use_case,
    standing_after,
    standing_of,
)
from policies.queries.approvals import ApprovalView
from policies.queries.use_cases import UseCaseView


def ask_use_case_change(
    *, slug: str, change: UseCaseChange, actor: Caller, now: datetime, key: str = ""
) -> UseCaseView | ApprovalView:
    """How do its rules read now, or which request waits for others?

    A repeat with the same key does nothing more and has the same answer, also when what it
    asked for was carried out meanwhile.
    Raises: Forbidden; ValidationFailed, also where mode, state and models are mixed; NotFound;
    IdempotencyMismatch.
    """
    check(caller=actor, action=_action_of(change))
    check_see_use_case(caller=actor, slug=slug)
    check_use_case(change)
    if change.approved_models and not isinstance(change.approved_models, msgspec.UnsetType):
        core.check_models(
            [ModelRule(name=each.name, until=each.until) for each in change.approved_models]
        )
    row = find_use_case(slug)
    asked = find_proposed(actor=actor, key=key, now=now)
    if asked is None and _was_done_at_once(actor, slug, key):
        kind = core.AT_ONCE
    elif asked is not None and asked.kind != core.CONFIRM:
        kind = asked.kind
    else:
        kind = core.kind_of(standing_of(row), standing_after(row, change))
    if kind in (core.AT_ONCE, core.CONFIRM):
        return _change_at_once(row, change, actor, now, key, confirm=kind == core.CONFIRM)
    return propose_change(
        kind=kind,
        subject=f"use_case/{slug}",
        change=change_body(slug, change),
        actor=actor,
        now=now,
        reason=change.reason,
        key=key,
    )


def _action_of(change: UseCaseChange) -> Action:
    """Whoever may freeze money may stop a use case, and nothing else of it."""
    named = {
        name
        for name in change.__struct_fields__
        if name != "reason" and getattr(change, name) is not msgspec.UNSET
    }
    only_stops = named == {"state"} and change.state == "stopped"
    return Action.FREEZE_ENVELOPE if only_stops else Action.CHANGE_USE_CASE


def _change_at_once(
    row: UseCase,
    change: UseCaseChange,
    actor: Caller,
    now: datetime,
    key: str,
    *,
    confirm: bool,
) -> UseCaseView:
    key = key or str(ids.new_uuid())
    with transaction.atomic():
        view = change_use_case(
            slug=row.slug, change=change, actor=actor, now=now, key=key, may=True
        )
        if confirm:
            body = change_body(row.slug, change)
            before = {name: getattr(row, name) for name in ("mode", "state")}
            propose_change(
                kind=core.CONFIRM,
                subject=f"use_case/{row.slug}",
                change={**body, "before": before, "version": view.policy_version},
                actor=actor,
                now=now,
                reason=change.reason,
                key=f"confirm#{row.slug}#{key}",
            )
    return view


def _was_done_at_once(actor: Caller, slug: str, key: str) -> bool:
    """Was a change with this key entered before? Then a repeat answers and asks nothing."""
    uid = ids.uid(scope="use_case", key=f"{actor.key_id}#{slug}#{key}", origin_ms=0)
    return bool(key) and (
        ledger.find_by_uid(ledger_id=ledger.COMPANY_LEDGER, uid=uid) is not None
    )
