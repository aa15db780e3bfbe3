"""Which rules are met now? Each finding is raised once in its window; what ended is resolved.

Run by a job, safe to run twice at once and late: what makes an alert happen once is its unique
key, not this job. A rule that fails to be read stops the others no more than itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from ledger import facade as ledger
from policies.core import alert_rules as rules
from policies.core.alert_kinds import KINDS, AlertKind, Severity, Window
from policies.core.alert_rules import EnvelopeFigures, Finding, Scope
from policies.models import Alert, AlertRule, UseCase
from policies.operations.built_in_rules import write_built_in_rules
from policies.operations.handle_alert import resolve_by_itself
from policies.operations.raise_alert import raise_alert
from policies.queries.alert_figures import envelope_figures, leaked, list_unpriced
from policies.queries.organisation import OrganisationView, find_organisation

Found = Iterator[Finding]


@dataclass
class _Look:
    """What is read once for all rules of one evaluation?"""

    company: OrganisationView
    now: datetime

    @cached_property
    def figures(self) -> list[EnvelopeFigures]:
        """Envelopes in their current period."""
        return envelope_figures(now=self.now)

    @cached_property
    def seal(self) -> ledger.SealStatus:
        """How far the sealer is."""
        return ledger.seal_state(now=self.now)


def evaluate_alerts(*, now: datetime) -> int:
    """How many alerts were raised just now?

    Built-in rules are written down the first time, so that people can pause or change them.
    """
    company = find_organisation()
    if company is None:
        return 0
    write_built_in_rules(now=now)
    look = _Look(company, now)
    fresh = 0
    for rule in AlertRule.objects.filter(state="active").order_by("id"):
        kind = KINDS.get(rule.kind)
        find = FINDERS.get(rule.kind)
        if kind is None or find is None:
            continue
        findings = list(find(rule, kind, look))
        fresh += _raise(rule, findings, now)
        if kind.ends_by_itself:
            resolve_by_itself(
                rule=rule.id, but=[_subject(rule, each) for each in findings], now=now
            )
    _end_windows(look)
    return fresh


def _raise(rule: AlertRule, findings: Iterable[Finding], now: datetime) -> int:
    found = list(findings)
    standing = {
        (row.subject, row.window): row
        for row in Alert.objects.filter(
            kind=rule.kind, subject__in={_subject(rule, each) for each in found}
        )
    }
    fresh = 0
    for each in found:
        subject = _subject(rule, each)
        before = standing.get((subject, each.window))
        if before is not None:
            _reopen(before, now)
            continue
        severity = each.severity or Severity(rule.severity)
        fresh += raise_alert(
            kind=rule.kind,
            subject=subject,
            window=each.window,
            title=each.title,
            detail=each.detail,
            severity=severity.value,
            now=now,
            evidence=each.evidence,
            url=each.url,
            use_case=each.use_case,
            envelope=each.envelope,
            rule=rule.id,
        ).fresh
    return fresh


def _reopen(alert: Alert, now: datetime) -> None:
    """It had ended by itself and is so again in the same window: shown, but not told again."""
    Alert.objects.filter(id=alert.id, state="resolved", state_by="", test=False).update(
        state="open", state_at=now, state_reason="It is so again."
    )


def _subject(rule: AlertRule, finding: Finding) -> str:
    """A rule of people's own is raised beside the built-in one, not instead of it."""
    return finding.subject if rule.built_in else f"{finding.subject}#{rule.public}"


def _end_windows(look: _Look) -> None:
    """Alerts on a period of an envelope end with it: there is nothing left to do about them."""
    running = {
        f"{each.start.astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%MZ}" for each in look.figures
    }
    ended = [
        alert.id
        for alert in Alert.objects.filter(
            kind__in=("envelope_threshold", "envelope_forecast", "overrun")
        ).exclude(state="resolved")
        if alert.window.partition(" ")[0] not in running
    ]
    Alert.objects.filter(id__in=ended).exclude(state="resolved").update(
        state="resolved",
        state_at=look.now,
        state_by="",
        state_reason="The period is over.",
    )


def _thresholds(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    return rules.find_thresholds(
        look.figures,
        scope=_scope(rule),
        threshold=rule.threshold,
        currency=look.company.currency,
    )


def _forecasts(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    return rules.find_forecasts(
        look.figures,
        scope=_scope(rule),
        threshold=_threshold(rule, kind),
        currency=look.company.currency,
        now=look.now,
    )


def _burns(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    return rules.find_burns(
        look.figures,
        scope=_scope(rule),
        threshold=_threshold(rule, kind),
        window=Window(rule.window),
        currency=look.company.currency,
        zone=look.company.time_zone,
        now=look.now,
    )


def _overruns(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    return rules.find_overruns(
        look.figures,
        scope=_scope(rule),
        threshold=_threshold(rule, kind),
        currency=look.company.currency,
    )


def _spend(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    use_cases: dict[int, UseCase] | None = None
    if rule.scope_kind == "use_case":
        use_cases = {row.id: row for row in UseCase.objects.filter(slug=rule.scope_slug)}
    elif rule.scope_kind == "department":
        found = UseCase.objects.filter(department__slug=rule.scope_slug)
        use_cases = {row.id: row for row in found}
    today = look.now.astimezone(ZoneInfo(look.company.time_zone)).date()
    window = Window(rule.window)
    start = {
        Window.DAY: today,
        Window.WEEK: today - timedelta(days=today.weekday()),
        Window.MONTH: today.replace(day=1),
    }[window]
    rows = ledger.sum_spend(
        ledger_id=ledger.COMPANY_LEDGER,
        time_zone=look.company.time_zone,
        by=(),
        start=start,
        end=today + timedelta(days=1),
        as_of=look.seal.seq,
        use_case_ids=None if use_cases is None else list(use_cases),
    )
    only = next(iter(use_cases)) if use_cases and len(use_cases) == 1 else None
    finding = rules.spend_finding(
        name=_scope_name(rule, use_cases, look),
        subject=rule.scope_slug or "company",
        spent=rows[0].spent if rows else 0,
        threshold=_threshold(rule, kind),
        window=window,
        currency=look.company.currency,
        zone=look.company.time_zone,
        now=look.now,
        use_case=only if rule.scope_kind == "use_case" else None,
    )
    if finding is not None:
        yield finding


def _unpriced(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    least = _threshold(rule, kind)
    for each in list_unpriced(now=look.now):
        if each.calls >= least:
            yield rules.unpriced_finding(
                use_case=each.use_case,
                model=each.model,
                calls=each.calls,
                served=each.served,
                zone=look.company.time_zone,
                now=look.now,
            )


def _stale_prices(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    listed_at = ledger.price_book().book.listed_at
    age = None if listed_at is None else look.now - listed_at
    if age is None or age.total_seconds() > _threshold(rule, kind):
        yield rules.stale_prices_finding(
            age_s=None if age is None else int(age.total_seconds()),
            zone=look.company.time_zone,
            now=look.now,
        )


def _seal_lag(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    if look.seal.lag_seconds > _threshold(rule, kind):
        yield rules.seal_lag_finding(
            lag_s=int(look.seal.lag_seconds),
            waiting=look.seal.waiting,
            zone=look.company.time_zone,
            now=look.now,
        )


def _leaks(rule: AlertRule, kind: AlertKind, look: _Look) -> Found:
    found = leaked(past_s=_threshold(rule, kind), now=look.now)
    if found.held or found.stranded:
        yield rules.leaked_holds_finding(
            holds=found.holds,
            held=found.held,
            stranded=found.stranded,
            currency=look.company.currency,
            zone=look.company.time_zone,
            now=look.now,
        )


FINDERS: Final[Mapping[str, Callable[[AlertRule, AlertKind, _Look], Found]]] = {
    "envelope_threshold": _thresholds,
    "envelope_forecast": _forecasts,
    "burn_rate": _burns,
    "overrun": _overruns,
    "spend_over": _spend,
    "unpriced_traffic": _unpriced,
    "price_book_stale": _stale_prices,
    "seal_lag": _seal_lag,
    "leaked_holds": _leaks,
}
"""Who looks for which kind? `unsigned_change` is found by the watch of changes."""


def _scope(rule: AlertRule) -> Scope:
    return Scope(rule.scope_kind, rule.scope_slug)


def _threshold(rule: AlertRule, kind: AlertKind) -> int:
    return kind.threshold or 0 if rule.threshold is None else rule.threshold


def _scope_name(rule: AlertRule, use_cases: dict[int, UseCase] | None, look: _Look) -> str:
    if rule.scope_kind == "use_case" and use_cases:
        return str(next(iter(use_cases.values())))
    if rule.scope_kind == "department":
        return rule.scope_slug
    return look.company.name
