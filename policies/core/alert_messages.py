"""How does an alert read in a webhook, a chat room, a mail? One sentence, one number, one link.

Bodies are made of the alert alone, so that a message sent again has the same bytes. Nothing can
be approved or changed from a message: its link leads to a page that asks who you are.
Source: conventions.md section 9 (Slack blocks, Adaptive Cards 1.4, Standard Webhooks).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import msgspec

from policies.core.alert_kinds import KINDS, event_type_of, title_of

SLACK_HEADER_MOST: Final = 150
SLACK_TEXT_MOST: Final = 3_000
GROUP_MOST: Final = 20
"""Alerts in one message: far below 50 blocks, and about 28 KB of a card."""
_DETAIL_MOST: Final = 600
_COLOURS: Final = {"info": "accent", "warning": "warning", "critical": "attention"}
_CANONICAL: Final = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What of an alert is told? `url` is absolute; `raised_at` RFC 3339, UTC."""

    id: str
    kind: str
    severity: str
    subject: str
    title: str
    detail: str
    state: str
    raised_at: str
    url: str
    evidence: Mapping[str, Any]
    event: str

    @property
    def headline(self) -> str:
        """The sentence, marked when it was fired by hand."""
        if self.event == "test":
            return f"Test: {self.title}"
        return f"Resolved: {self.title}" if self.event == "resolved" else self.title


def webhook_body(told: Told) -> bytes:
    """Which bytes are posted and signed? `type`, `timestamp`, `data`.

    `data.event` is the name that peers of the LiteLLM family use, where there is one.
    """
    kind = KINDS.get(told.kind)
    return _CANONICAL(
        {
            "type": event_type_of(told.kind),
            "timestamp": told.raised_at,
            "data": {
                "id": told.id,
                "event": (kind.peer_event if kind else "") or told.kind,
                "kind": told.kind,
                "severity": told.severity,
                "subject": told.subject,
                "title": told.title,
                "detail": told.detail,
                "state": "resolved" if told.event == "resolved" else "raised",
                "test": told.event == "test",
                "url": told.url,
                "evidence": dict(told.evidence),
            },
        }
    )


def slack_body(all_told: Sequence[Told]) -> bytes:
    """Which message has a Slack room? `text` as the fallback, `blocks` to look at."""
    first = all_told[0]
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": _cut(_headline(all_told), SLACK_HEADER_MOST),
                "emoji": False,
            },
        }
    ]
    for told in all_told:
        text = f"*{_slack(told.headline)}*\n{_slack(_cut(told.detail, _DETAIL_MOST))}"
        text = _cut(text, SLACK_TEXT_MOST - 400)
        blocks.append(
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": f"{text}\n<{told.url}|Open in o10>"},
            }
        )
        blocks.append(
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": _slack(_line(told))}],
            }
        )
    fallback = f"{_headline(all_told)} {first.url}"
    return _CANONICAL({"text": _slack(fallback), "blocks": blocks})


def teams_body(all_told: Sequence[Told]) -> bytes:
    """Which message has a Teams channel (Workflows)? One Adaptive Card 1.4."""
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _markdown(_headline(all_told)),
            "weight": "Bolder",
            "size": "Medium",
            "wrap": True,
            "color": _COLOURS[_worst(all_told)].capitalize(),
        }
    ]
    for told in all_told:
        if len(all_told) > 1:
            body.append(
                {
                    "type": "TextBlock",
                    "text": _markdown(told.headline),
                    "weight": "Bolder",
                    "wrap": True,
                    "separator": True,
                }
            )
        body.append(
            {
                "type": "TextBlock",
                "text": _markdown(_cut(told.detail, _DETAIL_MOST)) or " ",
                "wrap": True,
            }
        )
        body.append(
            {
                "type": "TextBlock",
                "text": _markdown(_line(told)),
                "isSubtle": True,
                "wrap": True,
            }
        )
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": "Open in o10", "url": told.url}
            for told in all_told[:1]
        ],
    }
    return _CANONICAL(
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": card,
                }
            ],
        }
    )


def mail_of(
    all_told: Sequence[Told], *, company: str, settings_url: str
) -> tuple[str, str, str]:
    """Which subject, text and HTML has the mail? Names are text, never markup."""
    subject = _cut(" ".join(f"{company}: {_headline(all_told)}".split()), 180)
    lines: list[str] = []
    parts: list[str] = []
    for told in all_told:
        lines += [told.headline, told.detail, _line(told), told.url, ""]
        parts.append(
            f"<h2 style='font-size:16px;margin:24px 0 4px'>{escape(told.headline)}</h2>"
            f"<p style='margin:0 0 4px'>{escape(told.detail)}</p>"
            f"<p style='margin:0 0 4px;color:#475467'>{escape(_line(told))}</p>"
            f"<p style='margin:0'><a href='{escape(told.url)}'>Open in o10</a></p>"
        )
    foot = f"Who is told of what: {settings_url}"
    text = "\n".join([*lines, "--", foot, ""])
    html = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>"
        f"{escape(subject)}</title></head><body style='font:14px/1.45 system-ui,sans-serif;"
        f"color:#101828;max-width:640px'>{''.join(parts)}"
        f"<hr><p style='color:#5d6b82'><a href='{escape(settings_url)}'>"
        "Who is told of what</a></p></body></html>"
    )
    return subject, text, html


def _headline(all_told: Sequence[Told]) -> str:
    first = all_told[0].headline
    rest = len(all_told) - 1
    if not rest:
        return first
    return f"{rest + 1} alerts: {first}"


def _line(told: Told) -> str:
    return f"{told.severity} · {title_of(told.kind)} · {told.raised_at}"


def _worst(all_told: Sequence[Told]) -> str:
    order = list(_COLOURS)
    return max((told.severity for told in all_told), key=order.index)


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown(text: str) -> str:
    """A card's text is a little Markdown: signs of it are taken for what they are."""
    for sign in ("\\", "*", "_", "[", "]", "`"):
        text = text.replace(sign, f"\\{sign}")
    return text


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
