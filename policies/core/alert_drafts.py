"""What may be asked of alert rules and channels, and which of it can never hold?

Thresholds travel as text in the unit of their kind: a share ("0.8"), a multiple ("3"), an
amount ("250.00"), whole seconds or calls; inside they are integers.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import AmountMalformed, amount_text, parse_nanos
from policies.core.alert_kinds import KINDS, MADE_BY_HAND, AlertKind, Severity, Unit

CHANNEL_KINDS: Final = ("email", "slack", "teams", "webhook")
CHANNEL_STATES: Final = ("active", "disabled", "retired")
RULE_STATES: Final = ("active", "paused", "retired")
NAME_MOST: Final = 120
MAILS_MOST: Final = 10
CHANNELS_MOST: Final = 20
SHARE_MOST: Final = 100
"""A share or multiple of a hundred at most."""
COUNT_MOST: Final = 1_000_000_000
_SHARE: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.A)
_COUNT: Final = re.compile(r"[0-9]{1,10}", re.A)
_MAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}", re.A)


class ChannelDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Where shall alerts go? `target`: addresses with commas between, or the URL."""

    name: str
    kind: str
    target: str
    least_severity: str = "info"


class ChannelChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a channel shall change? UNSET stays as it is."""

    name: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    least_severity: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: str = ""


class AlertRuleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be watched? `threshold` None = that of the kind; `channels` empty = all."""

    name: str
    kind: str
    scope_kind: str = "company"
    scope_slug: str = ""
    threshold: str | None = None
    window: str = ""
    severity: str = ""
    channels: tuple[str, ...] = ()


class AlertRuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a rule shall change? UNSET stays as it is."""

    name: str | UnsetType = UNSET
    threshold: str | UnsetType | None = UNSET
    severity: str | UnsetType = UNSET
    channels: tuple[str, ...] | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: str = ""


def threshold_of(kind: AlertKind, text: str) -> int:
    """Which integer is this threshold, in the unit of the kind?

    Raises: ValidationFailed (`validation_failed`) with `/threshold`.
    """
    text = text.strip()
    if kind.unit is Unit.NANOS:
        try:
            nanos = parse_nanos(text.replace(",", ""))
        except AmountMalformed as error:
            raise _failed("/threshold", "bad_format", "An amount such as 250.00.") from error
        if nanos < 0:
            raise _failed("/threshold", "out_of_range", "An amount is not negative.")
        return nanos
    if kind.unit is Unit.PPM:
        if _SHARE.fullmatch(text):
            whole, _, rest = text.partition(".")
            ppm = int(whole) * 1_000_000 + int(rest.ljust(6, "0") or "0")
            if 0 < ppm <= SHARE_MOST * 1_000_000:
                return ppm
        message = "A share or multiple such as 0.8 or 3, above 0 and at most 100."
        raise _failed("/threshold", "out_of_range", message)
    if _COUNT.fullmatch(text) and 0 < int(text) <= COUNT_MOST:
        return int(text)
    raise _failed("/threshold", "out_of_range", f"A whole number of {kind.unit.value}.")


def threshold_text(kind: AlertKind | None, value: int | None) -> str | None:
    """How is this threshold written? The inverse of `threshold_of`."""
    if value is None or kind is None:
        return None
    if kind.unit is Unit.NANOS:
        return amount_text(value)
    if kind.unit is Unit.PPM:
        whole, rest = divmod(value, 1_000_000)
        return f"{whole}.{rest:06}".rstrip("0").rstrip(".")
    return str(value)


def check_channel(draft: ChannelDraft | ChannelChange) -> None:
    """Can there be such a channel? The URL itself is looked at by `webhook_target`.

    Raises: ValidationFailed with every mistake at once.
    """
    errors = [
        *_name_errors(draft.name),
        *_severity_errors(draft.least_severity, "least_severity"),
    ]
    if isinstance(draft, ChannelDraft):
        if draft.kind not in CHANNEL_KINDS:
            errors.append(_wrong("/kind", "unknown", f"One of {', '.join(CHANNEL_KINDS)}."))
    elif draft.state is not UNSET and draft.state not in CHANNEL_STATES:
        errors.append(_wrong("/state", "unknown", f"One of {', '.join(CHANNEL_STATES)}."))
    _raise(errors)


def check_mails(target: str) -> str:
    """Which addresses are these, written plainly?

    Raises: ValidationFailed with `/target`.
    """
    found = [each.strip() for each in target.split(",") if each.strip()]
    if not 0 < len(found) <= MAILS_MOST or not all(map(_MAIL.fullmatch, found)):
        message = f"One to {MAILS_MOST} e-mail addresses with commas between."
        raise _failed("/target", "bad_format", message)
    return ",".join(found)


def check_rule(draft: AlertRuleDraft | AlertRuleChange, *, kind: AlertKind | None) -> None:
    """Can there be such a rule?

    Raises: ValidationFailed with every mistake at once.
    """
    errors = list(_name_errors(draft.name))
    if isinstance(draft, AlertRuleDraft):
        errors += _draft_errors(draft)
    else:
        errors += _severity_errors(draft.severity, "severity")
        if draft.state is not UNSET and draft.state not in RULE_STATES:
            errors.append(_wrong("/state", "unknown", f"One of {', '.join(RULE_STATES)}."))
    channels = draft.channels
    if channels is not UNSET and len(channels) > CHANNELS_MOST:
        errors.append(_wrong("/channels", "too_many", f"At most {CHANNELS_MOST} channels."))
    if kind is not None and isinstance(draft.threshold, str):
        try:
            threshold_of(kind, draft.threshold)
        except ValidationFailed as failure:
            errors += failure.errors
    _raise(errors)


def _draft_errors(draft: AlertRuleDraft) -> Iterable[FieldError]:
    kind = KINDS.get(draft.kind)
    if kind is None or kind not in MADE_BY_HAND:
        names = ", ".join(each.name for each in MADE_BY_HAND)
        yield _wrong("/kind", "unknown", f"One of {names}.")
        return
    if draft.scope_kind not in kind.scopes:
        message = f"This kind is watched for {', '.join(kind.scopes)}."
        yield _wrong("/scope/kind", "unknown", message)
    if (draft.scope_kind == "company") == bool(draft.scope_slug):
        message = "The company has no slug; everything else is named by its own."
        yield _wrong("/scope/slug", "required", message)
    if len(draft.scope_slug) > 128:
        yield _wrong("/scope/slug", "too_long", "At most 128 characters.")
    if draft.window and draft.window not in kind.windows:
        message = f"Once per {' or '.join(kind.windows)}."
        yield _wrong("/window", "unknown", message)
    if draft.severity:
        yield from _severity_errors(draft.severity, "severity")
    if draft.threshold is None and kind.threshold is None:
        yield _wrong("/threshold", "required", "This kind needs a threshold.")


def _name_errors(name: str | UnsetType) -> Iterable[FieldError]:
    if name is UNSET:
        return
    if not 0 < len(name.strip()) <= NAME_MOST or any(ord(each) < 32 for each in name):
        yield _wrong("/name", "length", f"A name has 1 to {NAME_MOST} plain characters.")


def _severity_errors(severity: str | UnsetType, field: str) -> Iterable[FieldError]:
    if severity is not UNSET and severity not in tuple(Severity):
        yield _wrong(f"/{field}", "unknown", f"One of {', '.join(Severity)}.")


def _wrong(pointer: str, code: str, message: str) -> FieldError:
    return FieldError(pointer, code, message)


def _failed(pointer: str, code: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(pointer, code, message)])


def _raise(errors: Iterable[FieldError]) -> None:
    found = list(errors)
    if found:
        raise ValidationFailed(errors=found)
