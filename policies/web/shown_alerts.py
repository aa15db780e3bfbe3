"""How do alerts, their rules, channels and changes stand in their templates?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from policies import facade
from policies.web.shown_envelope_change import Problem
from policies.web.shown_kill import export_links

TONES: Final = {"info": "neutral", "warning": "warn", "critical": "adverse"}
STATE_TONES: Final = {
    "open": "adverse",
    "acknowledged": "warn",
    "resolved": "favourable",
    "active": "favourable",
    "paused": "warn",
    "disabled": "adverse",
    "retired": "neutral",
    "sent": "favourable",
    "waiting": "accent",
    "claimed": "accent",
    "given_up": "adverse",
    "dropped": "neutral",
}
UNITS: Final = {"ppm": "share or multiple", "nanos": "", "seconds": "seconds", "calls": "calls"}
DIMENSIONS: Final = {
    "prompt_version": "Prompt version",
    "model": "Model asked for",
    "attempt": "Retry limit",
    "venue": "Venue",
}
WEIGHINGS: Final = {
    "open": "being weighed",
    "shifted": "cost moved",
    "steady": "no move shown",
    "none": "—",
}
WORDS: Final = {
    "cap_nanos": "Cap",
    "settled_nanos": "Spent",
    "leased_nanos": "Lent",
    "unsettled_nanos": "Unsettled",
    "projected_nanos": "Run-rate projection",
    "overruns_nanos": "Overruns",
    "burnt_nanos": "Spent in six hours",
    "even_nanos": "Even pace",
    "spent_nanos": "Spent",
    "threshold_nanos": "Threshold",
    "held_nanos": "Held",
    "stranded_nanos": "On leases that ended",
    "month_nanos": "Effect a month",
    "mean_before_nanos": "A call before",
    "mean_after_nanos": "A call since",
}


def show_list(
    *,
    found: facade.AlertPage,
    state: str,
    counts: Mapping[str, int],
    caller: Caller,
    cursor: str,
    position: int,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the list?"""
    waiting = sum(number for severity, number in counts.items() if severity != "info")
    told = counts.get("info", 0)
    if waiting:
        worst = counts.get("critical", 0)
        headline = (
            f"{waiting:,} alerts need attention" if waiting > 1 else "1 alert needs attention"
        )
        headline += f", {worst:,} of them critical." if worst else "."
        subline = f"{told:,} more for information." if told else ""
    else:
        headline = "Nothing needs attention."
        subline = (
            f"{told:,} for information." if told else "Rules are looked at every 15 seconds."
        )
    return {
        "head": {
            "headline": headline,
            "subline": subline,
            "crumbs": (Link("Alerts", reverse("alerts")),),
            "tabs": _tabs("alerts" if state != "resolved" else "resolved", caller),
        },
        "export_links": export_links("/alerts"),
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "rows": [_row(each) for each in found.items],
        "older_url": f"?state={state}&cursor={found.next}" if found.next else "",
        "seen": seen_token(found),
        "newest_url": f"?state={state}" if cursor else "",
        "live_url": "" if cursor else f"{reverse('alerts')}?state={state}",
        "empty": {
            "title": "No alert." if state != "resolved" else "Nothing was resolved yet.",
            "text": "Each alert is raised once in its window and told to your channels.",
            "actions": [{"label": "Look at the rules", "url": reverse("alert-rules")}],
        },
    }


def seen_token(found: facade.AlertPage) -> str:
    """Which state does the list show? Equal tokens mean equal pages."""
    said = [f"{each.id}{each.state}{each.snoozed_until}" for each in found.items]
    return sha256("".join(said).encode()).hexdigest()[:16]


def show_alert(
    *,
    alert: facade.AlertView,
    deliveries: Sequence[facade.DeliveryView],
    caller: Caller,
    currency: str,
    position: int,
    now: datetime,
    problem: Problem | None,
    reason: str,
) -> dict[str, Any]:
    """Which context has one alert?"""
    crumbs = (Link("Alerts", reverse("alerts")), Link(alert.kind_title, ""))
    return {
        "head": {
            "headline": alert.title,
            "subline": alert.detail,
            "crumbs": crumbs,
            "status": {"word": alert.state, "tone": STATE_TONES[alert.state]},
        },
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "problem": problem,
        "alert_id": alert.id,
        "facts": _facts(alert),
        "evidence": _evidence(alert.evidence, currency),
        "deliveries": [_delivery(each) for each in deliveries],
        "may_redeliver": can(caller=caller, action=Action.CHANGE_ALERT_RULES),
        "form": {
            "action": reverse("alert-act", args=[alert.id]),
            "may": can(caller=caller, action=Action.HANDLE_ALERTS) and not alert.test,
            "may_acknowledge": alert.state == "open",
            "may_resolve": alert.state != "resolved",
            "asleep": alert.snoozed_until,
            "reason": reason,
            "wrong": problem.fields if problem else (),
        },
        "live_url": reverse("alert", args=[alert.id]),
    }


def show_rules(
    *, rules: facade.AlertRules, caller: Caller, position: int, now: datetime
) -> dict[str, Any]:
    """Which context has the list of rules?"""
    watching = sum(each.state == "active" for each in rules.items)
    fired = [each for each in rules.items if each.open_alerts]
    return {
        "head": {
            "headline": f"{watching} rules watch; {len(fired)} of them found something."
            if fired
            else f"{watching} rules watch, and none has found anything.",
            "subline": "Built-in rules can be changed and paused; yours stand beside them.",
            "crumbs": (Link("Alerts", reverse("alerts")), Link("Rules", "")),
            "tabs": _tabs("rules", caller),
            "primary": {
                "label": "New rule",
                "url": reverse("alert-rule-new"),
                "icon": "plus",
            }
            if can(caller=caller, action=Action.CHANGE_ALERT_RULES)
            else None,
        },
        "export_links": export_links("/alerts/rules"),
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "rows": [_rule(each) for each in rules.items],
        "may_change": can(caller=caller, action=Action.CHANGE_ALERT_RULES),
    }


def show_rule_form(
    *,
    rule: facade.AlertRuleView | None,
    typed: Mapping[str, Any],
    channels: Sequence[facade.ChannelView],
    scopes: Sequence[tuple[str, str]],
    caller: Caller,
    problem: Problem | None,
) -> dict[str, Any]:
    """Which context has the form of a rule, new or old?"""
    kind = rule.kind if rule else str(typed.get("kind", ""))
    return {
        "head": {
            "headline": rule.name if rule else "Watch something more",
            "subline": rule.meaning if rule else "A rule is raised once in its window.",
            "crumbs": (
                Link("Alerts", reverse("alerts")),
                Link("Rules", reverse("alert-rules")),
                Link(rule.name if rule else "New", ""),
            ),
            "status": {"word": rule.state, "tone": STATE_TONES[rule.state]} if rule else None,
        },
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "rule": rule,
        "may_change": can(caller=caller, action=Action.CHANGE_ALERT_RULES),
        "key": str(ids.new_uuid()),
        "typed": typed,
        "kinds": [
            {
                "name": each.name,
                "title": each.title,
                "meaning": each.meaning,
                "chosen": each.name == kind,
            }
            for each in facade.MADE_BY_HAND
        ],
        "severities": [
            {"value": each.value, "chosen": each.value == typed.get("severity")}
            for each in facade.Severity
        ],
        "windows": [
            {"value": value, "label": label, "chosen": value == typed.get("window")}
            for value, label in (
                ("", "as usual for the kind"),
                ("hour", "an hour"),
                ("day", "a day"),
                ("week", "a week"),
                ("month", "a month"),
                ("period", "a period of the envelope"),
            )
        ],
        "channels": [
            {
                "id": each.id,
                "name": each.name,
                "kind": each.kind,
                "chosen": each.id in (typed.get("channels") or ()),
            }
            for each in channels
        ],
        "scopes": [
            {"value": value, "label": label, "chosen": value == typed.get("scope")}
            for value, label in scopes
        ],
        "unit": UNITS[rule.unit] if rule else "",
        "default": rule.default_threshold if rule else None,
    }


def show_channels(
    *,
    channels: facade.Channels,
    typed: Mapping[str, str],
    secret: facade.NewSecret | None,
    caller: Caller,
    problem: Problem | None,
    position: int,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the list of channels, with the secret that was just made?"""
    active = [each for each in channels.items if each.state == "active"]
    failing = [each for each in channels.items if each.failed or each.state == "disabled"]
    if not active:
        headline = "Alerts go nowhere yet: they stand on these pages alone."
    elif failing:
        headline = f"{len(failing)} of {len(channels.items)} channels did not take a message."
    else:
        headline = f"Alerts go to {len(active)} channel{'s' if len(active) > 1 else ''}."
    return {
        "head": {
            "headline": headline,
            "subline": "Addresses and secrets are kept wrapped and never shown again.",
            "crumbs": (Link("Alerts", reverse("alerts")), Link("Channels", "")),
            "tabs": _tabs("channels", caller),
        },
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "secret": secret.secret if secret else "",
        "rows": [_channel(each, now) for each in channels.items],
        "typed": typed,
        "key": str(ids.new_uuid()),
        "kinds": [
            {"value": value, "label": label, "chosen": value == typed.get("kind")}
            for value, label in (
                ("email", "E-mail"),
                ("slack", "Slack"),
                ("teams", "Teams"),
                ("webhook", "Webhook"),
            )
        ],
        "severities": [
            {"value": each.value, "chosen": each.value == typed.get("least_severity")}
            for each in facade.Severity
        ],
        "may_change": can(caller=caller, action=Action.CHANGE_CHANNELS),
        "may_test": can(caller=caller, action=Action.CHANGE_ALERT_RULES),
    }


def show_changes(
    *,
    changes: Sequence[facade.ChangeView],
    use_cases: Sequence[tuple[str, str]],
    typed: Mapping[str, str],
    caller: Caller,
    problem: Problem | None,
    currency: str,
    position: int,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the list of changes first seen?"""
    unsigned = [each for each in changes if not each.signed_by]
    moved = [each for each in unsigned if each.weighing == "shifted"]
    if moved:
        headline = f"{len(moved)} unsigned changes moved the cost of a call."
        if len(moved) == 1:
            headline = "One unsigned change moved the cost of a call."
    elif unsigned:
        many = f"{len(unsigned)} changes" if len(unsigned) > 1 else "One change"
        headline = f"{many} nobody signed; no cost is shown to have moved."
    else:
        headline = "No change is unsigned."
    return {
        "head": {
            "headline": headline,
            "subline": "Prompt versions, models, retry limits and venues, when first seen.",
            "crumbs": (Link("Alerts", reverse("alerts")), Link("Changes", "")),
            "tabs": _tabs("changes", caller),
        },
        "export_links": export_links("/alerts/changes"),
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "problem": problem,
        "wrong": problem.fields if problem else (),
        "rows": [_change(each, currency) for each in changes],
        "use_cases": [
            {"slug": slug, "name": name, "chosen": slug == typed.get("use_case")}
            for slug, name in use_cases
        ],
        "dimensions": [
            {"value": value, "label": label, "chosen": value == typed.get("dimension")}
            for value, label in DIMENSIONS.items()
        ],
        "typed": typed,
        "key": str(ids.new_uuid()),
        "may_ask": can(caller=caller, action=Action.CHANGE_USE_CASE),
    }


def _tabs(current: str, caller: Caller) -> list[dict[str, Any]]:
    tabs = [
        ("alerts", "Unresolved", reverse("alerts")),
        ("resolved", "Resolved", f"{reverse('alerts')}?state=resolved"),
        ("changes", "Changes", reverse("alert-changes")),
        ("rules", "Rules", reverse("alert-rules")),
    ]
    if can(caller=caller, action=Action.CHANGE_CHANNELS) or can(
        caller=caller, action=Action.CHANGE_ALERT_RULES
    ):
        tabs.append(("channels", "Channels", reverse("alert-channels")))
    return [
        {"label": label, "url": url, "current": name == current} for name, label, url in tabs
    ]


def _row(each: facade.AlertView) -> dict[str, Any]:
    return {
        "id": each.id,
        "url": reverse("alert", args=[each.id]),
        "title": each.title,
        "kind": each.kind_title,
        "severity": each.severity,
        "tone": TONES[each.severity],
        "state": each.state,
        "state_tone": STATE_TONES[each.state],
        "raised_at": each.raised_at,
        "asleep": each.snoozed_until,
    }


def _facts(alert: facade.AlertView) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [
        {"term": "Kind", "text": alert.kind_title},
        {"term": "Severity", "status": alert.severity},
        {"term": "Raised", "text": figures.instant(alert.raised_at)},
        {"term": "Window", "text": alert.window},
    ]
    if alert.url:
        items.append({"term": "Look at", "text": alert.subject, "href": alert.url})
    else:
        items.append({"term": "About", "text": alert.subject})
    if alert.rule:
        href = reverse("alert-rule", args=[alert.rule])
        items.append({"term": "Rule", "text": alert.kind_title, "href": href})
    if alert.state != "open":
        who = alert.state_by or "by itself"
        items.append({"term": alert.state.capitalize(), "text": who})
        items.append({"term": "At", "text": figures.instant(alert.state_at)})
    if alert.state_reason:
        items.append({"term": "Because", "text": alert.state_reason})
    if alert.snoozed_until:
        items.append({"term": "Snoozed until", "text": figures.instant(alert.snoozed_until)})
    return items


def _evidence(evidence: Mapping[str, Any], currency: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for name, value in evidence.items():
        if name == "changes" and isinstance(value, list):
            said = ", ".join(
                f"{DIMENSIONS.get(each.get('dimension'), '')} {each.get('value')}".strip()
                for each in value
            )
            items.append({"term": "Changes", "text": said})
        elif name.endswith("_nanos") and str(value).lstrip("-").isdecimal():
            term = WORDS.get(name, name.removesuffix("_nanos").replace("_", " ").capitalize())
            items.append({"term": term, "text": figures.money_exact(int(value), currency)})
        elif name.endswith("_ppm") and isinstance(value, int):
            term = name.removesuffix("_ppm").replace("_", " ").capitalize()
            text = figures.percent(part=value, whole=1_000_000)
            items.append({"term": term, "text": text})
        elif value not in ("", None):
            items.append({"term": name.replace("_", " ").capitalize(), "text": str(value)})
    return items


def _delivery(each: facade.DeliveryView) -> dict[str, Any]:
    return {
        "id": each.id,
        "channel": each.channel_name,
        "kind": each.channel_kind,
        "event": each.event,
        "message": each.message,
        "state": each.state.replace("_", " "),
        "tone": STATE_TONES[each.state],
        "due_at": each.due_at if each.state == "waiting" else None,
        "log": each.log,
        "again_url": reverse("alert-redeliver", args=[each.id]),
        "may": each.state in ("sent", "given_up")
        or (each.state == "waiting" and each.attempts),
    }


def _rule(each: facade.AlertRuleView) -> dict[str, Any]:
    return {
        "url": reverse("alert-rule", args=[each.id]),
        "name": each.name,
        "kind": each.kind_title,
        "meaning": each.meaning,
        "scope": each.scope_slug or "Whole company",
        "threshold": _threshold(each),
        "window": each.window,
        "severity": each.severity,
        "tone": TONES[each.severity],
        "state": each.state,
        "state_tone": STATE_TONES[each.state],
        "last": each.last_fired_at,
        "open": each.open_alerts,
        "built_in": each.built_in,
        "act_url": reverse("alert-rule-act", args=[each.id]),
        "paused": each.state == "paused",
    }


def _threshold(each: facade.AlertRuleView) -> str:
    value = each.threshold or each.default_threshold
    if value is None:
        return "soft thresholds of each"
    return f"{value} {UNITS[each.unit]}".strip()


def _channel(each: facade.ChannelView, now: datetime) -> dict[str, Any]:
    ends = each.previous_secret_ends_at
    return {
        "id": each.id,
        "name": each.name,
        "kind": each.kind,
        "target": each.target,
        "least": each.least_severity,
        "state": each.state,
        "tone": STATE_TONES[each.state],
        "why": each.state_reason,
        "waiting": each.waiting,
        "sent": each.sent,
        "failed": each.failed,
        "signs": each.signs,
        "old_until": ends if ends and ends > now else None,
        "act_url": reverse("alert-channel-act", args=[each.id]),
        "active": each.state == "active",
    }


def _change(each: facade.ChangeView, currency: str) -> dict[str, Any]:
    result = each.result or {}
    move = ""
    if result.get("ratio_ppm"):
        low, high = (_signed(result[name]) for name in ("low_ppm", "high_ppm"))
        move = f"{_signed(result['ratio_ppm'])} ({low} to {high}, n {result['n_after']:,})"
    return {
        "use_case": each.use_case_name,
        "use_case_url": reverse("use-case", args=[each.use_case]),
        "dimension": DIMENSIONS[each.dimension],
        "value": each.value,
        "before": each.before,
        "seen_at": each.seen_at,
        "entry_url": reverse("ledger-entry", args=[each.seq]),
        "seq": each.seq,
        "signer": each.signed_by,
        "signed_url": reverse("approval", args=[each.signed_ref])
        if each.signed_ref.startswith("apr_")
        else "",
        "signed_ref": each.signed_ref,
        "weighing": WEIGHINGS[each.weighing],
        "tone": "adverse" if each.weighing == "shifted" else "neutral",
        "move": move,
        "alert_url": reverse("alert", args=[each.alert]) if each.alert else "",
    }


def _signed(ppm: int) -> str:
    return figures.percent(part=ppm - 1_000_000, whole=1_000_000, sign=figures.Sign.ALWAYS).text
