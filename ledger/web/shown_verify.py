"""How does the page on verification stand in its template?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from ledger import facade
from ledger.web.shown import Stamp, Status, finding_sentence
from o10.kernel import figures
from o10.kernel.pageview import Bar, Link

MODE_WORDS = {
    "tail": "continuous, right behind the seal",
    "incremental": "from the last own checkpoint",
    "full": "from the first entry",
}
CLAIMED = (
    "What was sealed and kept outside as a checkpoint cannot be changed unseen: whoever holds "
    "an earlier checkpoint sees every later change of what it covers.",
)
NOT_CLAIMED = (
    (
        "Rewriting before the first checkpoint outside",
        "As long as nobody outside holds a checkpoint, the whole ledger could be written anew.",
    ),
    (
        "Split views",
        "Without a witness, two readers could be shown two different ledgers.",
    ),
    (
        "Truth of what was reported",
        "The ledger proves what a writer said and when it was recorded, not that it was true.",
    ),
    (
        "Trustworthy time",
        "Times are those of the writer's clock; an RFC 3161 timestamp would prove them.",
    ),
    (
        "The second before the look",
        "Until the verifier has looked, within a second, an entry is protected by triggers, "
        "rights and its own hash; the sealer takes that hash from the writer.",
    ),
)
"""Source: ledger.md sections 9 and 15, word for word in meaning."""


@dataclass(frozen=True, slots=True)
class VerifyPage:
    """What is known about the whole ledger now?"""

    company: facade.LedgerRow
    badge: facade.SealBadge
    seal: facade.SealStatus
    looked: facade.VerificationRow | None
    checkpoint: facade.CheckpointRow | None
    keys: tuple[str, ...]
    base_url: str
    now: datetime


def show_verify(page: VerifyPage) -> dict[str, Any]:
    """Which context has the page?"""
    return {
        "head": _head(page),
        "stamp": Stamp(page.badge.entries, page.now),
        "bar": Bar(),
        "finding": _finding(page),
        "kpis": _kpis(page),
        "looks": _looks(page),
        "checkpoint": _checkpoint(page),
        "keys": "\n".join(page.keys),
        "commands": _commands(page),
        "claimed": CLAIMED,
        "not_claimed": NOT_CLAIMED,
        "live_url": reverse("ledger-verify"),
    }


def _head(page: VerifyPage) -> dict[str, Any]:
    badge = page.badge
    entries = f"{badge.entries:,} {'entry' if badge.entries == 1 else 'entries'}"
    status: Status
    if badge.state is facade.SealVerdict.BROKEN:
        headline = f"The ledger does not verify: {finding_sentence(badge.finding or {})}"
        subline = (
            "It stays so until a verification of all entries has found nothing. Put nothing "
            "right by hand: compare with a bundle or a checkpoint kept outside."
        )
        status = Status("broken")
    elif badge.state is facade.SealVerdict.EMPTY:
        headline = "The ledger is open and has no entry yet."
        subline = "The first entry is sealed within a second and signed within two."
        status = Status("empty")
    elif badge.state is facade.SealVerdict.UNVERIFIED:
        headline = f"{entries} are sealed; the verifier has not looked at the newest."
        subline = (
            f"It has come to entry {badge.verified_seq:,}. If that lasts, the worker is not "
            "running; the command below does the same by hand."
        )
        status = Status("waiting")
    elif page.looked is not None and page.looked.mode == "full":
        headline = f"All {entries} verify: nothing was changed, removed or put in between."
        subline = (
            "Leaves, chain, tree, signatures, sums and balances were recomputed from the rows "
            "as they stand."
        )
        status = Status("verified")
    else:
        headline = f"All {entries} verified as they were sealed, and no finding stands."
        subline = (
            "Leaves and chain links are recomputed right behind the seal. A later change of an "
            "old entry is found by the first command below, or by anybody with a checkpoint."
        )
        status = Status("verified")
    return {
        "headline": headline,
        "subline": subline,
        "crumbs": (Link("Ledger", reverse("ledger")), Link("Verification", "")),
        "status": status,
    }


def _finding(page: VerifyPage) -> dict[str, Any] | None:
    finding = page.badge.finding
    if not finding:
        return None
    seq = int(finding.get("seq") or 0)
    facts: list[dict[str, Any]] = [
        {"term": "What differs", "text": str(finding.get("code", "")).replace("_", " ")},
    ]
    if seq:
        facts.append(
            {
                "term": "Entry",
                "text": f"{seq:,}",
                "href": reverse("ledger-entry", args=[seq]),
            }
        )
    for key, term in (("uid", "Id"), ("column", "Column")):
        if finding.get(key):
            facts.append({"term": term, "code": str(finding[key])})
    facts += [
        {"term": "Expected", "code": str(finding.get("expected") or "—")},
        {"term": "Found", "code": str(finding.get("found") or "—")},
    ]
    if finding.get("what"):
        facts.append({"term": "In words", "text": str(finding["what"])})
    if page.badge.verified_at is not None:
        zone = page.company.time_zone
        facts.append(
            {
                "term": "Found at",
                "text": figures.instant(page.badge.verified_at, time_zone=zone),
            }
        )
    return {"facts": facts}


def _kpis(page: VerifyPage) -> list[dict[str, Any]]:
    badge, seal, checkpoint = page.badge, page.seal, page.checkpoint
    behind = max(badge.entries - badge.verified_seq, 0)
    lag = f"oldest waits {seal.lag_seconds:.1f} s" if seal.waiting else "none waits"
    signed = (
        figures.ago(checkpoint.signed_at, now=page.now, time_zone=page.company.time_zone)
        if checkpoint
        else "not yet"
    )
    return [
        {
            "label": "Entries sealed",
            "value": figures.count_exact(badge.entries),
            "note": f"{seal.waiting:,} written and not sealed; {lag}",
            "href": reverse("ledger"),
        },
        {
            "label": "Verified up to entry",
            "value": figures.count_exact(badge.verified_seq),
            "note": f"{behind:,} newer ones follow" if behind else "the newest one",
            "tone": "warn" if behind > seal.waiting + 1_000 else "",
        },
        {
            "label": "Last look",
            "value": figures.ago(
                badge.verified_at, now=page.now, time_zone=page.company.time_zone
            ),
            "note": MODE_WORDS.get(page.looked.mode, page.looked.mode)
            if page.looked
            else "the verifier never ran",
        },
        {
            "label": "Signed size",
            "value": figures.count_exact(checkpoint.size if checkpoint else None),
            "note": signed,
        },
    ]


def _looks(page: VerifyPage) -> list[dict[str, Any]]:
    looked, zone = page.looked, page.company.time_zone
    if looked is None:
        return [{"term": "Last look", "text": "none yet"}]
    span = (
        f"entries {looked.from_seq + 1:,} to {looked.upto_seq:,}"
        if looked.upto_seq > looked.from_seq
        else f"nothing new after entry {looked.upto_seq:,}"
    )
    return [
        {"term": "Result", "status": "verified" if looked.ok else "broken"},
        {"term": "What", "text": MODE_WORDS.get(looked.mode, looked.mode)},
        {"term": "Which", "text": span},
        {"term": "When", "text": figures.instant(looked.finished_at, time_zone=zone)},
        {"term": "Origin", "code": page.company.origin},
    ]


def _checkpoint(page: VerifyPage) -> dict[str, Any] | None:
    found, zone = page.checkpoint, page.company.time_zone
    if found is None:
        return None
    return {
        "note": found.note,
        "facts": [
            {"term": "Size", "text": figures.count_exact(found.size)},
            {"term": "Root", "hash": found.root.hex()},
            {"term": "Chain head", "hash": found.chain.hex()},
            {"term": "Signed", "text": figures.instant(found.signed_at, time_zone=zone)},
            {"term": "By key", "code": found.key_id.hex()},
        ],
        "url": reverse("api-checkpoint"),
    }


def _commands(page: VerifyPage) -> list[dict[str, str]]:
    checkpoint = f"{page.base_url}{reverse('api-checkpoint')}"
    return [
        {
            "title": "Recompute everything here",
            "text": "Leaves, chain, tree, checkpoints, sums, balances and reservations, from "
            "the rows. Ends with 0 when all holds, with 1 and the first entry that differs.",
            "command": "o10 ledger_verify --full",
        },
        {
            "title": "Take it away",
            "text": "Entries, hashes, documents, checkpoints and a verifier that needs the "
            "standard library of Python and nothing of ours.",
            "command": "o10 ledger_export bundle",
        },
        {
            "title": "Check it anywhere, against your own last checkpoint",
            "text": "The file after --trust is yours: it is made at the first run and moved on "
            "only when the new ledger extends the old one. Keep it where we cannot reach it.",
            "command": "python3 bundle/verify.py bundle --trust my-checkpoint",
        },
        {
            "title": "Keep a checkpoint without an export",
            "text": "Open to everybody. Whoever has it can prove any later change.",
            "command": f"curl -s {checkpoint} > my-checkpoint",
        },
    ]
