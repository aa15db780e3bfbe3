"""What happened without being asked first? Usage records, native or as CloudEvents 1.0.

A venue that cannot ask first reports afterwards. `source` + `id` of a record is its
idempotency key for good. CloudEvents come structured, as a batch, or binary with `ce-*`
headers; the generic meter shape of metering peers (`data.tokens` + `data.type`, subject =
customer) is accepted too.
Source: contract.md section 4.2; CloudEvents 1.0.2; docs at https://cloudevents.io.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from o10.kernel.errors import (
    FieldError,
    MalformedBody,
    TooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)
from o10.kernel.usage import Disjoint, disjoint
from o10.wire import fields as f
from o10.wire.decoding import MAX_ERRORS, mistakes, parse
from o10.wire.requests import (
    CacheHit,
    Finish,
    OutcomeFact,
    ProviderCost,
    Purpose,
)

MAX_USAGE_BYTES = 16 * 1024 * 1024
NATIVE = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
USAGE_EVENT = "io.o10.usage.recorded.v1"

_METERS = {
    "input": "input_tokens",
    "prompt": "input_tokens",
    "output": "output_tokens",
    "completion": "output_tokens",
}
_YEARS = range(2000, 2201)


class BulkCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What did the provider count, in one call or in many?

    Units: as `UsageCounts` (inclusive tokens), up to 10^12 where a record stands for many
    calls. `requests` are billed requests; left out, they are the calls of the record.
    """

    input_tokens: f.BulkTokens
    output_tokens: f.BulkTokens
    cached_input_tokens: f.BulkTokens = 0
    cache_write_tokens: f.BulkTokens = 0
    cache_write_1h_tokens: f.BulkTokens = 0
    reasoning_tokens: f.BulkTokens = 0
    audio_input_tokens: f.BulkTokens = 0
    audio_output_tokens: f.BulkTokens = 0
    image_input_tokens: f.BulkTokens = 0
    image_output_tokens: f.BulkTokens = 0
    requests: f.Tokens | None = None

    @property
    def largest(self) -> int:
        """How many tokens has the largest count?"""
        names = [name for name in self.__struct_fields__ if name != "requests"]
        return max(int(getattr(self, name)) for name in names)


class UsageCode(StrEnum):
    """Why was nobody asked before it was spent?"""

    FAIL_OPEN = "FAIL_OPEN"
    """The router's fail mode let it go while o10 could not decide (reason 604)."""


class FailOpenFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which outage did the call go out? From the first failure to the first success.

    `estimated`: nobody said what it used, the counts are the most it could use.
    """

    since: Annotated[datetime, msgspec.Meta(tz=True)]
    until: Annotated[datetime, msgspec.Meta(tz=True)]
    estimated: bool = False

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ValueError("`until` is not before `since`")


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was used, when, by whom, for which use case?

    Units: tokens, inclusive; `at` is the usage instant with its offset; `calls` how many
    calls the record stands for (above 1 only for imported aggregates); `latency_ms`
    milliseconds. Without `use_case` the spend goes to the quarantine envelope. `key` of the
    record is `source` + `id`.
    """

    id: f.Name
    source: f.Name = "api"
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    usage: BulkCounts
    calls: f.Count = 1
    model: f.Name
    venue: f.Name | None = None
    use_case: f.Name | None = None
    region: f.Word | None = None
    service_tier: f.Word | None = None
    environment: f.Word | None = None
    customer: f.Name | None = None
    run_id: f.Name | None = None
    step: f.Step | None = None
    step_kind: f.Word | None = None
    task_type: f.Word | None = None
    prompt_version: f.Label | None = None
    attempt: f.Attempt = 1
    status: Finish = Finish.OK
    purpose: Purpose = Purpose.SERVE
    cache: CacheHit | None = None
    latency_ms: f.Milliseconds | None = None
    provider_request_id: f.Word | None = None
    provider_cost: ProviderCost | None = None
    outcome: OutcomeFact | None = None
    tags: f.Tags = {}
    # Left out, they leave no trace in the bytes that an idempotency key is bound to.
    code: UsageCode | msgspec.UnsetType = msgspec.UNSET
    fail_open: FailOpenFact | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.code is msgspec.UNSET) is not (self.fail_open is msgspec.UNSET):
            raise ValueError("`code` and `fail_open` come together")
        if self.at.year not in _YEARS:
            raise ValueError("`at` lies between the years 2000 and 2200")
        if self.calls == 1 and self.usage.largest > f.MAX_TOKENS:
            raise ValueError(f"one call has at most {f.MAX_TOKENS} tokens of a kind")

    def disjoint(self) -> Disjoint:
        """Which billing classes are these, and do they agree with each other?"""
        counts = {name: getattr(self.usage, name) for name in self.usage.__struct_fields__}
        if counts["requests"] is None:
            counts["requests"] = self.calls
        return disjoint(**counts)

    @property
    def key(self) -> str:
        """Which idempotency key has it? Source, line feed, id: neither has one inside."""
        return f"{self.source}\n{self.id}"


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Which event is it? Extension attributes are allowed and not kept."""

    id: f.Name
    source: f.Name
    type: f.Name
    specversion: f.Word
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    subject: f.Name | None = None
    datacontenttype: f.Name | None = None
    dataschema: f.Name | None = None
    data: dict[str, Any]


def decode_usage(
    body: bytes, *, content_type: str, event_attributes: Mapping[str, str] | None = None
) -> tuple[UsageRecord, ...]:
    """Which usage records does this body hold? All of them, or every mistake.

    Shape: `application/json` with one record or an array of at most 10,000 (an object with
    `specversion` is read as an event); structured and batch CloudEvents; `event_attributes`
    are the `ce-*` headers (without the prefix) of binary mode, whose body is the record.
    Raises: TooLarge (`too_large`) above 16 MiB; UnsupportedMediaType; MalformedBody;
    ValidationFailed (`validation_failed`) with pointers such as `/3/usage/input_tokens`, also
    when a key (`source` + `id`) comes twice with different content, or there are too many or
    no records.
    """
    if len(body) > MAX_USAGE_BYTES:
        raise TooLarge(limit_bytes=MAX_USAGE_BYTES)
    media = content_type.partition(";")[0].strip().lower()
    if media not in (NATIVE, STRUCTURED, BATCH):
        raise UnsupportedMediaType(got=media[:64], accepted=(NATIVE, STRUCTURED, BATCH))
    if media == NATIVE and event_attributes is None:
        records = _native(body)
        if records is not None:
            return _without_clashes(records)
    raw = parse(body)
    if event_attributes is not None:
        attributes = {name: unquote(value) for name, value in event_attributes.items()}
        raw = {"specversion": "", **attributes, "data": raw}
    return _without_clashes(_read(_rows(raw, media)))


def _native(body: bytes) -> list[UsageRecord] | None:
    # The fast path of bulk ingest: one decode for the whole array, no dictionaries in between.
    try:
        records = _RECORDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return records if 1 <= len(records) <= f.MAX_ROWS else None


def _rows(raw: Any, media: str) -> list[tuple[str, Any]]:
    if isinstance(raw, list) and media != STRUCTURED:
        if not 1 <= len(raw) <= f.MAX_ROWS:
            message = f"From 1 to {f.MAX_ROWS} records, got {len(raw)}."
            raise ValidationFailed(errors=[FieldError("", "too_many", message)])
        return [(f"/{index}", row) for index, row in enumerate(raw)]
    if isinstance(raw, dict) and media != BATCH:
        return [("", raw)]
    raise MalformedBody(expected="an array of events" if media == BATCH else "a record")


def _read(rows: list[tuple[str, Any]]) -> list[UsageRecord]:
    records: list[UsageRecord] = []
    found: list[FieldError] = []
    for at, row in rows:
        problems, record = _one(row, at)
        found += problems
        if record is not None:
            records.append(record)
        if len(found) >= MAX_ERRORS:
            break
    if found:
        raise ValidationFailed(errors=found[:MAX_ERRORS])
    return records


def _one(row: Any, at: str) -> tuple[list[FieldError], UsageRecord | None]:
    if not isinstance(row, dict):
        return [FieldError(at, "wrong_type", "Expected an object.")], None
    if "specversion" in row:
        problems = mistakes(CloudEvent, row, at) or _event_mistakes(row, at)
        if problems:
            return problems, None
        row, at = _record_of(msgspec.convert(row, CloudEvent)), f"{at}/data"
    problems = mistakes(UsageRecord, row, at)
    if problems:
        return problems, None
    return [], msgspec.convert(row, UsageRecord, strict=True)


def _event_mistakes(row: dict[str, Any], at: str) -> list[FieldError]:
    found = []
    if row["specversion"] != "1.0":
        found.append(FieldError(f"{at}/specversion", "not_a_choice", "One of 1.0."))
    if row["type"] != USAGE_EVENT and not _is_meter(row["data"]):
        found.append(FieldError(f"{at}/type", "not_a_choice", f"One of {USAGE_EVENT}."))
    return found


def _is_meter(event_data: dict[str, Any]) -> bool:
    return event_data.get("type") in _METERS and "tokens" in event_data


def _record_of(event: CloudEvent) -> dict[str, Any]:
    record = dict(event.data)
    if _is_meter(record):
        record = _meter(record)
        record.setdefault("customer", event.subject)
    elif event.subject is not None and not event.subject.startswith("env_"):
        record.setdefault("use_case", event.subject)
    if event.time is not None:
        record["at"] = event.time.isoformat()
    record["id"], record["source"] = event.id, event.source
    return record


def _meter(event_data: dict[str, Any]) -> dict[str, Any]:
    record = dict(event_data)
    counts = {"input_tokens": 0, "output_tokens": 0}
    counts[_METERS[record.pop("type")]] = _number(record.pop("tokens"))
    record["usage"] = counts
    return record


def _number(tokens: Any) -> Any:
    # Metering peers send numbers as text; anything else is left for the field's own check.
    if isinstance(tokens, str) and re.fullmatch(r"[0-9]{1,10}", tokens):
        return int(tokens)
    return tokens


def _without_clashes(records: list[UsageRecord]) -> tuple[UsageRecord, ...]:
    """Is each key there once? A record sent twice is one; two contents are a mistake."""
    by_key: dict[str, UsageRecord] = {}
    found = []
    for index, record in enumerate(records):
        first = by_key.setdefault(record.key, record)
        if first != record:
            message = "The same source and id came before with other content."
            found.append(FieldError(f"/{index}/id", "duplicate_key", message))
    if found:
        raise ValidationFailed(errors=found[:MAX_ERRORS])
    return tuple(by_key.values())


_RECORDS = msgspec.json.Decoder(list[UsageRecord], strict=True)
