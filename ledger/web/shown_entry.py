"""How does the page of one entry stand in its template?"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from ledger import facade
from ledger.web.shown import (
    Action,
    Stamp,
    entry_url,
    finding_sentence,
    kind_word,
    signed_exact,
    to_the_millisecond,
)
from ledger.web.shown_attribution import show_attribution, show_identity
from ledger.web.shown_correction import ReversalProblem, show_correction
from ledger.web.shown_price import show_price
from ledger.web.shown_proof import show_chain, show_checkpoint, show_proof
from o10.access.keys import Caller
from o10.kernel import figures
from o10.kernel.money import Nanos
from o10.kernel.pageview import Bar, CopyLinks, Link, link_with

DOCUMENT_SHORT = 12
"""Fields of a document that is shown open."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """What is known about the entry, the ledger around it and who looks at it?"""

    detail: facade.EntryDetail
    decision: facade.DecisionWords | None
    badge: facade.SealBadge
    company: facade.LedgerRow
    keys: tuple[str, ...]
    caller: Caller
    form_key: str
    now: datetime
    problem: ReversalProblem | None = None


def show_entry(page: EntryPage) -> dict[str, Any]:
    """Which context has the page?"""
    detail, company = page.detail, page.company
    line, proof = detail.line, detail.proof
    finding = page.badge.finding or {}
    return {
        "head": _head(page),
        "stamp": Stamp(page.badge.entries, page.now),
        "bar": Bar(copy=CopyLinks(entry_url(line), "", 0)),
        "line": line,
        "banner": _banner(page),
        "chain": show_chain(
            detail, currency=company.currency, finding_seq=int(finding.get("seq") or 0)
        ),
        "chain_title": f"Entry {line.seq:,} and its neighbours in the chain",
        "newer_url": _beside(detail, 1),
        "older_url": _beside(detail, -1),
        "price": show_price(detail, currency=company.currency),
        "effects": _effects(page),
        "effect_facts": _effect_facts(page),
        "related": [_related(each, page) for each in detail.related],
        "related_url": link_with(reverse("ledger"), ("reservation", line.reservation))
        if line.reservation
        else "",
        "proof": show_proof(proof),
        "proof_url": reverse("api-proof", args=[line.public]),
        "checkpoint": show_checkpoint(
            proof, chain=page.badge.head, keys=page.keys, time_zone=company.time_zone
        )
        if proof
        else None,
        "correction": show_correction(
            detail,
            currency=company.currency,
            caller=page.caller,
            now=page.now,
            key=page.form_key,
            problem=page.problem,
        ),
        "attribution": show_attribution(detail),
        "identity": show_identity(line, time_zone=company.time_zone),
        "document": json.dumps(detail.document, indent=2, sort_keys=True, ensure_ascii=False)
        if detail.document
        else "",
        "document_short": len(detail.document or {}) < DOCUMENT_SHORT,
        "waiting_url": entry_url(line) if proof is None else "",
    }


def show_unsealed(
    *, line: facade.EntryLine | None, seq: int | None, url: str
) -> dict[str, Any]:
    """Which context has the page of an entry that has no position yet?"""
    what = f"The {kind_word(line.kind)} entry" if line else f"Entry {seq:,}"
    return {
        "head": {
            "headline": f"{what} is written and waits for the seal.",
            "subline": "It gets its position, its place in the chain and its proof within a "
            "second. This page looks again by itself.",
            "crumbs": (Link("Ledger", reverse("ledger")), Link("Not sealed yet", "")),
        },
        "url": url,
        "bar": Bar(),
    }


def _head(page: EntryPage) -> dict[str, Any]:
    line = page.detail.line
    where = [part for part in (line.use_case, line.model, line.venue) if part]
    at = figures.instant(line.effective_at, time_zone=page.company.time_zone).text
    crumbs = [Link("Ledger", reverse("ledger"))]
    if line.use_case_slug:
        crumbs.append(
            Link(
                line.use_case,
                link_with(reverse("ledger"), ("use_case", line.use_case_slug)),
            )
        )
    crumbs.append(Link(f"Entry {line.seq:,}", ""))
    return {
        "headline": f"Entry {line.seq:,} {_did(page)} {_stands(page)}",
        "subline": f"{' · '.join([*where, at])}. {_ledger_words(page)}",
        "crumbs": tuple(crumbs),
        "primary": Action("Download proof", reverse("api-proof", args=[line.public]), "export")
        if page.detail.proof
        else None,
    }


def _did(page: EntryPage) -> str:
    """What did the entry do, in one clause?"""
    line, currency = page.detail.line, page.company.currency
    amount = figures.money_exact(line.amount, currency).text
    held = figures.money_exact(abs(line.held), currency).text
    unsettled = figures.money_exact(abs(line.unsettled), currency).text
    source = page.detail.reverses
    clauses = {
        "reserve": f"holds {held} for a call",
        "release": f"gives {held} back unused",
        "expire": f"ends a hold without an answer ({unsettled} unsettled)",
        "write_off": f"writes {unsettled} of unsettled money off",
        "overrun": f"cost {amount} more than was held",
        "deny": "denied a call"
        + (f" ({page.decision.reason})" if page.decision and page.decision.reason else "")
        if abs(line.calls) <= 1
        else f"denied {line.calls:,} calls",
        "hold": "keeps a call for a person",
        "reversal": f"takes back entry {source.seq:,}, {amount},"
        if source and source.seq
        else f"takes an entry back, {amount},",
        "registry": "binds a number to its meaning",
        "checkpoint_ref": "records a signed state of the ledger",
        "policy_change": "records a change of policy",
        "price_change": "records a change of prices",
        "envelope_change": "records a change of an envelope",
    }
    if line.kind in clauses:
        return clauses[line.kind]
    if line.amount and line.calls > 1:
        return f"cost {amount} for {line.calls:,} calls"
    return f"cost {amount}" if line.amount else f"records: {kind_word(line.kind)}"


def _stands(page: EntryPage) -> str:
    """Does it stand unchanged, and who says so?"""
    badge, line, proof = page.badge, page.detail.line, page.detail.proof
    seq = line.seq or 0
    if badge.state is facade.SealVerdict.BROKEN:
        if (badge.finding or {}).get("seq") == seq:
            return "and does not say what was sealed."
        return "and stands in a ledger that does not verify."
    if proof is not None and not proof.holds:
        return "and does not lead to the signed root."
    if proof is None or seq > badge.verified_seq:
        return "and is sealed; the verifier follows."
    return "and stands unchanged in the verified ledger."


def _ledger_words(page: EntryPage) -> str:
    badge = page.badge
    if badge.finding:
        return finding_sentence(badge.finding)
    if badge.verified_at is None:
        return f"{badge.entries:,} entries are sealed, none verified yet."
    ago = figures.ago(badge.verified_at, now=page.now).text
    when = "just now" if ago == "now" else ago
    return f"Verified up to entry {badge.verified_seq:,}, {when}."


def _banner(page: EntryPage) -> dict[str, Any] | None:
    detail = page.detail
    if detail.reversed_by is not None:
        by = detail.reversed_by
        name = f"entry {by.seq:,}" if by.seq else "an entry that waits for the seal"
        return {
            "title": f"Taken back by {name}.",
            "text": "The amount no longer counts in any sum; the entry itself stays.",
            "tone": "warn",
            "action": {"label": "Open the reversing entry", "url": entry_url(by)},
        }
    if detail.reverses is not None:
        source = detail.reverses
        name = f"entry {source.seq:,}" if source.seq else "an entry"
        return {
            "title": f"Takes back {name}.",
            "text": "Exact negative of what it moved, in the same period and envelope.",
            "tone": "accent",
            "action": {"label": "Open the entry taken back", "url": entry_url(source)},
        }
    return None


def _beside(detail: facade.EntryDetail, step: int) -> str:
    wanted = (detail.line.seq or 0) + step
    known = any(line.seq == wanted for line in detail.around)
    return reverse("ledger-entry", args=[wanted]) if known else ""


def _effects(page: EntryPage) -> list[dict[str, Any]]:
    """What did each balance of the envelope do? The last row is what a cap looks at."""
    line, currency = page.detail.line, page.company.currency
    rows: list[tuple[str, str, Nanos, str]] = []
    if line.reserved and line.kind in ("settle", "reserve", "release", "expire"):
        rows.append(("Reserved, worst case", "", line.reserved, "plain"))
    given_back = -line.held - line.amount
    if line.kind == "settle" and line.held < 0 and given_back > 0:
        rows.append(("Given back at settle", "", given_back, "plain"))
    rows += [
        ("Spent", "amount of the entry", line.amount, "signed"),
        ("Held", "for open calls", line.held, "signed"),
        ("Unsettled", "expired without an answer", line.unsettled, "signed"),
    ]
    return [
        {
            "name": name,
            "sub": sub,
            "amount": signed_exact(nanos, currency)
            if how == "signed"
            else figures.money_exact(nanos, currency),
        }
        for name, sub, nanos, how in rows
    ] + [
        {
            "name": "Exposure of the envelope",
            "sub": "",
            "amount": signed_exact(line.amount + line.held + line.unsettled, currency),
            "total": True,
        }
    ]


def _effect_facts(page: EntryPage) -> list[dict[str, Any]]:
    line, facts = page.detail.line, []
    if line.envelope_public:
        facts.append(
            {
                "term": "Envelope",
                "text": line.envelope,
                "href": reverse("envelope", args=[line.envelope_public]),
            }
        )
    elif line.amount or line.held:
        facts.append({"term": "Envelope", "text": "none: nobody budgeted this spend"})
    if page.decision is not None:
        facts.append(
            {
                "term": "Decision",
                "text": page.decision.outcome.replace("_", " "),
                "href": reverse("decision", args=[page.decision.public]),
            }
        )
        facts.append({"term": "First reason", "reason": page.decision.reason})
    if line.policy_version:
        facts.append({"term": "Policy", "text": f"version {line.policy_version}"})
    if line.env_version:
        facts.append(
            {"term": "Order", "text": f"change {line.env_version:,} of the envelope's tree"}
        )
    if line.reservation:
        facts.append({"term": "Reservation", "code": line.reservation})
    return facts


def _related(line: facade.EntryLine, page: EntryPage) -> dict[str, Any]:
    currency = page.company.currency
    return {
        "seq": line.seq,
        "url": entry_url(line),
        "at": to_the_millisecond(line.recorded_at, time_zone=page.company.time_zone),
        "kind": kind_word(line.kind),
        "amount": figures.money_exact(line.amount, currency),
        "held": signed_exact(line.held, currency) if line.held else "0",
        "unsettled": signed_exact(line.unsettled, currency) if line.unsettled else "0",
        "here": line.uid == page.detail.line.uid,
    }
