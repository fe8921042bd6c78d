"""Answers in a folder of Parquet files of a fixed number of rows, each of which is complete as soon as it is there.

A Parquet file cannot be read before its end is written, so that a long run is many files; this is also how data lakes
keep tables. The only importer of ``pyarrow`` beside ``beam.py``: ``pip install 'countersign[parquet]'``. Next:
``line_output.py``, the same for lines; ``tables.py`` (``make_record``) makes the rows.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from predictor.batch import tables
from predictor.batch.line_output import Written, check_name
from predictor.batch.run_state import sync_folder
from trainer.console.errors import UserError

ROWS_PER_GROUP = 1000  # that are in memory before they are written
PARTIAL = ".partial"  # ends the name of a part that is not complete, which begins with a dot: readers pass over it


def import_pyarrow() -> Any:
    """Return ``pyarrow``, with ``pyarrow.parquet``. Raises ``UserError`` without it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("pyarrow"):
            raise
        raise UserError("--format parquet needs pyarrow: pip install 'countersign[parquet]'") from None
    return pyarrow


def make_schema(decision: Any) -> Any:
    """Return the schema of the records of ``tables.make_record``."""
    pyarrow = import_pyarrow()
    text = pyarrow.string()
    types = dict.fromkeys(tables.TEXT_COLUMNS, text) | dict.fromkeys(tables.COUNT_COLUMNS, pyarrow.int64())
    columns = [(name, types.get(name, pyarrow.float64())) for name in decision.columns]
    first = [("file", text), ("error_code", text), ("error_message", text), ("warnings", pyarrow.list_(text))]
    return pyarrow.schema([*first, *columns, ("answer", text)])


class ParquetOutput:
    """The folder. ``write`` begins part after part; ``close`` completes the last one."""

    def __init__(self, folder: Path, decision: Any, rows_per_part: int):
        self._pyarrow = import_pyarrow()
        self._folder, self._schema, self._rows_per_part = folder, make_schema(decision), rows_per_part
        self._number = 0  # of the part that is being written
        self._rows = 0  # of it that are in its file
        self._records: list[tables.Record] = []  # of it that are not
        self._file: Any = None
        self._writer: Any = None

    def exists(self) -> bool:
        """Return whether there is anything at the path."""
        return self._folder.is_file() or (self._folder.is_dir() and any(self._folder.iterdir()))

    def delete(self) -> None:
        """Delete the parts, and no other file. Raises ``OSError`` when the path is no folder."""
        for path in self._list_parts():
            path.unlink()

    def resume(self, names: Iterator[str]) -> tuple[Written, Iterator[str]]:
        """Keep the complete parts, which have to be about the first of the names; return the names that are left.

        A last part with fewer rows is kept if it ends with the names. Raises ``OutputError``.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = errors = 0
        while (content := self._read_part(self._number)) is not None:
            expected = list(itertools.islice(names, self._rows_per_part))
            part_names, part_errors = content
            for row, name in enumerate(part_names):
                check_name(self._folder, rows + row, name, tables.to_unicode(expected[row]) if expected[row:] else None)
            if len(part_names) < len(expected):
                names = itertools.chain(expected, names)
                break
            rows, errors = rows + len(part_names), errors + part_errors
            self._number += 1
        kept = {self._get_path(number) for number in range(self._number)}
        for path in self._list_parts():
            if path not in kept:
                path.unlink()
        return Written(rows, errors), names

    def write(self, records: Iterable[tables.Record]) -> None:
        """Append records, and complete the parts that they fill."""
        for record in records:
            self._records.append(record)
            if self._rows + len(self._records) == self._rows_per_part:
                self._complete_part()
            elif len(self._records) == ROWS_PER_GROUP:
                self._write_group()

    def close(self, is_complete: bool) -> None:
        """Complete the last part if the answers are complete, else drop it."""
        try:
            if is_complete and (self._rows or self._records):
                self._complete_part()
        finally:
            if self._file is not None:
                with contextlib.suppress(OSError):  # of a full disk
                    self._file.close()

    def _write_group(self) -> None:
        if self._writer is None:
            self._file = self._get_partial_path().open("wb")
            self._writer = self._pyarrow.parquet.ParquetWriter(self._file, self._schema)
        self._writer.write_table(self._pyarrow.Table.from_pylist(self._records, self._schema))
        self._rows += len(self._records)
        self._records = []

    def _complete_part(self) -> None:
        """Write what is left and the end of the part, and give the file its name."""
        self._write_group()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._get_partial_path().replace(self._get_path(self._number))
        sync_folder(self._folder)
        self._number, self._rows, self._file, self._writer = self._number + 1, 0, None, None

    def _read_part(self, number: int) -> tuple[list[str], int] | None:
        """Return the file names of a part, and the number of its errors; None if it is absent or damaged."""
        path = self._get_path(number)
        try:
            table = self._pyarrow.parquet.read_table(path, columns=["file", "error_code"], partitioning=None)
        except (OSError, self._pyarrow.ArrowException, KeyError):
            return None
        errors = table.num_rows - table["error_code"].null_count
        return table["file"].to_pylist(), errors

    def _get_path(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.parquet"

    def _get_partial_path(self) -> Path:
        return self._folder / f".{self._get_path(self._number).name}{PARTIAL}"

    def _list_parts(self) -> list[Path]:
        return [*self._folder.glob("part-*.parquet"), *self._folder.glob(f".part-*.parquet{PARTIAL}")]
