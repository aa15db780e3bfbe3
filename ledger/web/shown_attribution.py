"""How do attribution and identity of an entry stand in its template?"""

from typing import Any

from django.urls import reverse

from ledger import facade
from ledger.web.shown import MARK_WORDS, to_the_millisecond
from o10.kernel import figures

DIMENSION_WORDS = {
    "department": "Department",
    "key": "Key",
    "environment": "Environment",
    "customer": "Customer",
    "task_type": "Task",
    "service_class": "Service class",
    "step_kind": "Step",
    "prompt_version": "Prompt version",
}


def show_attribution(detail: facade.EntryDetail) -> list[dict[str, Any]]:
    """Who used it for what, and how did it go?"""
    line = detail.line
    facts: list[dict[str, Any]] = []
    if line.use_case:
        facts.append(
            {
                "term": "Use case",
                "text": line.use_case,
                "href": reverse("use-case", args=[line.use_case_slug]),
            }
        )
    facts += [
        {"term": label, "code" if name == "key" else "text": str(detail.attribution[name])}
        for name, label in DIMENSION_WORDS.items()
        if detail.attribution.get(name)
    ]
    facts += [
        {"term": f"Tag {name}", "text": str(value)}
        for name, value in (detail.attribution.get("tags") or {}).items()
    ]
    if line.actor and line.actor != detail.attribution.get("key"):
        facts.append({"term": "Written by", "code": line.actor})
    if line.calls:
        unit = "call" if abs(line.calls) == 1 else "calls"
        purpose = "" if line.purpose == "serve" else f", {line.purpose.replace('_', ' ')}"
        facts.append(
            {"term": "Stands for", "text": f"{figures.count_exact(line.calls)} {unit}{purpose}"}
        )
    if line.attempt:
        facts.append({"term": "Attempt", "text": f"{line.attempt}, ended {line.finish}"})
    if line.latency_ms:
        facts.append({"term": "Latency", "text": f"{line.latency_ms:,} ms"})
    facts += [{"term": "Mark", "text": MARK_WORDS.get(mark, mark)} for mark in line.marks]
    if line.ref:
        facts.append({"term": "Provider's id", "code": line.ref})
    return facts or [{"term": "Written by", "text": "the ledger itself"}]


def show_identity(line: facade.EntryLine, *, time_zone: str) -> list[dict[str, Any]]:
    """What is hashed, and when was it written?"""
    facts: list[dict[str, Any]] = [
        {"term": "Id", "code": line.public},
        {
            "term": "Happened",
            "text": to_the_millisecond(line.effective_at, time_zone=time_zone),
        },
        {"term": "Recorded", "text": to_the_millisecond(line.recorded_at, time_zone=time_zone)},
        {"term": "Leaf", "hash": line.leaf},
        {"term": "Chain", "hash": line.chain},
    ]
    if line.decision:
        facts.append({"term": "Decision hash", "hash": line.decision})
    if line.doc:
        facts.append({"term": "Document hash", "hash": line.doc})
    return facts
