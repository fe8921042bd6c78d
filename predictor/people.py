"""The writers on file of a server: opened for the verifier that it serves, and opened again when the file changes.

A server of mode ``prod`` reads a file, or a copy of an object of Cloud Storage; one of mode ``dev`` writes a local one.
Independent of HTTP. Next: ``trainer/enrolment/gallery.py`` answers with the writers, ``people_routes.py`` changes them.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import storage
from trainer.enrolment import sealing
from trainer.enrolment.errors import EnrolmentError
from trainer.enrolment.gallery import Gallery
from trainer.enrolment.store import EnrolmentStore

if TYPE_CHECKING:
    from predictor.settings import Settings
    from trainer.artifact.artifact import Artifact
    from trainer.artifact.verification import Verifier

OWNER_ONLY = 0o077  # permissions that a file of biometric data should not give


@dataclasses.dataclass(frozen=True)
class People:
    """An opened file of writers on file, with its gallery; ``generation`` changes when the file is replaced."""

    store: EnrolmentStore
    gallery: Gallery
    generation: str


class PeopleFile:
    """The path of the file of a server, and its key. ``open`` and ``write`` may be called on any thread."""

    def __init__(self, path: str, key_path: str = "", is_writable: bool = False):
        self.path, self.is_writable = path, is_writable
        self._key_path = key_path
        self._lock = threading.Lock()
        self._opened: People | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> PeopleFile | None:
        """Make the file that the settings name, which a server of mode ``dev`` writes; None if they name none."""
        if not settings.people:
            return None
        return cls(settings.people, settings.people_key, is_writable=settings.mode == "dev")

    def open(self, verifier: Artifact | None) -> People:
        """Open the file for a verifier, unless it is open and has not changed. Raises ``EnrolmentError``.

        A file to write that does not exist is created.
        """
        if verifier is None:
            raise EnrolmentError("writers on file are compared by a verifier, and this server has none: --verifier")
        with self._lock:
            return self._open_current(verifier)

    @contextmanager
    def write(self, verifier: Artifact) -> Iterator[tuple[EnrolmentStore, Verifier]]:
        """Change the writers in a block, then make their gallery again. Raises ``EnrolmentError``."""
        decision: Any = verifier.decision
        with self._lock:
            store = self._open_current(verifier).store
            yield store, decision
            self._opened = People(store, Gallery(store, decision), self._read_generation())

    def export(self, verifier: Artifact) -> bytes:
        """Return a compact copy of the file, with what identification among its writers was measured to be."""
        with self._lock, tempfile.TemporaryDirectory(prefix="countersign-") as folder:
            people = self._open_current(verifier)
            if self.is_writable:
                people.store.write_calibration(people.gallery.calibration.to_json())
            copy = Path(folder) / "people.sqlite"
            people.store.export(copy)
            return copy.read_bytes()

    def _open_current(self, verifier: Artifact) -> People:
        """Do what ``open`` does, for a caller that holds the lock."""
        if self.is_writable and not Path(self.path).exists():
            self._close_written()
            size = verifier.manifest.vector_size
            EnrolmentStore.create(Path(self.path), verifier.encoder, size, self._read_key()).close()
        generation = self._read_generation()
        opened = self._opened
        if opened and opened.store.encoder == verifier.encoder and opened.generation == generation:
            return opened
        self._close_written()  # one object at a time may write
        self._opened = self._open(verifier, generation)
        return self._opened

    def find_permissive(self) -> str | None:
        """Return a warning if others than its owner may read a local file."""
        paths = [Path(path) for path in (self.path, self._key_path) if path and not storage.is_remote(path)]
        open_to_others = [str(path) for path in paths if path.exists() and path.stat().st_mode & OWNER_ONLY]
        if not open_to_others:
            return None
        return f"readable by others than its owner: {', '.join(open_to_others)}; chmod 600 protects it"

    def _open(self, verifier: Artifact, generation: str) -> People:
        if not storage.is_remote(self.path):
            return self._open_file(storage.get_local_path(self.path), verifier, generation)
        with tempfile.TemporaryDirectory(
            prefix="countersign-"
        ) as folder:  # an open file can be read when it is deleted
            return self._open_file(storage.fetch(self.path, Path(folder) / "people.sqlite"), verifier, generation)

    def _open_file(self, path: Path, verifier: Artifact, generation: str) -> People:
        store = EnrolmentStore(path, self._read_key(), self.is_writable)
        try:
            if store.encoder != verifier.encoder:
                raise EnrolmentError(f"the writers in {self.path!r} were enrolled with another model; enrol them again")
            decision: Any = verifier.decision
            return People(store, Gallery(store, decision), generation)
        except BaseException:
            store.close()
            raise

    def _read_generation(self) -> str:
        """Read what changes when somebody else changes the file. Raises ``EnrolmentError``.

        A file that this server writes is its own until another is put in its place.
        """
        try:
            if self.is_writable:
                return str(os.stat(self.path).st_ino)
            return storage.read_generation(self.path)
        except (storage.StorageError, OSError) as error:
            raise EnrolmentError(f"the writers on file cannot be read: {error}") from None

    def _close_written(self) -> None:
        if self._opened and self.is_writable:
            self._opened.store.close()
            self._opened = None

    def _read_key(self) -> bytes | None:
        return sealing.read_key(Path(self._key_path)) if self._key_path else None
