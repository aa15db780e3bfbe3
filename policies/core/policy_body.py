"""Which bytes has a policy, and which a change of it? Rule by rule, so that one is enough.

The body is canonical JSON (sorted keys, no spaces, ASCII) and its SHA-256 names the policy in
every decision. It is the texts of its rules in order of their numbers, put between fixed words:
a change of one rule writes one text anew and hashes the rest as it lies there.
A change is the rules that read otherwise from one version to the next, whole; rules never go.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from policies.core.rules import EnvelopeRule, PolicyRows, UseCaseRule

FORMAT = "o10-policy-v1"
CHANGE_FORMAT = "o10-policy-change-v1"
_Rule = TypeVar("_Rule", UseCaseRule, EnvelopeRule)
_HEAD, _MIDDLE, _TAIL = b'{"envelopes":[', b'],"format":"%s","use_cases":[', b"]}"


class _Body(msgspec.Struct, frozen=True):
    """What stands in a body or a change? The rules unread, so that they are read one by one."""

    format: str
    envelopes: list[msgspec.Raw]
    use_cases: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class RuleTexts:
    """How is each rule written? By its number, ascending."""

    use_cases: dict[int, bytes]
    envelopes: dict[int, bytes]

    def changed(self, rows: PolicyRows) -> "RuleTexts":
        """How do the rules read when these have taken the place of those of their number?"""
        return RuleTexts(
            _merged(self.use_cases, {rule.id: text_of(rule) for rule in rows.use_cases}),
            _merged(self.envelopes, {rule.id: text_of(rule) for rule in rows.envelopes}),
        )


def write_rules(rows: PolicyRows) -> RuleTexts:
    """How is each of these rules written?"""
    return RuleTexts({}, {}).changed(rows)


def body_of(texts: RuleTexts) -> str:
    """Which canonical JSON is the whole policy?"""
    return b"".join(_pieces(texts, FORMAT)).decode()


def hash_of(texts: RuleTexts) -> str:
    """Which hex SHA-256 has the body? Computed without putting it together."""
    digest = sha256()
    for piece in _pieces(texts, FORMAT):
        digest.update(piece)
    return digest.hexdigest()


def change_of(rows: PolicyRows) -> str:
    """How is a change written down? The rules that read otherwise than before."""
    return b"".join(_pieces(write_rules(rows), CHANGE_FORMAT)).decode()


def read_body(text: str) -> PolicyRows:
    """Which rules does a body, or a change, say?

    Raises: msgspec.DecodeError for what is neither; only a damaged row is.
    """
    body = _BODY.decode(text)
    if body.format not in (FORMAT, CHANGE_FORMAT):
        raise msgspec.DecodeError(f"{body.format} is no format of a policy")
    return PolicyRows(
        use_cases=[_USE_CASE.decode(each) for each in body.use_cases],
        envelopes=[_ENVELOPE.decode(each) for each in body.envelopes],
    )


def join_changes(changes: Sequence[PolicyRows]) -> PolicyRows:
    """What do several changes say together, oldest first? The newest text of each rule."""
    use_cases = {rule.id: rule for change in changes for rule in change.use_cases}
    envelopes = {rule.id: rule for change in changes for rule in change.envelopes}
    return PolicyRows(list(use_cases.values()), list(envelopes.values()))


def difference(*, before: PolicyRows, after: PolicyRows) -> PolicyRows | None:
    """Which rules read otherwise? None when a rule is gone, which no change can say."""
    use_cases = _differing(before.use_cases, after.use_cases)
    envelopes = _differing(before.envelopes, after.envelopes)
    if use_cases is None or envelopes is None:
        return None
    return PolicyRows(use_cases, envelopes)


def text_of(rule: UseCaseRule | EnvelopeRule) -> bytes:
    """Which canonical JSON has one rule?"""
    names = _USE_CASE_NAMES if isinstance(rule, UseCaseRule) else _ENVELOPE_NAMES
    said = {name: getattr(rule, name) for name in names}
    if isinstance(rule, UseCaseRule):
        # Unsaid where there are none: rules from before there were any keep their bytes.
        levers, models = said.pop("levers"), said.pop("models")
        if levers:
            said["levers"] = [asdict(lever) for lever in levers]
        if models is not None:
            said["models"] = [asdict(model) for model in models]
    return _canonical(said).encode()


def _differing(before: Sequence[_Rule], after: Sequence[_Rule]) -> list[_Rule] | None:
    known = {rule.id: rule for rule in before}
    if not known.keys() <= {rule.id for rule in after}:
        return None
    return [rule for rule in after if known.get(rule.id) != rule]


def _merged(known: dict[int, bytes], changed: dict[int, bytes]) -> dict[int, bytes]:
    """Numbers only grow, so that what is new mostly belongs at the end."""
    if not changed:
        return known
    merged = {**known, **changed}
    fresh = sorted(number for number in changed if number not in known)
    behind = not fresh or not known or fresh[0] > next(reversed(known))
    in_order = behind and fresh == [number for number in changed if number not in known]
    return merged if in_order else dict(sorted(merged.items()))


def _pieces(texts: RuleTexts, form: str) -> Iterator[bytes]:
    yield _HEAD
    yield b",".join(texts.envelopes.values())
    yield _MIDDLE % form.encode()
    yield b",".join(texts.use_cases.values())
    yield _TAIL


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a policy")


def _names(kind: type[Any]) -> Iterable[str]:
    return tuple(sorted(field.name for field in fields(kind)))


_USE_CASE_NAMES, _ENVELOPE_NAMES = _names(UseCaseRule), _names(EnvelopeRule)
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain).encode
_BODY = msgspec.json.Decoder(_Body)
_USE_CASE = msgspec.json.Decoder(UseCaseRule)
_ENVELOPE = msgspec.json.Decoder(EnvelopeRule)
