"""How are the rows of a CSV or JSON export read one by one?

CSV: RFC 4180, UTF-8, one header row. JSON: a page, a list of pages or of rows, or one object a
line; numbers keep their digits. A file is streamed by line; a single JSON document is read as a
whole, up to 64 MiB.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, TextIO

from ledger.operations.importers.rows import FileRejected

JSON_MOST: Final = 64 * 1024 * 1024
CELL_MOST: Final = 64 * 1024


def csv_rows(
    stream: TextIO, *, source: str, needs: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Which rows has this CSV: number as a person counts, and cells by column?

    A row with too many or too few cells has the reason under the key `bad_row`.
    Raises: FileRejected (`file_rejected`) without a header, or without a needed column.
    """
    csv.field_size_limit(CELL_MOST)
    reader = csv.reader(stream)
    try:
        header = next(reader, None)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileRejected(source=source, what="it can't be read as UTF-8 CSV") from error
    if not header:
        raise FileRejected(source=source, what="it is empty")
    names = [name.strip().lstrip("\ufeff") for name in header]
    missing = [name for name in needs if name not in names]
    if missing:
        raise FileRejected(source=source, what=f"column {missing[0]} is missing")
    while True:
        try:
            cells = next(reader, None)
        except (csv.Error, UnicodeDecodeError) as error:
            yield reader.line_num, {"bad_row": f"The row can't be read: {error}"[:200]}
            if isinstance(error, UnicodeDecodeError):
                return
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            told = f"It has {len(cells)} cells, the header {len(names)}."
            yield reader.line_num, {"bad_row": told}
        else:
            yield reader.line_num, dict(zip(names, cells, strict=True))


def json_documents(stream: TextIO, *, source: str) -> Iterator[Any]:
    """Which JSON documents has this file: the only one, or one a line?

    Raises: FileRejected (`file_rejected`) for what is no JSON, or one document above 64 MiB.
    """
    first = ""
    while not first:
        line = stream.readline(JSON_MOST)
        if not line:
            raise FileRejected(source=source, what="it is empty")
        first = line.strip().lstrip("\ufeff")
    lone = _parsed(first)
    if lone is not None:
        yield lone
        for line in stream:
            if line.strip():
                yield _parsed(line) or {"bad_row": "The line is no JSON."}
        return
    rest = stream.read(JSON_MOST + 1)
    if len(first) + len(rest) > JSON_MOST:
        raise FileRejected(source=source, what="one JSON document above 64 MiB: one a line")
    whole = _parsed(f"{first}\n{rest}")
    if whole is None:
        raise FileRejected(source=source, what="it is no JSON")
    yield whole


def rows_in(document: Any) -> Iterator[dict[str, Any]]:
    """Which buckets or rows stand in this document: a page's `data`, a list, itself?"""
    if isinstance(document, list):
        for each in document:
            yield from rows_in(each)
    elif isinstance(document, dict):
        inside = document.get("data")
        if isinstance(inside, list):
            yield from rows_in(inside)
        else:
            yield document
    else:
        yield {"bad_row": "Expected an object."}


def bucket_results(
    stream: TextIO, *, source: str, start: str, end: str
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Which results stand in which buckets of these pages: number, bucket, result?

    A bucket without `start`, `end` or `results` has a result with the reason under `bad_row`.
    """
    number = 0
    for document in json_documents(stream, source=source):
        for bucket in rows_in(document):
            results = bucket.get("results")
            if start not in bucket or end not in bucket or not isinstance(results, list):
                number += 1
                told = bucket.get("bad_row") or f"No bucket with {start}, {end} and results."
                yield number, bucket, {"bad_row": str(told)}
                continue
            for result in results:
                number += 1
                good = isinstance(result, dict)
                yield number, bucket, result if good else {"bad_row": "Expected an object."}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=str)
    except (ValueError, RecursionError):
        return None
