"""Which sources can be imported, and what does each bring: usage or a bill?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TextIO

from ledger.operations.importers import (
    anthropic_cost,
    anthropic_usage,
    bedrock_cur,
    focus,
    generic_csv,
    litellm,
    openai_costs,
    openai_usage,
    openrouter,
    vercel,
)
from ledger.operations.importers.rows import Row, Terms
from o10.kernel.errors import FieldError, ValidationFailed

USAGE: Final = "usage"
BILL: Final = "bill"


@dataclass(frozen=True, slots=True)
class Source:
    """What is one source? `kind` empty = the file itself says; `unit` tells of the money."""

    name: str
    title: str
    kind: str
    form: str
    unit: str
    read: Callable[[TextIO, Terms], Iterator[Row]]


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Source(
                "openrouter",
                "OpenRouter activity",
                USAGE,
                "CSV",
                "USD, evidence",
                openrouter.read,
            ),
            Source(
                "openai-usage", "OpenAI usage", USAGE, "JSON", "tokens only", openai_usage.read
            ),
            Source("openai-costs", "OpenAI costs", BILL, "JSON", "dollars", openai_costs.read),
            Source(
                "anthropic-usage",
                "Anthropic usage",
                USAGE,
                "JSON",
                "tokens only",
                anthropic_usage.read,
            ),
            Source(
                "anthropic-cost", "Anthropic cost", BILL, "JSON", "cents", anthropic_cost.read
            ),
            Source(
                "bedrock-cur", "AWS Bedrock (CUR 2.0)", BILL, "CSV", "USD", bedrock_cur.read
            ),
            Source("litellm", "LiteLLM log", USAGE, "JSON", "USD, evidence", litellm.read),
            Source("vercel", "Vercel AI gateway", USAGE, "JSON", "USD, evidence", vercel.read),
            Source("focus", "FOCUS 1.0 to 1.3", BILL, "CSV", "billing currency", focus.read),
            Source("csv", "Plain CSV", "", "CSV", "currency column", generic_csv.read),
        )
    }
)


def get_source(name: str) -> Source:
    """Which source has this name?

    Raises: ValidationFailed (`validation_failed`) with the names there are.
    """
    found = SOURCES.get(name)
    if found is None:
        message = f"One of {', '.join(SOURCES)}."
        raise ValidationFailed(errors=[FieldError("/source", "not_a_choice", message)])
    return found


def kind_of(source: Source, stream: TextIO) -> str:
    """Does this file bring usage or a bill?"""
    return source.kind or generic_csv.kind_of(stream, source=source.name)
