"""When is a rule of alerts met, and what does the alert say?

Pure: figures and `now` in, findings out; the same figures give the same finding, and its window
text makes it happen once. Money is nanos; shares are millionths, compared as products, so that
nothing is rounded before it is compared.
Source: docs/algorithms/alerts.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from o10.kernel import figures
from o10.kernel.money import Nanos, half_even
from o10.kernel.periods import zone_of
from policies.core.alert_kinds import PPM, Severity, Window

BURN_WINDOW: Final = timedelta(hours=6)
BURN_LEAST_PPM: Final = 10_000
"""A burst below a hundredth of the cap is no news, however steep."""
PACE_AFTER_PPM: Final = 50_000
"""The pace so far says something once a twentieth of the period is over."""
EARLY_PPM: Final = 800_000
"""An envelope's own thresholds below this are news, no warning."""
_EXHAUSTED: Final = PPM


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeFigures:
    """What does one envelope say in its current period?

    Units: nanos; `thresholds_ppm` millionths of the cap; `burnt` = spent in the last six
    hours, itself and below; `overruns` likewise since `start`. `denied` = calls that its cap
    denied lately.
    """

    number: int
    public: str
    name: str
    scope_kind: str
    department: str
    use_case: str
    use_case_number: int | None
    cap: Nanos
    settled: Nanos
    lent: Nanos
    unsettled: Nanos
    start: datetime
    end: datetime
    thresholds_ppm: tuple[int, ...]
    burnt: Nanos = 0
    overruns: Nanos = 0
    denied: int = 0

    @property
    def exposure(self) -> Nanos:
        """Money that is gone or may go: what the cap is compared with."""
        return self.settled + self.lent + self.unsettled


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, to be raised once in its window? `severity` None = that of its rule."""

    subject: str
    window: str
    title: str
    detail: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    url: str = ""
    severity: Severity | None = None
    envelope: int | None = None
    use_case: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose envelopes does a rule watch? `company` = all of them."""

    kind: str = "company"
    slug: str = ""

    def covers(self, figure: EnvelopeFigures) -> bool:
        """Is this envelope among them?"""
        match self.kind:
            case "department":
                return figure.department == self.slug
            case "use_case":
                return figure.use_case == self.slug
            case "envelope":
                return figure.public == self.slug
        return True


def run_rate(*, settled: Nanos, start: datetime, end: datetime, now: datetime) -> Nanos | None:
    """Which amount has the period at its end if the pace so far goes on?

    A run-rate projection and nothing more: settled x length / elapsed, rounded half even. None
    before a twentieth of the period is over, and once it has ended.
    """
    elapsed = (now - start) // timedelta(microseconds=1)
    length = (end - start) // timedelta(microseconds=1)
    if elapsed <= 0 or elapsed > length or elapsed * PPM < length * PACE_AFTER_PPM:
        return None
    return half_even(settled * length, elapsed)


def thresholds_reached(figure: EnvelopeFigures, thresholds_ppm: Sequence[int]) -> list[int]:
    """Which shares of the cap does the exposure reach? In rising order, millionths.

    The whole cap also counts as reached once it denied a call: what is left is too small then.
    A cap of 0 has no shares.
    """
    if not figure.cap:
        return []
    return [
        each
        for each in sorted(set(thresholds_ppm))
        if figure.exposure * PPM >= each * figure.cap or (each == _EXHAUSTED and figure.denied)
    ]


def find_thresholds(
    figures_now: Iterable[EnvelopeFigures],
    *,
    scope: Scope,
    threshold: int | None,
    currency: str,
) -> Iterator[Finding]:
    """Which shares of caps are reached? `threshold` None = the envelope's own soft ones."""
    for each in figures_now:
        if not scope.covers(each):
            continue
        own = each.thresholds_ppm if threshold is None else (threshold,)
        for reached in thresholds_reached(each, own):
            early = threshold is None and reached < EARLY_PPM
            yield _threshold(each, reached, currency, Severity.INFO if early else None)


def find_forecasts(
    figures_now: Iterable[EnvelopeFigures],
    *,
    scope: Scope,
    threshold: int,
    currency: str,
    now: datetime,
) -> Iterator[Finding]:
    """Which envelopes end their period at or above this share of the cap at this pace?"""
    for each in figures_now:
        if not scope.covers(each) or not each.cap:
            continue
        projected = run_rate(settled=each.settled, start=each.start, end=each.end, now=now)
        if projected is None or projected * PPM < threshold * each.cap:
            continue
        end = figures.money(projected, currency).text
        cap = figures.money(each.cap, currency).text
        spent = figures.money(each.settled, currency).text
        yield Finding(
            subject=each.public,
            window=f"{_instant(each.start)} {share_text(threshold)}",
            title=f"{each.name} is heading for {end} of {cap}.",
            detail=(
                f"Run-rate projection: {spent} spent so far, and on at the same pace until "
                f"{_day(each.end)}. It knows no seasons and no drivers."
            ),
            evidence={
                "projected_nanos": str(projected),
                "settled_nanos": str(each.settled),
                "cap_nanos": str(each.cap),
                "method": "run-rate",
                "period_start": _instant(each.start),
                "period_end": _instant(each.end),
            },
            url=f"/envelopes/{each.public}/",
            envelope=each.number,
            use_case=each.use_case_number,
        )


def find_burns(
    figures_now: Iterable[EnvelopeFigures],
    *,
    scope: Scope,
    threshold: int,
    window: Window,
    currency: str,
    zone: str,
    now: datetime,
) -> Iterator[Finding]:
    """Which envelopes spent a multiple of the even pace in the last six hours?

    Units: `threshold` millionths of the even pace. Envelopes whose period is not longer than
    four such windows have no even pace worth the name and are left out.
    """
    for each in figures_now:
        length = each.end - each.start
        if not scope.covers(each) or not each.cap or length < 4 * BURN_WINDOW:
            continue
        micros = timedelta(microseconds=1)
        over = each.burnt * PPM * (length // micros) >= threshold * each.cap * (
            BURN_WINDOW // micros
        )
        if not over or each.burnt * PPM < BURN_LEAST_PPM * each.cap:
            continue
        even = half_even(each.cap * (BURN_WINDOW // micros), length // micros)
        yield Finding(
            subject=each.public,
            window=window_text(window, now=now, zone=zone),
            title=(
                f"{each.name} burnt {figures.money(each.burnt, currency).text} in six hours."
            ),
            detail=(
                f"An even pace would be {figures.money(even, currency).text}; the rule speaks "
                f"from {times_text(threshold)} that on."
            ),
            evidence={
                "burnt_nanos": str(each.burnt),
                "even_nanos": str(even),
                "cap_nanos": str(each.cap),
                "hours": 6,
            },
            url=f"/envelopes/{each.public}/",
            envelope=each.number,
            use_case=each.use_case_number,
        )


def find_overruns(
    figures_now: Iterable[EnvelopeFigures], *, scope: Scope, threshold: int, currency: str
) -> Iterator[Finding]:
    """Which envelopes have more overruns than this share of their cap?"""
    for each in figures_now:
        if not scope.covers(each) or not each.cap:
            continue
        if each.overruns * PPM <= threshold * each.cap:
            continue
        share = figures.percent(part=each.overruns, whole=each.cap).text
        amount = figures.money(each.overruns, currency).text
        yield Finding(
            subject=each.public,
            window=f"{_instant(each.start)} {share_text(threshold)}",
            title=f"Overruns of {each.name} reach {share} of its cap.",
            detail=(
                f"{amount} were billed above what the calls had reserved. Look at "
                "estimate drift and at the caps that callers keep."
            ),
            evidence={"overruns_nanos": str(each.overruns), "cap_nanos": str(each.cap)},
            url=f"/envelopes/{each.public}/",
            envelope=each.number,
            use_case=each.use_case_number,
        )


def spend_finding(
    *,
    name: str,
    subject: str,
    spent: Nanos,
    threshold: Nanos,
    window: Window,
    currency: str,
    zone: str,
    now: datetime,
    use_case: int | None,
) -> Finding | None:
    """Did it spend more than the amount within the window that runs now? None = no."""
    if spent <= threshold:
        return None
    amount = figures.money(spent, currency).text
    return Finding(
        subject=subject,
        window=window_text(window, now=now, zone=zone),
        title=f"{name} spent {amount} this {window.value}.",
        detail=f"The rule speaks above {figures.money(threshold, currency).text}.",
        evidence={"spent_nanos": str(spent), "threshold_nanos": str(threshold)},
        url="/use-cases/",
        use_case=use_case,
    )


def unpriced_finding(
    *, use_case: str, model: str, calls: int, zone: str, now: datetime, served: int = 0
) -> Finding:
    """What is said of calls that were denied, or served, without a price?"""
    counted = f"{calls:,} {'call' if calls == 1 else 'calls'}"
    asker = use_case or "somebody unknown"
    if served:
        return Finding(
            subject=f"{use_case[:64]}:served:{model[:80]}",
            window=window_text(Window.DAY, now=now, zone=zone),
            title=f"{model} served calls, and no price is known for it.",
            detail=(
                f"{counted} of {use_case or 'no use case'} booked at the most they could "
                "cost, as estimated: another model answered than was authorized. Add its "
                "price, and correct them by a revaluation."
            ),
            evidence={"use_case": use_case, "model": model, "calls": calls, "served": served},
            url="/prices/",
        )
    return Finding(
        subject=f"{use_case[:64]}:{model[:90]}",
        window=window_text(Window.DAY, now=now, zone=zone),
        title=f"No price is known for {model or 'the model'} that {asker} asks for.",
        detail=(
            f"{counted} of {use_case or 'an unknown use case'} denied (PRICE_UNKNOWN): a model "
            "without a price never counts as free. Add a price or use another model."
        ),
        evidence={"use_case": use_case, "model": model, "calls": calls},
        url="/policies/decisions/?f=reason:PRICE_UNKNOWN",
    )


def stale_prices_finding(*, age_s: int | None, zone: str, now: datetime) -> Finding:
    """What is said of a price book that is too old? `age_s` None = it never had a catalogue."""
    known = "was never loaded" if age_s is None else f"is {age_s // 86_400} days old"
    return Finding(
        subject="price-book",
        window=window_text(Window.WEEK, now=now, zone=zone),
        title=f"The newest price catalogue {known}.",
        detail=(
            "Prices move: calls are costed by old ones until a fresh catalogue is approved "
            "(prices_sync). Use cases with strict prices deny by then."
        ),
        evidence={"age_s": age_s if age_s is not None else -1},
    )


def seal_lag_finding(*, lag_s: int, waiting: int, zone: str, now: datetime) -> Finding:
    """What is said of entries that wait for their position?"""
    return Finding(
        subject="ledger",
        window=window_text(Window.HOUR, now=now, zone=zone),
        title=f"The oldest entry without a position has waited {lag_s} s.",
        detail=(
            f"{waiting:,} entries wait. They are durable and counted against caps, but in no "
            "proof and no report yet. Is ledger_seal running?"
        ),
        evidence={"lag_s": lag_s, "waiting": waiting},
        url="/ledger/",
    )


def leaked_holds_finding(
    *, holds: int, held: Nanos, stranded: Nanos, currency: str, zone: str, now: datetime
) -> Finding:
    """What is said of money that is kept by nobody who could still use it?"""
    total = figures.money(held + stranded, currency).text
    lent = figures.money(stranded, currency).text
    return Finding(
        subject="holds",
        window=window_text(Window.DAY, now=now, zone=zone),
        title=f"{total} is held past its time.",
        detail=(
            f"{holds:,} open holds ({figures.money(held, currency).text}) are past their end, "
            f"and {lent} is on leases that ended. They count against caps until the worker "
            "expires them. Are worker and beat running?"
        ),
        evidence={"holds": holds, "held_nanos": str(held), "stranded_nanos": str(stranded)},
        url="/envelopes/",
    )


def window_text(window: Window, *, now: datetime, zone: str) -> str:
    """Which text is the same within this window of the company's zone, and only there?"""
    local = now.astimezone(zone_of(zone))
    match window:
        case Window.HOUR:
            # In UTC: an hour of a clock change must not count twice.
            return f"{_instant(now)[:13]}Z"
        case Window.WEEK:
            year, week, _ = local.isocalendar()
            return f"{year}-W{week:02}"
        case Window.MONTH:
            return f"{local:%Y-%m}"
        case _:
            return f"{local:%Y-%m-%d}"


def share_text(ppm: int) -> str:
    """How is a share written in windows and titles? 800,000 is 80%."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".") + "%"


def times_text(ppm: int) -> str:
    """How is a multiple written? 3,000,000 is 3 times."""
    whole, rest = divmod(ppm, PPM)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".") + " times"


def _threshold(
    each: EnvelopeFigures, reached: int, currency: str, severity: Severity | None
) -> Finding:
    full = reached >= PPM
    used = figures.percent(part=each.exposure, whole=each.cap).text
    cap = figures.money(each.cap, currency).text
    title = f"{each.name} has used {used} of {cap}."
    if full and each.denied and each.exposure < each.cap:
        title = f"{each.name} is used up: {used} of {cap}, and calls are denied."
    return Finding(
        subject=each.public,
        window=f"{_instant(each.start)} {share_text(reached)}",
        title=title,
        detail=(
            f"Spent {figures.money(each.settled, currency).text}, lent "
            f"{figures.money(each.lent, currency).text}, unsettled "
            f"{figures.money(each.unsettled, currency).text}. Threshold {share_text(reached)}; "
            f"the period ends {_day(each.end)}."
        ),
        evidence={
            "threshold_ppm": reached,
            "settled_nanos": str(each.settled),
            "leased_nanos": str(each.lent),
            "unsettled_nanos": str(each.unsettled),
            "cap_nanos": str(each.cap),
            "denied": each.denied,
            "period_start": _instant(each.start),
            "period_end": _instant(each.end),
        },
        url=f"/envelopes/{each.public}/",
        severity=Severity.CRITICAL if full else severity,
        envelope=each.number,
        use_case=each.use_case_number,
    )


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _day(at: datetime) -> str:
    return figures.day(at.date()).text
