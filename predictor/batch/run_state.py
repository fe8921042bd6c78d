"""What the answers at ``--out`` were made with: a file beside them, which a later command compares with its own.

The file is locked while a run writes. Next: ``line_output.py`` and ``parquet_output.py``, the answers themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import storage
from trainer.console.errors import UserError
from trainer.storage import lock

if TYPE_CHECKING:
    from predictor.batch.answering import FileAnswerer

SUFFIX = ".state.json"
REMEDY = "name another --out, or replace the answers with --overwrite"
ANSWER_OPTIONS = ("task", "writer", "identify", "fpir", "far", "threshold", "return_embedding")
PATH_OPTIONS = ("crops", "draw", "explanation_dir")  # which are written to, and whose files rows name


class OutputError(UserError):
    """The answers at ``--out`` are not those that this command would continue, or something else writes there."""


def describe_run(answerer: FileAnswerer) -> dict[str, Any]:
    """Describe what answers depend on, by the names of flags; a file that is read is known by its size and time."""
    options, models = answerer.options, answerer.models
    artifacts = [artifact.identity for artifact in (models.main, models.verifier, models.classifier) if artifact]
    described: dict[str, Any] = {"artifact": artifacts, "format": options.format}
    described |= {name: getattr(options, name) for name in ANSWER_OPTIONS}
    described |= {name: str(path) if (path := getattr(options, name)) else None for name in PATH_OPTIONS}
    described["reference"] = [[str(path), _read_stamp(str(path))] for path in options.reference]
    described["people"] = _read_stamp(options.people) if options.people else None
    if options.format == "parquet":
        described["rows_per_part"] = options.rows_per_part
    return described


def _read_stamp(path: str) -> str:
    """Return what changes when a file changes, and stays when the machine is started again."""
    if storage.is_remote(path):
        return storage.read_generation(path)
    status = storage.get_local_path(path).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


class RunState:
    """The file beside the answers at ``out``; a context that no other process enters for the same answers."""

    def __init__(self, out: Path, described: dict[str, Any]):
        self._out, self._path = out, out.with_name(out.name + SUFFIX)
        self._described = described
        self._descriptor = -1

    def __enter__(self) -> RunState:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not lock.try_acquire(self._descriptor):
            os.close(self._descriptor)
            raise OutputError(f"another process is writing {str(self._out)!r}; wait for its end, or name another --out")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def check(self, has_answers: bool) -> None:
        """Compare the run that was begun with this one, or write this one if there are no answers yet.

        Raises ``OutputError``.
        """
        stored = self._read()
        if stored is None and has_answers:
            self._path.unlink()  # which this command has created, or which does not say what is there
            raise OutputError(f"{str(self._out)!r} is there, and not known to be of such a run; {REMEDY}")
        if stored is None or not has_answers:
            self._write()
        elif changed := [name for name, value in self._described.items() if stored.get(name) != value]:
            names = [name if name == "artifact" else f"--{name.replace('_', '-')}" for name in changed]
            raise OutputError(
                f"{str(self._out)!r} was begun with another {' and another '.join(names)}; give the same, {REMEDY}"
            )

    def forget(self) -> None:
        """Empty the file, before the answers are deleted."""
        os.ftruncate(self._descriptor, 0)

    def _read(self) -> dict[str, Any] | None:
        """Return what the file describes; None for a new one, or one that was being written at a power failure."""
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            return json.loads(os.read(self._descriptor, os.fstat(self._descriptor).st_size))
        except ValueError:
            return None

    def _write(self) -> None:
        text = json.dumps(self._described, indent=1) + "\n"
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.encode())
        os.fsync(self._descriptor)
        sync_folder(self._path.parent)


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk, so that a power failure does not undo a new name in it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
