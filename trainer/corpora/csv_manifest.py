"""A CSV file beside the images that lists them: columns ``path``, ``label`` and, where known, ``writer``.

Paths are relative to the CSV file. Images that it does not list are not used. Next:
``corpora/__init__.py``.
"""

import codecs
import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from trainer.corpora import Ambiguity, Annotations, Corpus, Tree, UnknownLayout

REQUIRED_COLUMNS = ("path", "label")
FILE_NAME = "manifest.csv"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the CSV file; ``path`` is relative to the file."""

    path: str
    label: str
    writer: str | None


def read_rows(file: Path) -> list[Row]:
    """Read every line; empty when the file lacks the columns, or lists boxes on pages.

    Raises ``UnknownLayout`` that names the faulty line.
    """
    rows: dict[str, Row] = {}
    for number, line in read_lines(file, REQUIRED_COLUMNS):
        if "left" in line:
            return []
        location = f"{str(file)!r}, line {number}"
        path, label = ((line.get(column) or "").strip() for column in REQUIRED_COLUMNS)
        if not path or not label or not label.isprintable():
            raise UnknownLayout(f"{location}: path is {path!r} and label {label!r}; both are required")
        pure = PurePosixPath(path.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts:
            raise UnknownLayout(f"{location}: {path!r} leaves the folder; paths are relative to the CSV file")
        if not (file.parent / pure).is_file():
            raise UnknownLayout(f"{location}: there is no file {path!r} beside the CSV file")
        if str(pure) in rows:
            raise UnknownLayout(f"{location}: {path!r} is listed twice")
        rows[str(pure)] = Row(str(pure), label, (line.get("writer") or "").strip() or None)
    return list(rows.values())


def read_lines(file: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Read (line number, values by lower-case column name); empty when the file lacks one of the columns."""
    text = _read_text(file)
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        if any(name not in reader.fieldnames for name in columns):
            return []
        return [(reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise UnknownLayout(f"{str(file)!r}, line {reader.line_num}: {error}") from None


def _read_text(file: Path) -> str:
    """Decode the encodings that spreadsheets save: UTF-8 with or without a byte order mark, UTF-16, Windows-1252."""
    data = file.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def parse_tree(tree: Tree) -> Annotations:
    """Annotate from the CSV file with the required columns in the root, or from one in each folder of a split."""
    if tree.csv_file:
        if not (rows := read_rows(tree.csv_file)):
            raise UnknownLayout(
                f"{str(tree.csv_file)!r} names no image; it needs the columns {' and '.join(REQUIRED_COLUMNS)}, "
                "and rows"
            )
        return {PurePosixPath(row.path): (row.label, row.writer) for row in rows}
    return _annotate(tree.root, PurePosixPath()) or {
        path: entry for folder in tree.split_folders for path, entry in _annotate(tree.root, folder).items()
    }


def _annotate(root: Path, folder: PurePosixPath) -> dict[PurePosixPath, tuple[str | None, str | None]]:
    """Annotate from the CSV file in a folder; the paths are relative to ``root``."""
    tables = [rows for file in sorted((root / folder).glob("*.csv")) if (rows := read_rows(file))]
    if len(tables) > 1:
        raise UnknownLayout(
            f"{str(root / folder)!r} holds {len(tables)} CSV files with the columns path and label; name one of them"
        )
    return {folder / row.path: (row.label, row.writer) for rows in tables for row in rows}


def format_csv_files(rows: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return the name and the text of the CSV file that lists (path, label, writer) of each image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*REQUIRED_COLUMNS, "writer"])
    writer.writerows(rows)
    return {FILE_NAME: text.getvalue()}


def format_path(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath("images", f"{writer}_{label}_{number:03d}")


CORPUS = Corpus(
    f"{FILE_NAME} with the columns path, label and, where known, writer",
    Ambiguity.CSV_FILE,
    parse_tree,
    format_path,
    format_csv_files=format_csv_files,
    may_skip_images=True,
)
