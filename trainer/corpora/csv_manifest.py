"""A CSV file beside the images that names them: columns ``path``, ``label`` and, where known, ``writer``.

Paths are relative to the CSV file. What it says is what counts: images that it does not name are left out. Next:
``corpora/__init__.py``.
"""

import codecs
import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from trainer.corpora import INDEX, Corpus, Explained, Tree, UnknownLayout

NEEDED = ("path", "label")
NAME = "manifest.csv"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the file."""

    path: str
    label: str
    writer: str | None


def rows(file: Path) -> list[Row]:
    """Every line; none when the file has not the columns. Raises ``UnknownLayout`` naming the line that is wrong."""
    found: dict[str, Row] = {}
    for number, line in _lines(file):
        where = f"{str(file)!r}, line {number}"
        path, label = ((line.get(column) or "").strip() for column in NEEDED)
        if not path or not label or not label.isprintable():
            raise UnknownLayout(f"{where}: path is {path!r} and label {label!r}; both are needed")
        pure = PurePosixPath(path.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts:
            raise UnknownLayout(f"{where}: {path!r} leaves the folder; paths are relative to the CSV file")
        if not (file.parent / pure).is_file():
            raise UnknownLayout(f"{where}: there is no file {path!r} beside the CSV file")
        if str(pure) in found:
            raise UnknownLayout(f"{where}: {path!r} is named twice")
        found[str(pure)] = Row(str(pure), label, (line.get("writer") or "").strip() or None)
    return list(found.values())


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, values by lower-case column); empty when the file has not the columns."""
    text = _text(file)
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        if any(name not in reader.fieldnames for name in NEEDED):
            return []
        return [(reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise UnknownLayout(f"{str(file)!r}, line {reader.line_num}: {error}") from None


def _text(file: Path) -> str:
    """As spreadsheets save it: UTF-8, with or without a mark, UTF-16, or Western European."""
    data = file.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def explain(tree: Tree) -> Explained:
    """What the one CSV file with the right columns says, where there is one; or one in each folder of a part."""
    if tree.index:
        if not (named := rows(tree.index)):
            raise UnknownLayout(
                f"{str(tree.index)!r} names no image; it needs the columns {' and '.join(NEEDED)}, and rows"
            )
        return {PurePosixPath(row.path): (row.label, row.writer) for row in named}
    return _of(tree.root, PurePosixPath()) or {
        path: meaning for folder in tree.part_folders for path, meaning in _of(tree.root, folder).items()
    }


def _of(root: Path, folder: PurePosixPath) -> dict[PurePosixPath, tuple[str | None, str | None]]:
    """What the CSV file in a folder says, by paths below ``root``."""
    indexes = [named for file in sorted((root / folder).glob("*.csv")) if (named := rows(file))]
    if len(indexes) > 1:
        raise UnknownLayout(
            f"{str(root / folder)!r} holds {len(indexes)} CSV files with the columns path and label; name one of them"
        )
    return {folder / row.path: (row.label, row.writer) for named in indexes for row in named}


def index(written: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """The CSV file for images that were placed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*NEEDED, "writer"])
    writer.writerows(written)
    return {NAME: text.getvalue()}


def place(label: str, writer: str, number: int) -> PurePosixPath:
    return PurePosixPath("images", f"{writer}_{label}_{number:03d}")


CORPUS = Corpus(
    f"{NAME} with the columns path, label and, where known, writer", INDEX, explain, place, index=index, partial=True
)
