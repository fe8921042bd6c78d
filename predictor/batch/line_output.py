"""Answers in one file of JSON Lines or CSV, to which they are appended; an interrupted run is continued in it.

Next: ``parquet_output.py``, the same for Parquet; ``tables.py`` formats the lines.
"""

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from predictor.batch.run_state import REMEDY, OutputError, sync_folder

SYNC_SECONDS = 1.0
ENCODING = ("utf-8", "surrogateescape")  # names of files may have bytes that are no UTF-8


class Written(NamedTuple):
    """The number of rows that are there, and of those with an error."""

    rows: int = 0
    errors: int = 0


class LineOutput:
    """A file of one line for each answer; a line of CSV may contain line breaks within quotes.

    Each line is given to the system as a whole, and reaches the disk within about a second.
    """

    def __init__(self, path: Path, format: str, header: str = ""):
        self._path, self._format = path, format
        self._header = header.encode(*ENCODING)
        self._file: Any = None
        self._synced_at = 0.0

    def exists(self) -> bool:
        """Return whether there is anything at the path."""
        return self._path.exists()

    def delete(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)

    def resume(self, names: Iterator[str]) -> tuple[Written, Iterator[str]]:
        """Keep the complete lines, which have to be about the first of the names; return the names that are left.

        What is torn is cut off. Raises ``OutputError``.
        """
        end, rows, errors = 0, 0, 0
        if self._path.exists():
            with self._path.open("rb") as file:
                for name, has_error, size in self._read_rows(file):
                    if name is not None:
                        check_name(self._path, rows, name, next(names, None))
                        rows, errors = rows + 1, errors + has_error
                    end += size
        self._file = self._path.open("r+b" if self._path.exists() else "xb")
        if self._file.seek(0, os.SEEK_END) != end:
            self._file.truncate(end)
            self._file.seek(end)
        sync_folder(self._path.parent)
        if not end:
            self._file.write(self._header)
        return Written(rows, errors), names

    def write(self, lines: Iterable[str]) -> None:
        """Append lines."""
        self._file.write("".join(lines).encode(*ENCODING))
        self._file.flush()
        if time.monotonic() - self._synced_at >= SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced_at = time.monotonic()

    def close(self, is_complete: bool) -> None:
        """Write everything to the disk. An output that is not complete may be on a full one."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        except OSError:
            if is_complete:
                raise
            os.close(file.fileno())

    def _read_rows(self, file: BinaryIO) -> Iterator[tuple[str | None, bool, int]]:
        """Yield name, whether there is an error, and size in bytes of each complete row; no name for the header.

        Ends at the first row that is not complete.
        """
        if self._header:
            header = file.read(len(self._header))
            if header != self._header:
                if self._header.startswith(header.rstrip(b"\0")):
                    return  # torn, or empty
                raise OutputError(f"{str(self._path)!r} begins with other columns; {REMEDY}")
            yield None, False, len(header)
        cells = len(_split_cells(self._header)) if self._header else 0
        for line in self._read_lines(file):
            try:
                name, has_error = _parse_json(line) if self._format == "jsonl" else _parse_csv(line, cells)
            except (ValueError, KeyError, TypeError):
                return  # a part of the file that did not reach the disk before a power failure
            yield name, has_error, len(line)

    def _read_lines(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the complete lines; those of CSV end outside of quotes."""
        parts = []
        for part in file:
            parts.append(part)
            if not part.endswith(b"\n"):
                return
            if self._format == "jsonl" or sum(each.count(b'"') for each in parts) % 2 == 0:
                yield b"".join(parts)
                parts = []


def check_name(path: Path, row: int, name: str, expected: str | None) -> None:
    """Raise ``OutputError`` when a row, numbered from 0, is not about the file that the command has in its place."""
    if name != expected:
        there = f"this command has {expected!r} there" if expected is not None else "this command has no more files"
        raise OutputError(
            f"row {row + 1} of {str(path)!r} answers {name!r}, and {there}: the files have changed; give the same, "
            f"{REMEDY}"
        )


def _parse_json(line: bytes) -> tuple[str, bool]:
    row = json.loads(line)
    return row["file"], "error" in row


def _parse_csv(line: bytes, cells: int) -> tuple[str, bool]:
    row = _split_cells(line)
    if len(row) != cells:
        raise ValueError(f"{len(row)} cells, not {cells}")
    return row[0], bool(row[-1])


def _split_cells(line: bytes) -> list[str]:
    (cells,) = csv.reader(io.StringIO(line.decode(*ENCODING), newline=""))
    return cells
