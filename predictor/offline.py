"""``python -m predictor.offline MODEL PATH...``: answers for files and folders, without a server.

The same model, imaging and decision as the server's. An image that cannot be used has its error in its row.
"""

import concurrent.futures
import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import storage
from trainer.artifact.manifest import BadArtifact
from trainer.artifact.model import Model
from trainer.flags import Parser
from trainer.imaging import FILE_SUFFIXES, ImageError

FORMATS = ("table", "csv", "jsonl")


def main(arguments: list[str] | None = None) -> int:
    """Print one row for each image; 1 when the model cannot be opened or an image could not be answered."""
    flags = Parser(prog="python -m predictor.offline", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact's folder, may be gs://")
    flags.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image file, or folder of image files")
    flags.add_argument("--format", choices=FORMATS, default="table", help="table, csv or jsonl (default: table)")
    options = flags.parse_args(arguments)
    try:
        model = Model(storage.fetch(options.model))
        model.prove()
        files = list(_files(options.paths))
    except (BadArtifact, OSError) as error:
        print(f"python -m predictor.offline: {error}", file=sys.stderr)
        return 1
    if not files:
        print("python -m predictor.offline: no image below the given folders", file=sys.stderr)
        return 1
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(lambda path: _row(model, path), files)
        failed = _WRITERS[options.format](rows, model.decision)
    return 1 if failed else 0


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in FILE_SUFFIXES and p.is_file())
        elif path.is_file():
            yield path
        else:
            raise FileNotFoundError(f"no file or folder {str(path)!r}")


def _row(model: Model, path: Path) -> dict[str, Any]:
    try:
        return {"file": str(path), **model.answer(path.read_bytes())}
    except ImageError as error:
        return {"file": str(path), "error": {"code": error.code, "message": str(error)}}
    except OSError as error:
        return {"file": str(path), "error": {"code": "unreadable_file", "message": str(error)}}


def _jsonl(rows, _) -> int:
    failed = 0
    for row in rows:
        failed += "error" in row
        print(json.dumps(row))
    return failed


def _csv(rows, decision) -> int:
    failed = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *decision.columns, "warnings", "error"])
    for row in rows:
        if error := row.get("error"):
            failed += 1
            writer.writerow([row["file"], *([""] * len(decision.columns)), "", error["code"]])
        else:
            warnings = " ".join(warning["code"] for warning in row["warnings"])
            writer.writerow([row["file"], *decision.row(row), warnings, ""])
    return failed


def _table(rows, decision) -> int:
    failed = 0
    shown = decision.columns[:2]
    table = Table("file", *shown, "remarks")
    for row in rows:
        file = Text(row["file"])  # plain text: a file name may look like markup
        if error := row.get("error"):
            failed += 1
            table.add_row(file, *([""] * len(shown)), Text(error["message"], "red"))
        else:
            remarks = ", ".join(f"{w['code']} ({w['value']:.3g}, limit {w['limit']:.3g})" for w in row["warnings"])
            table.add_row(file, *decision.row(row)[: len(shown)], remarks)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return failed


_WRITERS = {"table": _table, "csv": _csv, "jsonl": _jsonl}

if __name__ == "__main__":
    raise SystemExit(main())
