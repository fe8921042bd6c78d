"""What people name as data, made a local folder: folders, CSV indexes, zips, and any of these on Cloud Storage.

Copies and unpacked zips are kept in the cache, so a second run neither downloads nor unpacks. Knows paths, not layouts.
Next: ``corpora/__init__.py`` reads what is brought here.
"""

import dataclasses
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from trainer import storage
from trainer.console.errors import UserError
from trainer.console.progress import Progress, fetching
from trainer.imaging.formats import FILE_SUFFIXES

INDEX = ".csv"
ARCHIVE = ".zip"
ROOMY = 2**30  # bytes that any zip may unpack to; above it a zip has to be a bomb to be refused
MOST_PACKED = 100  # unpacked over packed: images are packed already, scans of blank pages about tenfold


class UnsafeArchive(UserError):
    """A zip that leaves its folder, unpacks to far more than it is, or is damaged; nothing of it is used."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Data ready to be read: ``root`` is a local folder or CSV file, ``name`` what its people call it."""

    given: str
    label: str | None
    root: Path
    name: str


def bring(given: str) -> Source:
    """``[LABEL=]PATH`` to something local. Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    label, path = split_label(given)
    name = PurePosixPath(path.rstrip("/")).name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == INDEX and storage.is_remote(path):
        folder = storage.fetch(path.rstrip("/").rpartition("/")[0], wanted=_is_data, progress=fetching)
        return Source(given, label, folder / name, PurePosixPath(name).stem)
    here = storage.fetch(path, wanted=_is_data, progress=fetching)
    if suffix == ARCHIVE and here.is_file():
        here = unpack(here)
    elif not here.exists():
        raise FileNotFoundError(f"no folder, zip or CSV file {path!r}")
    return Source(given, label, here, PurePosixPath(name).stem if suffix in (INDEX, ARCHIVE) else here.resolve().name)


def split_label(given: str) -> tuple[str | None, str]:
    """``LABEL=PATH`` or ``PATH``; a path that exists wins over its reading as a label."""
    label, equals, path = given.partition("=")
    if not (path if equals else given):
        raise UserError(f"{given!r} names no folder; it has to be PATH or LABEL=PATH")
    if not equals or not label or "/" in label or Path(given).exists():
        return None, given
    return label, path


def _is_data(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*FILE_SUFFIXES, INDEX)


def unpack(archive: Path) -> Path:
    """The images and indexes of a zip as a folder in the cache, complete or absent. Raises ``UnsafeArchive``."""
    known = archive.stat()
    identity = f"{archive.resolve()}\0{known.st_size}\0{known.st_mtime_ns}"
    folder = storage.cache() / "zip" / f"{archive.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_checked(opened, archive))
            with Progress("unpacking", len(members), unit="files") as progress:
                for member in progress.counted(members):
                    _unpack_one(opened, member, partial, known.st_mtime_ns)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, UserError | OSError) or not isinstance(error, Exception):
            raise
        # Damage shows as whatever the unpackers make of it.
        raise UnsafeArchive(f"{str(archive)!r} is no zip, or a damaged one: {error}") from None
    partial.mkdir(parents=True, exist_ok=True)
    try:
        partial.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _checked(opened: zipfile.ZipFile, archive: Path) -> Iterator[zipfile.ZipInfo]:
    """The members worth unpacking, after all have been looked at. Raises ``UnsafeArchive``."""
    wanted: dict[str, zipfile.ZipInfo] = {}
    for member in opened.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise UnsafeArchive(
                f"{str(archive)!r} holds {member.filename!r}, which leaves the folder; nothing is unpacked"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeArchive(f"{str(archive)!r} holds the link {member.filename!r}; nothing is unpacked")
        if member.is_dir() or not _is_data(str(path)):
            continue
        if member.flag_bits & 1:
            raise UnsafeArchive(f"{str(archive)!r} is encrypted; unpack it yourself and give the folder")
        if str(path) in wanted:
            raise UnsafeArchive(f"{str(archive)!r} holds {member.filename!r} twice")
        wanted[str(path)] = member
    unpacked = sum(member.file_size for member in wanted.values())
    if unpacked > max(ROOMY, MOST_PACKED * archive.stat().st_size):
        raise UnsafeArchive(
            f"{str(archive)!r} would unpack to {unpacked:,} bytes, more than {MOST_PACKED} times its size; "
            "unpack it yourself if that is right"
        )
    return iter(wanted.values())


def _unpack_one(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, modified: int) -> None:
    """One member; ``zipfile`` reads no more than the size that was checked, and compares its checksum."""
    target = folder / member.filename.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as packed, target.open("xb") as plain:
        shutil.copyfileobj(packed, plain, 2**20)
    os.utime(target, ns=(modified, modified))  # the archive's, so that every machine sees the same
