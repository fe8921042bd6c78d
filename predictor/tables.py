"""Print the rows of ``predictor.offline`` as a table, CSV or JSON Lines; each writer returns the number of errors.

Decides nothing. Next: ``offline.py``.
"""

import csv
import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer.artifact.decision import Decision


def write_jsonl(rows: Iterable[dict[str, Any]], _: Decision) -> int:
    """Print JSON lines; return the number of errors."""
    error_count = 0
    for row in rows:
        error_count += "error" in row
        print(json.dumps(row, default=np.ndarray.tolist))
    return error_count


def write_csv(rows: Iterable[dict[str, Any]], decision: Decision) -> int:
    """Print CSV; return the number of errors."""
    error_count = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *decision.columns, "warnings", "error"])
    for row in rows:
        if error := row.get("error"):
            error_count += 1
            writer.writerow([row["file"], *([""] * len(decision.columns)), "", error["code"]])
        else:
            warnings = " ".join(warning["code"] for warning in row["warnings"])
            writer.writerow([row["file"], *decision.to_row(row), warnings, ""])
    return error_count


def write_table(rows: Iterable[dict[str, Any]], decision: Decision) -> int:
    """Print a table; return the number of errors."""
    error_count = 0
    columns = decision.columns[: decision.summary_columns]
    table = Table("file", *columns, "remarks")
    for row in rows:
        file = Text(row["file"])  # plain text: a file name may look like markup
        if error := row.get("error"):
            error_count += 1
            table.add_row(file, *([""] * len(columns)), Text(error["message"], "red"))
        else:
            remarks = ", ".join(f"{w['code']} ({w['value']:.3g}, limit {w['limit']:.3g})" for w in row["warnings"])
            reasons = ", ".join(f"{reason['image']}: {reason['code']}" for reason in row.get("reasons", ()))
            table.add_row(file, *decision.to_row(row)[: len(columns)], reasons or remarks)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return error_count


WRITERS = {"table": write_table, "csv": write_csv, "jsonl": write_jsonl}
