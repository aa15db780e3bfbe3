"""What does a person ask of an envelope by the form, and how is a refusal told?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from o10.kernel import figures
from o10.kernel.errors import (
    FieldError,
    IdempotencyMismatch,
    O10Error,
    PreconditionFailed,
    ValidationFailed,
)
from o10.kernel.money import parse_nanos
from o10.kernel.periods import day_start, zone_of
from policies import facade
from policies.web.shown_envelope_change import Problem, Typed

REASON_MOST = 400


@dataclass(frozen=True, slots=True)
class Asked:
    """Which change, under which key, of which version, and how is it told once done?"""

    change: facade.EnvelopeChange
    key: str
    version: int | None
    done: str
    until: datetime | None = None


def asked_change(post: Mapping[str, str], *, typed: Typed) -> Asked:
    """Which change does this form ask for?

    Raises: ValidationFailed (`validation_failed`) with `/amount` or `/reason`;
    AmountMalformed.
    """
    key, version = post.get("key", "")[:64], post.get("version", "")
    number = int(version) if version.isdecimal() and len(version) < 10 else None
    reason = typed.reason.strip()
    if not reason:
        message = "Say why: the reason is kept with the change."
        raise ValidationFailed(errors=[FieldError("/reason", "required", message)])
    match post.get("do", "amount"):
        case "freeze":
            change = facade.EnvelopeChange(state="frozen", reason=reason)
            return Asked(change, key, number, "Frozen: the next call that needs it is denied.")
        case "thaw":
            change = facade.EnvelopeChange(state="active", reason=reason)
            return Asked(change, key, number, "It was active already.")
    amount = parse_nanos(typed.amount.replace(",", "").strip())
    change = facade.EnvelopeChange(amount_nanos=amount, reason=reason)
    until = end_of_day(typed.until) if typed.until.strip() else None
    return Asked(change, key, number, "The new cap holds from the next call on.", until)


def end_of_day(day: str) -> datetime:
    """When does a change end that holds through this day, the whole of it?

    Raises: ValidationFailed (`validation_failed`) with `/until`.
    """
    zone = zone_of(facade.organisation().time_zone)
    try:
        return day_start(date.fromisoformat(day) + timedelta(days=1), zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = "A day as 2026-11-30."
        raise ValidationFailed(errors=[FieldError("/until", "bad_time", message)]) from error


def problem_of(failure: O10Error, *, screen: facade.EnvelopeScreen) -> Problem:
    """How is this refusal told on the page? What happened, what was not done, what to do."""
    if isinstance(failure, PreconditionFailed):
        return Problem(
            "Somebody changed this envelope while you were looking at it.",
            f"Version {screen.line.version} is in force now and shown here. Your change was "
            "not entered; look again and send it once more if it still holds.",
            status=409,
        )
    if isinstance(failure, IdempotencyMismatch):
        return Problem(
            "This form was already sent with another change.",
            "The first one holds. Nothing more was entered; start again from this page.",
            status=409,
        )
    if failure.errors:
        return Problem(
            "Nothing was changed.",
            " ".join(error.message for error in failure.errors),
            tuple(error.pointer.strip("/").split("/")[0] for error in failure.errors),
            status=422,
        )
    left = failure.fields.get("left_nanos")
    if isinstance(left, int):
        room = figures.money(max(0, left), screen.currency).text
        return Problem(
            "The parent has no room for that.",
            f"At most {room} can be given here without more in the parent. Nothing was "
            "changed.",
            ("amount",),
            status=409,
        )
    return Problem(
        "The present state does not allow this.",
        f"Nothing was changed. Code {failure.code}.",
        status=409,
    )
