"""How is one envelope written: cap, left, resets, binding limit, health, and where to go on?"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from django.urls import reverse

from o10.kernel import figures
from o10.kernel.figures import Figure
from o10.kernel.pageview import link_with
from o10.kernel.periods import zone_of
from policies import facade

SCOPE_WORDS = {
    "company": "company",
    "department": "department",
    "use_case": "use case",
    "environment": "environment",
    "customer": "customer",
    "run": "run",
}


SHOWN_BELOW = 100
"""More lines below one envelope are no overview; the page says how many there are."""
HEALTH_TONES = {
    facade.Health.OK: "favourable",
    facade.Health.SOFT: "warn",
    facade.Health.EXHAUSTED: "adverse",
    facade.Health.OVER: "adverse",
    facade.Health.FROZEN: "adverse",
    facade.Health.CLOSED: "neutral",
    facade.Health.NOT_STARTED: "neutral",
    facade.Health.ENDED: "neutral",
}


def fold_lines(
    lines: Sequence[facade.EnvelopeLine],
) -> list[tuple[facade.EnvelopeLine, str]]:
    """Which lines are shown, each with a note where most of what is below it is not?

    Of more than a hundred envelopes below one, those nearest to their cap; with an envelope
    that is not shown goes all that is below it. Exports and the API have them all.
    """
    below: dict[str, list[facade.EnvelopeLine]] = {}
    for line in lines:
        below.setdefault(line.parent, []).append(line)
    folded = {parent for parent, children in below.items() if len(children) > SHOWN_BELOW}
    kept = {
        line.public
        for parent in folded
        for line in sorted(below[parent], key=_use, reverse=True)[:SHOWN_BELOW]
    }
    gone: set[str] = set()
    shown = []
    for line in lines:
        if line.parent in gone or (line.parent in folded and line.public not in kept):
            gone.add(line.public)
            continue
        shown.append((line, fold_note(len(below.get(line.public, ())))))
    return shown


def fold_note(children: int) -> str:
    """Which sentence says that only some of the envelopes below are shown?"""
    if children <= SHOWN_BELOW:
        return ""
    return f"{SHOWN_BELOW} of {children:,} below, those nearest to their cap"


def _use(line: facade.EnvelopeLine) -> Fraction:
    used = line.settled + line.lent + line.unsettled
    return Fraction(used, line.amount) if line.amount else Fraction(used)


def line_row(line: facade.EnvelopeLine, currency: str, *, note: str = "") -> dict[str, Any]:
    """How does one line of the tree stand in a table? Every number leads to its entries."""
    entries = entries_of(line)
    return {
        "name": line.name,
        "note": note,
        "kind": SCOPE_WORDS.get(line.scope_kind, line.scope_kind),
        "url": reverse("envelope", args=[line.public]),
        "level": line.depth,
        "cap": line.cap,
        "cap_text": cap_text(line, currency),
        "capped": line.cap is not None,
        "spent": line.settled,
        "unguarded": line.unguarded,
        "held": line.held,
        "lent": line.lent,
        "lent_free": line.lent - line.held,
        "lent_url": entries("lease", "lease_return", "settle", "expire"),
        "unsettled": line.unsettled,
        "left": line.available,
        "left_text": left_text(line, currency),
        "over": line.available is not None and line.available < 0,
        "spent_url": entries("settle", "usage", "overrun", "adjust", "reversal"),
        "unguarded_url": entries("usage", "overrun", "adjust"),
        "held_url": entries("reserve", "release", "settle", "expire"),
        "unsettled_url": entries("expire", "write_off"),
        "soft": tuple(each / 1_000_000 for each in line.soft_thresholds_ppm),
        "soft_text": soft_text(line),
        "resets": resets_day(line),
        "resets_time": _resets_time(line),
        "period": line.period_label,
        "binding": _binding_name(line),
        "binding_url": _binding_url(line),
        "binding_left": ""
        if line.binding is None or line.binding.own
        else figures.money(line.binding.available, currency).text,
        "binds": bool(line.binding and line.binding.own and line.binding.available <= 0),
        "health": health_word(line),
        "tone": HEALTH_TONES[line.health],
        "label": _bullet(line, currency),
        "action": "Change",
    }


def entries_of(line: facade.EnvelopeLine) -> Any:
    """Where are the entries behind a figure of this line's period? A function of kinds."""

    def url(*kinds: str) -> str:
        filters = [("envelope", line.public), *(("kind", kind) for kind in kinds)]
        if line.period is not None:
            filters.append(("since", line.period.start.isoformat().replace("+00:00", "Z")))
            filters.append(("until", line.period.end.isoformat().replace("+00:00", "Z")))
        return link_with(reverse("ledger"), *filters)

    return url


def cap_text(line: facade.EnvelopeLine, currency: str) -> Figure:
    """How is the cap written: an amount, soft, or none of its own?"""
    if line.cap is not None:
        return figures.money(line.cap, currency)
    if line.amount is not None:
        amount = figures.money(line.amount, currency)
        return Figure(f"{amount.text} soft", amount.exact, f"{amount.text}, soft: never denies")
    above = line.binding.name if line.binding else ""
    return Figure("no own cap", "", f"no own cap; limited by {above}" if above else "no cap")


def left_text(line: facade.EnvelopeLine, currency: str) -> Figure:
    """How is what is left written, where the line has no cap of its own too?"""
    if line.available is not None:
        return figures.money(line.available, currency)
    if line.binding is not None:
        shared = figures.money(line.binding.available, currency)
        return Figure(
            f"{shared.text} shared",
            shared.exact,
            f"{shared.text}, shared in {line.binding.name}",
        )
    return Figure("unlimited", "", "unlimited: no cap on the whole path")


def soft_text(line: facade.EnvelopeLine) -> str:
    """Which soft thresholds are there, and which is passed?"""
    shares = ", ".join(f"{each // 10_000}%" for each in line.soft_thresholds_ppm)
    if not shares:
        return "none"
    if line.soft_passed_ppm is None:
        return shares
    return f"{shares}; {line.soft_passed_ppm // 10_000}% passed"


def resets_text(line: facade.EnvelopeLine) -> str:
    """When does the period end, in the envelope's zone?"""
    if line.period is None:
        return "not in force"
    at = figures.instant(line.period.end, time_zone=line.time_zone).text
    return f"ends {at}" if line.period_kind == "fixed" else at


def resets_day(line: facade.EnvelopeLine) -> str:
    """On which day does the period end?"""
    if line.period is None:
        return "not in force"
    day = line.period.end.astimezone(zone_of(line.time_zone)).date()
    return f"{'ends ' if line.period_kind == 'fixed' else ''}{figures.day(day).text}"


def _resets_time(line: facade.EnvelopeLine) -> str:
    if line.period is None:
        return ""
    return figures.clock_time(line.period.end, time_zone=line.time_zone).text


def health_word(line: facade.EnvelopeLine) -> str:
    """Which word says how the envelope is?"""
    if line.health is facade.Health.SOFT and line.soft_passed_ppm is not None:
        return f"soft {line.soft_passed_ppm // 10_000}%"
    return line.health.value.replace("_", " ")


def _binding_name(line: facade.EnvelopeLine) -> str:
    if line.binding is None:
        return "nothing limits it"
    return "own cap" if line.binding.own else line.binding.name


def _binding_url(line: facade.EnvelopeLine) -> str:
    if line.binding is None or line.binding.own:
        return ""
    return reverse("envelope", args=[line.binding.public])


def binding_text(line: facade.EnvelopeLine, currency: str) -> str:
    """Which limit binds first, and how much does it leave?"""
    if line.binding is None:
        return "nothing limits it"
    left = figures.money(line.binding.available, currency).text
    if line.binding.own:
        return f"own cap, {left} left"
    return f"{line.binding.name}, {left} left"


def _bullet(line: facade.EnvelopeLine, currency: str) -> str:
    parts = [f"{line.name}: spent {figures.money(line.settled, currency).text}"]
    if line.held:
        parts.append(f"held {figures.money(line.held, currency).text}")
    if line.lent != line.held:
        parts.append(f"lent {figures.money(line.lent, currency).text}")
    if line.unsettled:
        parts.append(f"unsettled {figures.money(line.unsettled, currency).text}")
    cap = "no own cap" if line.cap is None else f"cap {figures.money(line.cap, currency).text}"
    return ", ".join([*parts, cap])
