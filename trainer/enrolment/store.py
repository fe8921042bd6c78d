"""One SQLite file of writers on file: whole records in, whole records out, nothing left of what is deleted.

A write is done when the method returns: SQLite syncs its journal and the file, so that a kill or a power cut leaves
the state before or after a write, never between. Deleted content is overwritten with zeros
(sqlite.org/pragma.html#pragma_secure_delete); freed blocks of the disk below are not, which is what a key is for. Knows
nothing of similarities. Next: ``records.py`` for the records, ``writers.py`` for changes.
"""

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainer.enrolment import records
from trainer.enrolment.errors import EnrolmentError, NotEnrolled
from trainer.enrolment.records import Reference, WriterSummary
from trainer.enrolment.sealing import make_sealer
from trainer.storage import lock

APPLICATION_ID = 0x43734E72  # in the header of the file, so that another SQLite file is told apart
MIGRATIONS = (  # from one version of the tables to the next; the file records how many it has had
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE writers (id INTEGER PRIMARY KEY, lookup BLOB NOT NULL UNIQUE, summary BLOB NOT NULL);
    CREATE TABLE reference_sets (writer INTEGER PRIMARY KEY REFERENCES writers ON DELETE CASCADE, content BLOB NOT NULL)
    """,
)
KEY_CHECK = b"countersign"  # sealed in the settings: another key is noticed when the file is opened
SUMMARY, REFERENCES, KEY = b"summary:", b"references:", b"key"  # contexts of records
WAIT = 5.0  # seconds for another process to end its write


class EnrolmentStore:
    """An open file of writers on file. Any number of threads may share one object.

    ``encoder`` identifies the encoder of its embeddings, ``float32 [dim]``; see ``Artifact.encoder``.
    """

    def __init__(self, path: Path, key: bytes | None = None, is_writable: bool = False):
        """Open a file that exists. Raises ``EnrolmentError`` if it is none, damaged, newer or of another key.

        One process at a time may open a file to write; that also migrates it.
        """
        if path.exists() and not path.is_file():  # a pipe would wait for somebody who writes
            raise EnrolmentError(f"{str(path)!r} is no file")
        self.path, self.is_writable = path, is_writable
        self._sealer = make_sealer(key)
        self._lock = threading.RLock()
        self._locked_file = _LockedFile(path) if is_writable else None
        try:
            with _readable_errors(path):
                was_killed = path.with_name(f"{path.name}-journal").exists()
                self._connection = _connect(path, is_writable)
                self._migrate()
                if is_writable and was_killed:  # SQLite undoes the write, except in pages that were free before it
                    self._connection.execute("VACUUM")
                values = dict(self._connection.execute("SELECT name, value FROM settings"))
            self.encoder, self.dim = values["encoder"], int(values["dim"])
            self._check_key(key, values["key_check"])
        except BaseException as error:
            self.close()
            if isinstance(error, KeyError | ValueError) and not isinstance(error, EnrolmentError):
                raise EnrolmentError(f"{str(path)!r} is damaged: its settings are incomplete") from None
            raise

    @classmethod
    def create(cls, path: Path, encoder: str, dim: int, key: bytes | None = None) -> "EnrolmentStore":
        """Create an empty file, which only its owner may read, and open it to write. Raises ``EnrolmentError``."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise EnrolmentError(f"{str(path)!r} cannot be created: {error.strerror}") from None
        check = make_sealer(key).seal(KEY_CHECK, KEY).hex() if key else ""
        values = {"encoder": encoder, "dim": str(dim), "key_check": check, "revision": "0"}
        with _readable_errors(path), contextlib.closing(_connect(path, is_writable=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _apply_migrations(connection, 0)
            connection.executemany("INSERT INTO settings VALUES (?, ?)", values.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        return cls(path, key, is_writable=True)

    @classmethod
    @contextlib.contextmanager
    def replace(cls, path: Path, encoder: str, dim: int, key: bytes | None = None) -> "Iterator[EnrolmentStore]":
        """Write a new file, which is at its path only if the block ends without an error, and complete.

        Raises ``EnrolmentError``, also while another process has the present file open to write.
        """
        partial = path.with_name(f"{path.name}.partial")
        with contextlib.closing(_LockedFile(path)):
            partial.unlink(missing_ok=True)
            try:
                with contextlib.closing(cls.create(partial, encoder, dim, key)) as store:
                    yield store
                os.replace(partial, path)
            finally:
                for file in (partial, _get_lock_path(partial)):
                    file.unlink(missing_ok=True)

    @property
    def revision(self) -> int:
        """The number of writes that the file has had."""
        return int(self._read_setting("revision") or 0)

    def read_summaries(self) -> list[WriterSummary]:
        """Read the summaries of all writers. Raises ``EnrolmentError`` for a damaged record."""
        with self._lock, _readable_errors(self.path):
            rows = self._connection.execute("SELECT lookup, summary FROM writers ORDER BY id").fetchall()
        return [records.unpack_summary(self._sealer.unseal(summary, SUMMARY + lookup)) for lookup, summary in rows]

    def read_writer(self, name: str) -> tuple[WriterSummary, list[Reference]]:
        """Read a writer's summary and references, both as they are after the same write.

        Raises ``NotEnrolled``, or ``EnrolmentError`` for a damaged record.
        """
        lookup = self._sealer.make_lookup(records.normalize_name(name))
        query = "SELECT summary, content FROM writers JOIN reference_sets ON writer = id WHERE lookup = ?"
        with self._lock, _readable_errors(self.path):
            row = self._connection.execute(query, (lookup,)).fetchone()
        if row is None:
            raise NotEnrolled(f"no writer {name!r} is on file")
        summary = records.unpack_summary(self._sealer.unseal(row[0], SUMMARY + lookup))
        return summary, records.unpack_references(self._sealer.unseal(row[1], REFERENCES + lookup), self.dim)

    def read_references(self, name: str) -> list[Reference]:
        """Read the references of a writer; the errors are those of ``read_writer``."""
        return self.read_writer(name)[1]

    def put(self, summary: WriterSummary, references: Sequence[Reference]) -> None:
        """Store a writer with exactly these references, in the place of what was stored under the name."""
        summary = dataclasses.replace(summary, name=records.check_name(summary.name))
        lookup = self._sealer.make_lookup(summary.name)
        sealed_summary = self._sealer.seal(records.pack_summary(summary), SUMMARY + lookup)
        content = self._sealer.seal(records.pack_references(references), REFERENCES + lookup)
        insert = "INSERT INTO writers (lookup, summary) VALUES (?, ?)"
        update = "ON CONFLICT DO UPDATE SET summary = excluded.summary"
        with self.transaction() as connection:
            connection.execute(f"{insert} {update}", (lookup, sealed_summary))
            (id,) = connection.execute("SELECT id FROM writers WHERE lookup = ?", (lookup,)).fetchone()
            connection.execute("INSERT OR REPLACE INTO reference_sets VALUES (?, ?)", (id, content))

    def remove(self, name: str) -> None:
        """Delete a writer with all references, also from the bytes of the file. Raises ``NotEnrolled``."""
        with self.transaction() as connection:
            lookup = self._sealer.make_lookup(records.normalize_name(name))
            removed = connection.execute("DELETE FROM writers WHERE lookup = ?", (lookup,))
            if not removed.rowcount:
                raise NotEnrolled(f"no writer {name!r} is on file")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make the writes of a block one write, which is done, and synced, at its end; an error undoes all of it."""
        if not self.is_writable:
            raise EnrolmentError(f"{str(self.path)!r} is open to read only")
        with self._lock, _readable_errors(self.path):
            if self._connection.in_transaction:  # a block within another one
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("UPDATE settings SET value = value + 1 WHERE name = 'revision'")
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def read_calibration(self) -> Any:
        """Read what ``write_calibration`` stored, in JSON; None if the writers have changed since, or without one."""
        stored = json.loads(self._read_setting("calibration") or "null")
        return stored["content"] if stored and stored["revision"] == self.revision else None

    def write_calibration(self, content: Any) -> None:
        """Store what was measured with the writers as they are now."""
        with self.transaction() as connection:
            value = json.dumps({"revision": self.revision + 1, "content": content})
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('calibration', ?)", (value,))

    def export(self, path: Path) -> None:
        """Write a compact copy of the file to a path where none is, encrypted as this one."""
        with self._lock, _readable_errors(path):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._connection.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Close the file, and let other processes write it; waits for what other threads read just now."""
        with self._lock:
            if connection := getattr(self, "_connection", None):
                connection.close()
        if self._locked_file:
            self._locked_file.close()

    def _read_setting(self, name: str) -> str | None:
        with self._lock, _readable_errors(self.path):
            row = self._connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _migrate(self) -> None:
        """Bring the tables to this version. Raises ``EnrolmentError`` for a file of another kind or a later version."""
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise EnrolmentError(
                f"{str(self.path)!r} is no file of enrolled writers, which python -m trainer.enrol makes"
            )
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise EnrolmentError(
                f"{str(self.path)!r} is of version {version}; this release knows {len(MIGRATIONS)}: use a later release"
            )
        if version < len(MIGRATIONS) and not self.is_writable:
            raise EnrolmentError(
                f"{str(self.path)!r} is of version {version}; copy it to version {len(MIGRATIONS)} with "
                "python -m trainer.enrol"
            )
        if version < len(MIGRATIONS):
            self._connection.execute("BEGIN IMMEDIATE")
            _apply_migrations(self._connection, version)
            self._connection.execute("COMMIT")

    def _check_key(self, key: bytes | None, check: str) -> None:
        if bool(key) != bool(check):
            state = "is encrypted: give its key" if check else "is not encrypted: leave the key out"
            raise EnrolmentError(f"{str(self.path)!r} {state}")
        if check and self._sealer.unseal(bytes.fromhex(check), KEY) != KEY_CHECK:
            raise EnrolmentError(f"{str(self.path)!r} is damaged: its settings are incomplete")


def _connect(path: Path, is_writable: bool) -> sqlite3.Connection:
    address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode={'rw' if is_writable else 'ro'}"
    connection = sqlite3.connect(address, WAIT, isolation_level=None, check_same_thread=False, uri=True)
    pragmas = ["foreign_keys = ON", "temp_store = MEMORY"]
    if is_writable:
        # A journal that is deleted after each write, not a write-ahead log, which would keep deleted content.
        pragmas += ["journal_mode = DELETE", "synchronous = EXTRA", "secure_delete = ON"]
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _apply_migrations(connection: sqlite3.Connection, version: int) -> None:
    """Apply the migrations after a version, within a transaction of the caller."""
    for script in MIGRATIONS[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


class _LockedFile:
    """The lock of one process that may write a store, by a file beside it. Raises ``EnrolmentError``."""

    def __init__(self, path: Path):
        try:
            self._descriptor = os.open(_get_lock_path(path), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise EnrolmentError(f"{str(path)!r} cannot be opened to write: {error.strerror}") from None
        if not lock.try_acquire(self._descriptor):
            self.close()
            raise EnrolmentError(f"{str(path)!r} is open to write in another process; close that first")

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _get_lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Raise ``EnrolmentError`` for the errors of SQLite and of the file system, with the path."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise EnrolmentError(f"{str(path)!r} cannot be used as a file of enrolled writers: {error}") from None
