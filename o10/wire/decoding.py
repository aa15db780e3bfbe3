"""How does a body become a typed value, or a list of every mistake in it?

The fast path is one msgspec decode. Only when that fails the body is read a second time,
field by field, so that the caller hears about all mistakes at once, each with its JSON
pointer.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, get_args

import msgspec

from o10.kernel.errors import FieldError, MalformedBody, TooLarge, ValidationFailed

T = TypeVar("T", bound=msgspec.Struct)

MAX_ERRORS = 100
"""A body full of mistakes names this many and stops."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.S)
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_CODES = (
    (re.compile(r"missing required field"), "required"),
    (re.compile(r"unknown field"), "unknown_field"),
    (re.compile(r"Invalid enum value"), "not_a_choice"),
    (re.compile(r"of length <="), "too_long"),
    (re.compile(r"of length >="), "too_short"),
    (re.compile(r"matching regex"), "bad_format"),
    (re.compile(r"(>=|<=|<|>) -?\d|out of range"), "out_of_range"),
    (re.compile(r"Invalid RFC3339|timezone"), "bad_time"),
    (re.compile(r"got `"), "wrong_type"),
)


def decode(kind: type[T], body: bytes, *, max_bytes: int = 65_536) -> T:
    """Which value of this kind does the JSON body hold?

    Units: `max_bytes` of the body as sent.
    Raises: TooLarge (`too_large`) above `max_bytes`; MalformedBody (`malformed_body`) when it
    is no JSON object in UTF-8; ValidationFailed (`validation_failed`) with one FieldError per
    mistake: codes required, unknown_field, wrong_type, out_of_range, too_long, too_short,
    bad_format, bad_time, not_a_choice, not_a_number, invalid.
    """
    if len(body) > max_bytes:
        raise TooLarge(limit_bytes=max_bytes)
    try:
        value: T = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raw = parse(body)
        if not isinstance(raw, dict):
            raise MalformedBody(expected="a JSON object") from error
        raise ValidationFailed(errors=mistakes(kind, raw) or [_named(error, "")]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body) from error
    return value


def parse(body: bytes) -> Any:
    """Which plain JSON value is this?

    Raises: MalformedBody (`malformed_body`), also for nesting that is too deep, NaN and
    infinity.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body) from error


def _unreadable(body: bytes) -> MalformedBody | ValidationFailed:
    """Why can it not be read? NaN and Infinity, which some callers send, are named by field."""
    marker = object()
    try:
        raw = json.loads(body, parse_constant=lambda name: marker)
    except (ValueError, RecursionError):
        return MalformedBody(expected="JSON in UTF-8")
    found: list[FieldError] = []
    places = deque([("", raw)])
    while places and len(found) < MAX_ERRORS:
        pointer, value = places.popleft()
        if value is marker:
            found.append(
                FieldError(pointer, "not_a_number", "NaN and Infinity are no numbers.")
            )
        elif isinstance(value, dict):
            places += [(f"{pointer}/{_escaped(key)}", item) for key, item in value.items()]
        elif isinstance(value, list):
            places += [(f"{pointer}/{index}", item) for index, item in enumerate(value)]
    return ValidationFailed(errors=found) if found else MalformedBody(expected="JSON in UTF-8")


def mistakes(kind: type[msgspec.Struct], raw: dict[str, Any], at: str = "") -> list[FieldError]:
    """What is wrong with this object as a value of this kind? Empty when nothing is.

    Shape: in the order of the fields of `kind`, then the unknown ones; at most MAX_ERRORS.
    """
    found: list[FieldError] = []
    for error in _mistakes(kind, raw, at):
        found.append(error)
        if len(found) == MAX_ERRORS:
            break
    return found


def _mistakes(kind: type[msgspec.Struct], raw: dict[str, Any], at: str) -> Iterator[FieldError]:
    known = set()
    before = True
    for field in msgspec.structs.fields(kind):
        known.add(field.encode_name)
        pointer = f"{at}/{field.encode_name}"
        if field.encode_name not in raw:
            if field.required:
                before = False
                yield FieldError(pointer, "required", "This field is required.")
            continue
        for error in _field_mistakes(field.type, raw[field.encode_name], pointer):
            before = False
            yield error
    if kind.__struct_config__.forbid_unknown_fields:
        for name in (name for name in raw if name not in known):
            before = False
            yield FieldError(f"{at}/{_escaped(name)}", "unknown_field", "No such field.")
    if before:
        # Each field is right on its own: a rule over several fields is broken.
        try:
            msgspec.convert(raw, kind, strict=True)
        except msgspec.ValidationError as error:
            yield _named(error, at)


def _field_mistakes(annotation: Any, value: Any, pointer: str) -> Iterator[FieldError]:
    nested = _struct_in(annotation)
    if nested is not None and isinstance(value, dict):
        yield from _mistakes(nested, value, pointer)
        return
    try:
        msgspec.convert(value, annotation, strict=True)
    except msgspec.ValidationError as error:
        # msgspec names no key of a mapping, so each pair is tried alone.
        if isinstance(value, dict) and re.search(r"\[\.\.\.\]|`key`", str(error)):
            yield from _pair_mistakes(annotation, value, pointer)
        else:
            yield _named(error, pointer, annotation)


def _pair_mistakes(
    annotation: Any, value: dict[str, Any], pointer: str
) -> Iterator[FieldError]:
    for key, item in value.items():
        try:
            msgspec.convert({key: item}, annotation, strict=True)
        except msgspec.ValidationError as error:
            yield _named(error, f"{pointer}/{_escaped(key)}", annotation)


def _named(error: msgspec.ValidationError, at: str, annotation: Any = None) -> FieldError:
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    steps = "".join(
        "/" + (name or index) for name, index in _STEP.findall(path.split("[...]")[0])
    )
    code = next((code for pattern, code in _CODES if pattern.search(what)), "invalid")
    return FieldError(at + steps, code, _sentence(code, what, annotation))


def _sentence(code: str, what: str, annotation: Any) -> str:
    choices = _choices(annotation)
    if code == "not_a_choice" and choices:
        return f"One of {', '.join(choices)}."
    if code == "bad_format":
        return "The text has characters or a form that are not allowed here."
    return what.replace("`", "").replace(" | null", "").rstrip(".") + "."


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None


def _choices(annotation: Any) -> list[str]:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, Enum):
            return [str(member.value) for member in each]
    return []


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")


@lru_cache(maxsize=64)
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind, strict=True)
