"""Which requests does a public trace hold? Rows of a CSV (gzip too) as calls with token counts.

Formats are told apart by their header: Azure LLM 2023, Mooncake, BurstGPT, ServeGen rates.
Source, on GitHub: Azure/AzurePublicDataset, kvcache-ai/Mooncake, HPMLL/BurstGPT,
alibaba/ServeGen.
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from o10.kernel.errors import FieldError, ValidationFailed


@dataclass(frozen=True, slots=True)
class TraceCall:
    """When was one call made (seconds from the start of the trace), and how large was it?"""

    number: int
    at_seconds: float
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int


Row = Mapping[str, str]


def read_trace(path: Path) -> Iterator[TraceCall]:
    """Which calls are in this file? In file order, numbered from 1.

    Raises: ValidationFailed (`validation_failed`) for an unknown header or a bad row, with its
    line number.
    """
    with _open(path) as lines:
        rows = csv.DictReader(lines)
        header = tuple(rows.fieldnames or ())
        read = next((read for names, read in FORMATS if set(names) <= set(header)), None)
        if read is None:
            raise ValidationFailed(errors=(FieldError("/0", "header", _known(header)),))
        number = 0
        start: float | None = None
        for line, row in enumerate(rows, start=2):
            try:
                at, calls = read(row)
            except (ValueError, TypeError, KeyError) as error:
                problem = FieldError(f"/{line}", "bad_row", str(error))
                raise ValidationFailed(errors=(problem,)) from error
            start = at if start is None else start
            for fresh, cached, output in calls:
                number += 1
                yield TraceCall(number, at - start, fresh, cached, output)


Sizes = list[tuple[int, int, int]]
"""Input tokens (cached included), cached input tokens, output tokens of each call of a row."""


def _azure(row: Row) -> tuple[float, Sizes]:
    stamp, _, fraction = row["TIMESTAMP"].partition(".")
    second = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    at = second + float(f"0.{fraction or 0}")
    return at, [(int(row["ContextTokens"]), 0, int(row["GeneratedTokens"]))]


def _mooncake(row: Row) -> tuple[float, Sizes]:
    cached = int(row["prefix_cached_tokens_infinite_cache"])
    at = int(row["timestamp_ms"]) / 1000
    return at, [(int(row["input_tokens"]), cached, int(row["output_tokens"]))]


def _burstgpt(row: Row) -> tuple[float, Sizes]:
    at = float(row["Timestamp"])
    return at, [(int(row["Request tokens"]), 0, int(row["Response tokens"]))]


def _servegen(row: Row) -> tuple[float, Sizes]:
    """Hourly totals: as many calls as the hour had, of the mean size, rests to the first."""
    count = int(float(row["requests"]))
    total_in, total_out = int(float(row["input_tokens"])), int(float(row["output_tokens"]))
    if count <= 0:
        return float(row["hour"]) * 3600, []
    calls = [(total_in // count, 0, total_out // count)] * count
    first = (total_in // count + total_in % count, 0, total_out // count + total_out % count)
    return float(row["hour"]) * 3600, [first, *calls[1:]]


FORMATS: tuple[tuple[tuple[str, ...], Callable[[Row], tuple[float, Sizes]]], ...] = (
    (("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _azure),
    (("timestamp_ms", "input_tokens", "prefix_cached_tokens_infinite_cache"), _mooncake),
    (("Timestamp", "Request tokens", "Response tokens"), _burstgpt),
    (("hour", "requests", "input_tokens", "output_tokens"), _servegen),
)


def _known(header: tuple[str, ...]) -> str:
    wanted = "; ".join(", ".join(names) for names, _ in FORMATS)
    return f"columns {', '.join(header) or 'none'} are no known trace; known: {wanted}"


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
