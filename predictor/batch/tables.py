"""The rows of ``predictor.offline`` as a table, CSV, JSON Lines or records of Parquet.

Decides nothing. Next: ``line_output.py`` and ``parquet_output.py`` write them to files.
"""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]
Record = dict[str, Any]

# Columns of a decision that are no fractions; each label of a classifier adds a fraction, ``score_LABEL``.
TEXT_COLUMNS = frozenset({"label", "decision", "signed", "writer"})
COUNT_COLUMNS = frozenset({"references", "signatures"})


def make_error_row(name: str, code: str, message: object) -> dict[str, Any]:
    """Make the row of a file that cannot be answered."""
    return {"file": name, "error": {"code": code, "message": str(message)}}


def format_jsonl(row: Row, _: Any = None) -> str:
    """Return a row as a line of JSON."""
    return json.dumps(row, default=np.ndarray.tolist) + "\n"


def format_csv(row: Row, decision: Any) -> str:
    """Return a row as a line of CSV."""
    if error := row.get("error"):
        return _join([row["file"], *([""] * len(decision.columns)), "", error["code"]])
    warnings = " ".join(warning["code"] for warning in row["warnings"])
    return _join([row["file"], *decision.to_row(row), warnings, ""])


def format_csv_header(decision: Any) -> str:
    """Return the names of the cells that ``format_csv`` writes."""
    return _join(["file", *decision.columns, "warnings", "error"])


def _join(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def make_record(row: Row, decision: Any) -> Record:
    """Return a row as typed values by the names of columns: those of CSV, the error's message, and all as JSON."""
    error = row.get("error", {})
    cells = [""] * len(decision.columns) if error else decision.to_row(row)
    return {
        "file": to_unicode(row["file"]),
        "error_code": error.get("code"),
        "error_message": to_unicode(error["message"]) if error else None,
        "warnings": [warning["code"] for warning in row.get("warnings", ())],
        **{name: _parse_cell(name, cell) for name, cell in zip(decision.columns, cells, strict=True)},
        "answer": format_jsonl(row).rstrip("\n"),
    }


def to_unicode(name: str) -> str:
    r"""Return a file name as valid Unicode: bytes of it that are no UTF-8 become ``\udcXX``."""
    return name.encode("utf-8", "backslashreplace").decode()


def _parse_cell(name: str, cell: str) -> str | float | int | None:
    if not cell:
        return None
    if name in TEXT_COLUMNS:
        return cell
    return int(cell) if name in COUNT_COLUMNS else float(cell)


FORMATTERS: dict[str, Callable[[Row, Any], Any]] = {
    "table": lambda row, decision: row,
    "csv": format_csv,
    "jsonl": format_jsonl,
    "parquet": make_record,
}


def print_table(rows: Iterable[Row], decision: Any) -> None:
    """Print a table."""
    columns = decision.columns[: decision.summary_columns]
    table = Table("file", *columns, "remarks")
    for row in rows:
        file = Text(row["file"])  # plain text: a file name may look like markup
        if error := row.get("error"):
            table.add_row(file, *([""] * len(columns)), Text(error["message"], "red"))
        else:
            remarks = ", ".join(f"{w['code']} ({w['value']:.3g}, limit {w['limit']:.3g})" for w in row["warnings"])
            reasons = ", ".join(f"{reason['image']}: {reason['code']}" for reason in row.get("reasons", ()))
            table.add_row(file, *decision.to_row(row)[: len(columns)], reasons or remarks)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
