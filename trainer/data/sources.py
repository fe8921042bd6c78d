"""Make data sources local: folders, CSV files, zips, and any of these on Cloud Storage.

Downloads and unpacked zips are kept in the cache for later runs. Works on paths, not layouts. Next:
``corpora/__init__.py``, which reads the local folders.
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
from trainer.console.messages import LOG
from trainer.console.progress import Progress, transfer_progress
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.storage import remote_files
from trainer.storage.listing import RemoteFolder

CSV_SUFFIX = ".csv"
ZIP_SUFFIX = ".zip"
ANNOTATION_SUFFIXES = (CSV_SUFFIX, ".json", ".xml", ".txt", ".yaml")  # of files with labels or boxes
ALWAYS_UNPACKED_BYTES = 2**30  # up to this size, the compression ratio of a zip is not limited
MAX_COMPRESSION_RATIO = 100  # unpacked over packed bytes; about 1 for images, about 10 for scans of blank pages


class UnsafeArchive(UserError):
    """A zip with paths outside its folder, links, encryption, too high a compression ratio, or damage."""


@dataclasses.dataclass(frozen=True)
class DataSource:
    """One input: ``root`` is a folder or a CSV file on this machine, or a folder that was listed on Cloud Storage.

    ``name`` is for messages and corpus ids.
    """

    argument: str
    label: str | None
    root: Path | RemoteFolder
    name: str


def fetch_source(argument: str) -> DataSource:
    """Download and unpack ``[LABEL=]PATH``. Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    label, path = parse_argument(argument)
    name = PurePosixPath(path.rstrip("/")).name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == CSV_SUFFIX and storage.is_remote(path):
        folder = storage.fetch(path.rstrip("/").rpartition("/")[0], is_selected=_is_data, progress=transfer_progress)
        return DataSource(argument, label, folder / name, PurePosixPath(name).stem)
    if storage.is_mounted(path) and suffix not in (CSV_SUFFIX, ZIP_SUFFIX) and (listed := _list_mounted(path)):
        return DataSource(argument, label, listed, name)
    local = storage.fetch(path, is_selected=_is_data, progress=transfer_progress)
    if suffix == ZIP_SUFFIX and local.is_file():
        local = unpack_zip(local)
    elif not local.exists():
        raise FileNotFoundError(f"no folder, zip or CSV file {path!r}")
    source_name = PurePosixPath(name).stem if suffix in (CSV_SUFFIX, ZIP_SUFFIX) else local.resolve().name
    return DataSource(argument, label, local, source_name)


def list_source(argument: str) -> DataSource:
    """List the images of a ``gs://`` folder, and download its other files; fetch any other source.

    Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``.
    """
    label, path = parse_argument(argument)
    if not storage.is_remote(path):
        return fetch_source(argument)
    name = PurePosixPath(path.rstrip("/")).name
    if PurePosixPath(name).suffix.lower() in (CSV_SUFFIX, ZIP_SUFFIX):
        raise UserError(f"{path!r} cannot be listed without downloading it; name a folder of image files")
    folder = remote_files.list_folder(path, storage.get_cache_path(path, "listed"))
    if not folder.statuses:
        raise storage.StorageError(f"there is nothing below {path!r}")
    if any(map(_is_annotation, folder.statuses)):
        storage.fetch(path, folder.local, _is_annotation, transfer_progress)
    return DataSource(argument, label, folder, name)


def _list_mounted(path: str) -> RemoteFolder | None:
    """List a mounted ``gs://`` folder, whose files are read from the mount; None where it cannot be listed.

    A mount gives files other times than their objects have, so records that other machines prepared would not fit.
    """
    try:
        statuses = dict(remote_files.list_objects(path))
    except storage.StorageError as error:
        LOG.info(f"{path} is read from its mount alone, because it cannot be listed: {error}")
        return None
    return RemoteFolder(path.rstrip("/"), statuses, storage.get_local_path(path), _read_mounted) if statuses else None


def _read_mounted(path: str) -> bytes:
    return storage.get_local_path(path).read_bytes()


def _is_annotation(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in ANNOTATION_SUFFIXES


def parse_argument(argument: str) -> tuple[str | None, str]:
    """Split ``LABEL=PATH`` or ``PATH`` into label and path. A path that exists is not split. Raises ``UserError``."""
    label, equals, path = argument.partition("=")
    if not (path if equals else argument):
        raise UserError(f"{argument!r} names no folder; it has to be PATH or LABEL=PATH")
    if not equals or not label or "/" in label or Path(argument).exists():
        return None, argument
    return label, path


def _is_data(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*FILE_SUFFIXES, CSV_SUFFIX)


def unpack_zip(archive: Path) -> Path:
    """Unpack the images and CSV files of a zip into the cache, complete or absent. Raises ``UnsafeArchive``."""
    status = archive.stat()
    identity = f"{archive.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    folder = storage.get_cache_dir() / "zip" / f"{archive.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_check_members(opened, archive))
            with Progress("unpacking", len(members), unit="files") as progress:
                for member in progress.track(members):
                    _unpack_member(opened, member, partial, status.st_mtime_ns)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, UserError | OSError) or not isinstance(error, Exception):
            raise
        # zlib, lzma, bz2 and zipfile raise many types of exceptions for damaged data.
        raise UnsafeArchive(f"{str(archive)!r} is no zip, or a damaged one: {error}") from None
    partial.mkdir(parents=True, exist_ok=True)
    try:
        partial.rename(folder)
    except OSError:  # another process has unpacked it meanwhile
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _check_members(opened: zipfile.ZipFile, archive: Path) -> Iterator[zipfile.ZipInfo]:
    """Check all members, and return those to unpack. Raises ``UnsafeArchive``."""
    selected: dict[str, zipfile.ZipInfo] = {}
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
        if str(path) in selected:
            raise UnsafeArchive(f"{str(archive)!r} holds {member.filename!r} twice")
        selected[str(path)] = member
    unpacked = sum(member.file_size for member in selected.values())
    if unpacked > max(ALWAYS_UNPACKED_BYTES, MAX_COMPRESSION_RATIO * archive.stat().st_size):
        raise UnsafeArchive(
            f"{str(archive)!r} would unpack to {unpacked:,} bytes, more than {MAX_COMPRESSION_RATIO} times its size; "
            "unpack it yourself if that is right"
        )
    return iter(selected.values())


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, modified: int) -> None:
    """Unpack one member; ``zipfile`` reads at most the size that was checked, and verifies the checksum."""
    target = folder / member.filename.replace("\\", "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as packed, target.open("xb") as plain:
        shutil.copyfileobj(packed, plain, 2**20)
    os.utime(target, ns=(modified, modified))  # that of the archive, so that the data digest is equal on every machine
