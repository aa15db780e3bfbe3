"""How does a table leave as XLSX? One sheet of rows, one of notes; totals are live formulas.

Texts are written as texts, never as formulas or links, so that a name can't run in a sheet.
"""

import io
from datetime import date, datetime
from typing import Any

import xlsxwriter

from o10.kernel.money import NANOS_PER_UNIT
from reports.core.table import Kind, Table, Value

_WIDTHS = {Kind.TEXT: 28, Kind.MONEY: 18, Kind.COUNT: 14, Kind.INSTANT: 22, Kind.DAY: 12}


def to_xlsx(table: Table) -> bytes:
    """Which workbook is this table? Money in units, as exact as a sheet can be."""
    written = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd hh:mm:ss",
        "remove_timezone": True,
    }
    with xlsxwriter.Workbook(written, options) as book:
        book.set_properties({"title": table.title, "created": table.position_at})
        _rows(book, table)
        _notes(book, table)
    return written.getvalue()


def _rows(book: Any, table: Table) -> None:
    sheet = book.add_worksheet(table.title[:31])
    head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
    money = book.add_format({"num_format": "#,##0.00#######;-#,##0.00#######"})
    count = book.add_format({"num_format": "#,##0"})
    total = book.add_format({"bold": True, "top": 1, "num_format": "#,##0.00#######"})
    formats = {Kind.MONEY: money, Kind.COUNT: count}
    for place, column in enumerate(table.columns):
        unit = f", {table.currency}" if column.kind is Kind.MONEY else ""
        sheet.write_string(0, place, f"{column.label}{unit}", head)
        sheet.set_column(place, place, _WIDTHS[column.kind])
    for line, row in enumerate(table.rows, start=1):
        for place, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            _write(sheet, line, place, column.kind, value, formats.get(column.kind))
    sheet.freeze_panes(1, 1)
    if not table.rows:
        return
    last = len(table.rows)
    sheet.autofilter(0, 0, last, len(table.columns) - 1)
    for place, column in enumerate(table.columns):
        if column.key in table.totals:
            letter = xlsxwriter.utility.xl_col_to_name(place)
            known = table.totals[column.key]
            sheet.write_formula(
                last + 1, place, f"=SUM({letter}2:{letter}{last + 1})", total, _units(known)
            )


def _write(sheet: Any, line: int, place: int, kind: Kind, value: Value, style: Any) -> None:
    if value is None:
        return
    if kind is Kind.MONEY and isinstance(value, int):
        sheet.write_number(line, place, _units(value), style)
    elif isinstance(value, int):
        sheet.write_number(line, place, value, style)
    elif isinstance(value, datetime | date):
        sheet.write_datetime(line, place, value)
    else:
        sheet.write_string(line, place, str(value))


def _units(nanos: int) -> float:
    # A sheet knows only binary floats: past 15 digits the JSON and the CSV are the exact ones.
    return nanos / NANOS_PER_UNIT


def _notes(book: Any, table: Table) -> None:
    sheet = book.add_worksheet("Notes")
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, 1, 60)
    at = "" if table.position_at is None else table.position_at.isoformat()
    for line, (term, text) in enumerate(
        (
            ("Table", table.title),
            ("Currency", table.currency),
            ("Ledger position", f"{table.position}"),
            ("Recorded at", at),
            ("View", table.view or "default"),
            ("Rows", f"{len(table.rows)}{' (more exist)' if table.more else ''}"),
            ("Verify", "o10 ledger_verify --full"),
            ("Exact amounts", "Take CSV or JSON: a sheet keeps 15 digits."),
        )
    ):
        sheet.write_string(line, 0, term)
        sheet.write_string(line, 1, text)
