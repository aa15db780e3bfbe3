"""How do the parts that all ledger pages share stand in a template: stamp, times, seal?"""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from ledger import facade
from o10.kernel import figures
from o10.kernel.figures import Figure
from o10.kernel.money import Nanos
from o10.kernel.periods import zone_of

MARK_WORDS = {
    "EDGE_CACHE_HIT": "served from the router's cache",
    "UNGUARDED": "no hold covered it",
    "LATE_SETTLE": "settled after its hold had expired",
    "CAPS_NOT_HONOURED": "used more than its cap",
    "USAGE_INCONSISTENT": "token classes do not add up to the provider's totals",
    "MODEL_SERVED_DIFFERS": "another model answered",
    "TIER_SERVED_DIFFERS": "another tier served",
    "PROVIDER_COST_DIFFERS": "the provider's figure differs",
    "ZERO_USAGE_CONFIRMED": "usage was sent and is zero",
    "PRIOR_PERIOD": "belongs to a closed period",
    "OWN_KEY": "paid with the customer's own key",
    "BATCH_TIER": "batch tier",
    "SHADOW_MODE": "shadow: nothing was enforced",
    "CANARY": "canary",
    "FAIL_OPEN": "went ahead while o10 could not decide",
}
"""Name of a flag to what a person reads."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """At which position was the page computed?"""

    seq: int
    at: datetime | None
    state: str = "fresh"


@dataclass(frozen=True, slots=True)
class Status:
    """Which word in which tone?"""

    word: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Where does a button lead?"""

    label: str
    url: str
    icon: str = ""


def to_the_millisecond(at: datetime, *, time_zone: str) -> Figure:
    """How is an instant written where order matters? "24 Nov 09:45:19.119", exact behind it."""
    local = at.astimezone(zone_of(time_zone))
    text = f"{local.day} {local:%b} {local:%H:%M:%S}.{local.microsecond // 1000:03d}"
    return Figure(text, f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")


def signed_exact(nanos: Nanos, currency: str) -> Figure:
    """How is a change of a balance written? All nine decimals, a gain with its sign too."""
    shown = figures.money_exact(nanos, currency)
    return Figure(f"+{shown.text}") if nanos > 0 else shown


def kind_word(kind: str) -> str:
    """How is a kind of entry called on a page?"""
    return kind.replace("_", " ")


def entry_url(line: facade.EntryLine) -> str:
    """Where is the page of this entry? By its position, by its id until it has one."""
    if line.seq is None:
        return reverse("ledger-entry-by-id", args=[line.public])
    return reverse("ledger-entry", args=[line.seq])


def finding_sentence(finding: dict[str, object]) -> str:
    """What does a finding say in one sentence?"""
    seq = finding.get("seq")
    where = f"entry {seq:,}" if isinstance(seq, int) and seq else "the ledger"
    column = f", {finding['column']}" if finding.get("column") else ""
    code = str(finding.get("code") or "differs").replace("_", " ")
    return f"{code[:1].upper()}{code[1:]} at {where}{column}."


def seal_clause(badge: facade.SealBadge) -> str:
    """What can be said about the whole ledger, as the first half of a sentence?"""
    entries = f"{badge.entries:,} entries" if badge.entries != 1 else "1 entry"
    if badge.state is facade.SealVerdict.BROKEN:
        return "The ledger does not verify"
    if badge.state is facade.SealVerdict.UNVERIFIED:
        return f"{entries} are sealed and wait for the verifier"
    return f"All {entries} verify" if badge.entries != 1 else "The one entry verifies"
