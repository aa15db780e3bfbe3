"""How does the page of one decision stand in its template?"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.kernel import figures
from o10.kernel.money import Nanos
from o10.kernel.pageview import Bar, CopyLinks, Link, link_with
from o10.wire.decisions import Outcome
from o10.wire.reasons import Again, Reason
from policies import facade
from policies.web.shown_decisions import OUTCOME_WORDS
from policies.web.shown_standing import envelope_note, show_envelope_then, smallest_change
from policies.web.shown_times import to_the_millisecond

FACT_WORDS = {
    "model": "Model",
    "venue": "Venue",
    "region": "Region",
    "input_tokens": "Input tokens",
    "cached_input_tokens": "of them cached",
    "max_output_tokens": "Output at most",
    "n": "Answers",
    "service_class": "Service class",
    "data_class": "Data class",
    "task_type": "Task",
    "mode": "Preference",
    "environment": "Environment",
    "customer": "Customer",
    "run_id": "Run",
    "step": "Step",
    "step_kind": "Kind of step",
    "attempt": "Attempt",
    "prompt_version": "Prompt version",
    "ttl_s": "Hold for",
}
AGAIN_WORDS = {
    Again.NO: "no",
    Again.YES: "yes, later",
    Again.NOT_NEEDED: "goes ahead",
}


def show_decision(
    *,
    detail: facade.DecisionDetail,
    trail: facade.DecisionTrail,
    names: Mapping[str, str],
    currency: str,
    time_zone: str,
    position: int,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the page?"""
    row, record = detail.row, detail.record
    return {
        "head": _head(detail, names, currency, time_zone),
        "stamp": {"seq": position, "at": now, "state": "fresh"},
        "bar": Bar(copy=CopyLinks(reverse("decision", args=[row.public]), "", 0)),
        "asked": _asked(detail, names),
        "answered": _answered(detail, currency),
        "reasons": [_reason(each) for each in record.get("reasons", ())],
        "envelopes": [
            show_envelope_then(each, record, currency) for each in record["envelopes"]
        ],
        "envelope_note": envelope_note(record, currency),
        "change": smallest_change(record, currency),
        "hold": _hold(detail, currency, time_zone, now),
        "entries": [_entry(line, currency, time_zone) for line in trail.entries],
        "no_entries": _no_entries(detail),
        "reservation_url": link_with(reverse("ledger"), ("reservation", row.reservation))
        if row.reservation
        else "",
        "binding": trail.binding,
        "bound": trail.bound,
        "record_text": json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False),
        "answer_text": _answer_text(detail.answer),
    }


def _head(
    detail: facade.DecisionDetail, names: Mapping[str, str], currency: str, time_zone: str
) -> dict[str, Any]:
    row = detail.row
    at = figures.instant(row.decided_at, time_zone=time_zone).text
    asked = row.asked or "no model named"
    case = names.get(row.use_case, row.use_case)
    log = reverse("decisions")
    return {
        "headline": _headline(detail, currency),
        "subline": f"{case} · {asked} · {at} · policy version {row.policy_version}.",
        "crumbs": (
            Link("Decisions", log),
            Link(case, link_with(log, ("use_case", row.use_case))),
            Link(f"{row.public[:12]}…{row.public[-4:]}", ""),
        ),
        "status": {"word": OUTCOME_WORDS[row.outcome], "tone": ""},
    }


def _headline(detail: facade.DecisionDetail, currency: str) -> str:
    row, hold = detail.row, detail.hold
    outcome = Outcome(row.outcome)
    held = figures.money_exact(row.worst, currency).text
    if outcome is Outcome.DENY:
        first = Reason(row.codes[0]).row.meaning
        return f"Denied: {first[:1].lower()}{first[1:]}"
    if outcome is Outcome.HOLD:
        return "On hold: a person has to approve it."
    if row.would != row.outcome:
        would = OUTCOME_WORDS.get(row.would, row.would)
        return f"Allowed, since {row.mode} changes nothing; enforced it would be: {would}."
    if hold is None or not hold.held:
        return f"Allowed; nothing is held in {row.mode}."
    cap = detail.record.get("worst") or {}
    if outcome is Outcome.ALLOW_WITH_CAPS and cap.get("max_output_tokens"):
        tokens = int(cap["max_output_tokens"])
        return f"Allowed with at most {tokens:,} output tokens; {held} was held."
    return f"Allowed; {held} was held for the call."


def _asked(detail: facade.DecisionDetail, names: Mapping[str, str]) -> list[dict[str, Any]]:
    row, asked = detail.row, detail.record.get("request") or {}
    case: dict[str, Any] = {"term": "Use case", "text": names.get(row.use_case, row.use_case)}
    if row.use_case in names:
        case["href"] = reverse("use-case", args=[row.use_case])
    facts = [case]
    for name, label in FACT_WORDS.items():
        value = asked.get(name)
        if value in (None, "") or (name in ("n", "attempt") and value == 1):
            continue
        if name == "cached_input_tokens" and not value:
            continue
        facts.append({"term": label, "text": _fact(name, value)})
    facts += [
        {"term": f"Tag {name}", "text": str(value)}
        for name, value in (asked.get("tags") or {}).items()
    ]
    facts.append({"term": "Asked by", "code": detail.caller})
    if detail.request_id:
        facts.append({"term": "Request id", "code": detail.request_id})
    return facts


def _fact(name: str, value: object) -> str:
    if isinstance(value, int):
        unit = {"ttl_s": " s", "max_output_tokens": " tokens"}.get(name, "")
        return f"{value:,}{unit}"
    return str(value)


def _answered(detail: facade.DecisionDetail, currency: str) -> list[dict[str, Any]]:
    row, record = detail.row, detail.record
    facts: list[dict[str, Any]] = [
        {"term": "Decision", "status": OUTCOME_WORDS[row.outcome]},
    ]
    if row.would != row.outcome:
        facts.append({"term": "Would be", "status": OUTCOME_WORDS.get(row.would, row.would)})
    facts.append({"term": "Mode", "status": row.mode})
    worst = record.get("worst") or {}
    if row.offer:
        goes = Outcome(row.outcome).goes
        facts.append({"term": "Route" if goes else "Offer looked at", "text": row.offer})
    if worst:
        facts.append({"term": "Worst case", "text": figures.money_exact(row.worst, currency)})
        bound = int(worst.get("input_bound") or 0)
        output, n = int(worst.get("max_output_tokens") or 0), int(worst.get("n") or 1)
        times = f" × {n}" if n > 1 else ""
        facts.append(
            {
                "term": "at most",
                "text": f"{bound:,} tokens in, {output:,} out{times}",
            }
        )
    if record.get("retry_after_s"):
        facts.append({"term": "Retry after", "text": f"{record['retry_after_s']:,} s"})
    policy = record.get("policy") or {}
    facts.append({"term": "Policy", "text": f"version {row.policy_version}"})
    if policy.get("hash"):
        facts.append({"term": "Policy hash", "hash": policy["hash"]})
    facts.append(
        {
            "term": "Prices",
            "text": f"version {row.price_version} of the price book"
            if row.price_version
            else "none: no offer with a price",
        }
    )
    return facts


def _reason(each: Mapping[str, Any]) -> dict[str, Any]:
    reason = Reason(str(each.get("code")))
    return {
        "number": reason.number,
        "code": reason.value,
        "detail": str(each.get("detail") or ""),
        "meaning": reason.row.meaning,
        "step": reason.row.next_step.replace("`", ""),
        "again": AGAIN_WORDS[reason.row.again],
    }


def _hold(
    detail: facade.DecisionDetail, currency: str, time_zone: str, now: datetime
) -> dict[str, Any] | None:
    hold = detail.hold
    if hold is None:
        return None
    facts: list[dict[str, Any]] = [
        {"term": "State", "status": hold.state.replace("_", " ")},
        {"term": "Reservation", "code": hold.public},
        {"term": "Held at first", "text": figures.money_exact(hold.amount, currency)},
        {"term": "Spent from it", "text": figures.money_exact(hold.settled, currency)},
    ]
    if not hold.held:
        facts[2] = {"term": "Held", "text": f"nothing: the mode is {detail.row.mode}"}
    if hold.state in ("open", "expired"):
        word = "Still held" if hold.state == "open" else "Unsettled"
        facts.append({"term": word, "text": figures.money_exact(hold.open, currency)})
    if hold.state == "open":
        late = " (past)" if hold.expires_at < now else ""
        facts.append(
            {
                "term": "Ends by itself",
                "text": f"{figures.instant(hold.expires_at, time_zone=time_zone).text}{late}",
            }
        )
    if hold.ended_at is not None:
        facts.append(
            {"term": "Ended", "text": to_the_millisecond(hold.ended_at, time_zone=time_zone)}
        )
    facts.append({"term": "Attempts", "text": f"{hold.attempts:,}"})
    facts.append({"term": "Output granted", "text": f"{hold.max_output_tokens:,} tokens"})
    return {"facts": facts}


def _entry(line: Any, currency: str, time_zone: str) -> dict[str, Any]:
    url = (
        reverse("ledger-entry", args=[line.seq])
        if line.seq is not None
        else reverse("ledger-entry-by-id", args=[line.public])
    )
    return {
        "seq": line.seq,
        "url": url,
        "at": to_the_millisecond(line.recorded_at, time_zone=time_zone),
        "kind": line.kind.replace("_", " "),
        "calls": line.calls,
        "amount": figures.money_exact(line.amount, currency),
        "held": _signed(line.held, currency),
        "unsettled": _signed(line.unsettled, currency),
    }


def _signed(nanos: Nanos, currency: str) -> str:
    text = figures.money_exact(nanos, currency).text
    return f"+{text}" if nanos > 0 else text if nanos else "0"


def _no_entries(detail: facade.DecisionDetail) -> str:
    row = detail.row
    if row.folded:
        return (
            "One of more than ten equal denials in a second: they share one ledger entry that "
            "counts them."
        )
    if row.outcome != Outcome.DENY:
        return f"Nothing was entered at the decision: in {row.mode} nothing is held."
    return "No entry belongs to it."


def _answer_text(answer: bytes) -> str:
    """What the router got, without the token that settles money."""
    sent = json.loads(answer)
    if isinstance(sent.get("reservation"), dict):
        sent["reservation"].pop("token", None)
    return json.dumps(sent, indent=2, ensure_ascii=False)
