"""How does a table leave as CSV?

Raw numbers, dot decimal, ISO dates, one header row; a text that a sheet would run is quoted.
"""

import csv
import io
from datetime import date, datetime

from o10.kernel.figures import csv_money, csv_text
from reports.core.table import Kind, Table, Value


def to_csv(table: Table) -> str:
    """Which text is this table? Lines end in CRLF (RFC 4180)."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([column.key for column in table.columns])
    kinds = [column.kind for column in table.columns]
    for row in table.rows:
        writer.writerow([_cell(value, kind) for value, kind in zip(row, kinds, strict=True)])
    return written.getvalue()


def _cell(value: Value, kind: Kind) -> str:
    if value is None:
        return ""
    if kind is Kind.MONEY and isinstance(value, int):
        return csv_money(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return csv_text(value) if isinstance(value, str) else str(value)
