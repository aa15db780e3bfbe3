"""Which changes of prices need a second person, and what do they do once it agreed?

A catalogue refresh, the release of a doubted row, a contract, an override, a revaluation, a
commitment: the rows "price" and "catalogue price refresh" of product.md section 8.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from ledger import facade as ledger
from o10.kernel.errors import NotFound
from policies.core.approvals import Weight
from policies.operations.change_kinds import Applied, ChangeKind, register
from policies.operations.price_drafts import commitment_of, offer_of, own_price_of
from policies.operations.price_texts import (
    describe_commitment,
    describe_price,
    describe_refresh,
    describe_release,
    describe_revaluation,
)
from policies.queries.approvals import ApprovalView

_Change = Mapping[str, Any]


def register_price_kinds() -> None:
    """Makes the six kinds of price changes possible. Called when the application starts."""
    for kind in KINDS:
        register(kind)


def _apply_refresh(
    change: _Change, approval: ApprovalView, actor: Any, now: datetime
) -> Applied:
    proposal = ledger.get_proposal(proposal=change["proposal"])
    if proposal.hash != change["hash"]:
        raise NotFound(kind="price_proposal", id=change["proposal"])
    version, uid = ledger.apply_refresh(
        proposal=change["proposal"],
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        now=now,
    )
    return Applied({"price_version": str(version)}, (uid,) if uid else ())


def _refresh_base(change: _Change) -> str:
    return f"list {ledger.list_base()[0]}"


def _refresh_weight(change: _Change) -> Weight:
    effect = ledger.get_proposal(proposal=change["proposal"]).body["effect"]
    return Weight(nanos=abs(int(effect["total"]["delta"])))


def _apply_release(
    change: _Change, approval: ApprovalView, actor: Any, now: datetime
) -> Applied:
    version, uid = ledger.apply_release(
        row_id=change["row"],
        reason=change["reason"],
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        now=now,
        free=change["free"],
    )
    return Applied({"price_version": str(version)}, (uid,) if uid else ())


def _release_base(change: _Change) -> str:
    row = ledger.get_quarantined(row_id=change["row"])
    dismissed = " dismissed" if row.dismissed_at is not None else ""
    return f"row {row.id} {row.released_version or 'waits'}{dismissed}"


def _apply_price(change: _Change, approval: ApprovalView, actor: Any, now: datetime) -> Applied:
    if change["do"] == "withdraw":
        version = ledger.withdraw_price(
            rule_id=change["rule"],
            ended_at=max(now, datetime.fromisoformat(change["ended_at"])),
            reason=change["evidence"],
            actor=approval.maker.id,
            now=now,
        )
        return Applied({"price_version": str(version)})
    added = ledger.add_price(
        price=own_price_of(change, approved_by=actor.principal),
        actor=approval.maker.id,
        now=now,
        key=approval.id,
    )
    return Applied({"price_version": str(added.version), "rule": str(added.rule_id)})


def _price_base(change: _Change) -> str:
    slug = offer_of(change).slug
    try:
        rules = ledger.list_rule_lines(slug=slug, at=datetime.fromisoformat(change["at"]))
    except NotFound:
        return "no price"
    own = [rule for rule in rules if rule.source != ledger.PriceSource.LIST]
    return f"own rules {max((rule.rule_id for rule in own), default=0)}/" + str(
        sum(rule.ended_at is not None for rule in own)
    )


def _check_price(change: _Change, actor: Any, now: datetime) -> None:
    if change["do"] == "add":
        ledger.check_price(price=own_price_of(change))


def _price_weight(change: _Change) -> Weight:
    return Weight(nanos=abs(int(change["effect"]["delta"])) if "effect" in change else 0)


def _apply_revaluation(
    change: _Change, approval: ApprovalView, actor: Any, now: datetime
) -> Applied:
    both = {"requested_by": approval.maker.id, "approved_by": actor.principal, "now": now}
    span = _span(change)
    if change["do"] == "fx":
        settled = ledger.settle_fx(
            currency=change["currency"],
            rate=change["rate"],
            paid_on=date.fromisoformat(change["paid_on"]),
            reason=change["reason"],
            **span,
            **both,
        )
        return Applied({"entries": str(settled.entries), "delta_nanos": str(settled.delta)})
    done = ledger.revalue(
        offers=[ledger.key_of_slug(slug) for slug in change["offers"]],
        reason=change["reason"],
        **span,
        **both,
    )
    return Applied(
        {"run": done.run, "entries": str(done.entries), "delta_nanos": str(done.delta)}
    )


def _revaluation_base(change: _Change) -> str:
    # What would be posted depends on the whole book: another version is another change.
    return f"price version {ledger.price_book().version}"


def _revaluation_weight(change: _Change) -> Weight:
    return Weight(nanos=abs(int(change["delta_nanos"])))


def _apply_commitment(
    change: _Change, approval: ApprovalView, actor: Any, now: datetime
) -> Applied:
    terms = ledger.set_commitment(
        draft=commitment_of(change),
        public=change["commitment"],
        requested_by=approval.maker.id,
        approved_by=actor.principal,
        now=now,
        key=approval.id,
    )
    return Applied({"commitment": terms.public})


def _commitment_base(change: _Change) -> str:
    if not change["commitment"]:
        return "new"
    versions = [
        each.version for each in ledger.list_terms() if each.public == change["commitment"]
    ]
    return f"version {max(versions, default=0)}"


def _check_commitment(change: _Change, actor: Any, now: datetime) -> None:
    ledger.check_commitment(draft=commitment_of(change), public=change["commitment"])


def _commitment_weight(change: _Change) -> Weight:
    draft = commitment_of(change)
    hours = int((draft.end_at - draft.start_at) / timedelta(hours=1))
    return Weight(nanos=draft.units * draft.hourly_rate_nanos * hours)


def _span(change: _Change) -> dict[str, datetime]:
    return {
        "start": datetime.fromisoformat(change["from"]),
        "end": datetime.fromisoformat(change["to"]),
    }


KINDS: Final = (
    ChangeKind(
        name="price.refresh",
        apply=_apply_refresh,
        base_of=_refresh_base,
        describe=describe_refresh,
        weight_of=_refresh_weight,
    ),
    ChangeKind(
        name="price.release",
        apply=_apply_release,
        base_of=_release_base,
        describe=describe_release,
    ),
    *(
        ChangeKind(
            name=name,
            apply=_apply_price,
            base_of=_price_base,
            describe=describe_price,
            weight_of=_price_weight,
            check=_check_price,
        )
        for name in ("price.contract", "price.override")
    ),
    ChangeKind(
        name="price.revaluation",
        apply=_apply_revaluation,
        base_of=_revaluation_base,
        describe=describe_revaluation,
        weight_of=_revaluation_weight,
    ),
    ChangeKind(
        name="commitment.set",
        apply=_apply_commitment,
        base_of=_commitment_base,
        describe=describe_commitment,
        weight_of=_commitment_weight,
        check=_check_commitment,
    ),
)
