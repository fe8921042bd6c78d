"""``manifest.json``: everything an artefact says about itself. Standard library only (``deploy`` reads it too).

The manifest is written last, so a directory that has one is complete. Next: ``artifact.py`` opens what it describes.
"""

import dataclasses
import hashlib
import json
import os
import typing
from pathlib import Path
from typing import Any

from trainer.console.errors import UserError

GATE = "gate"  # folder of the artefact that says whether an image is a signature at all
FILE = "manifest.json"
FORMAT = "countersign/2"
PRECISIONS = ("float32", "int8")  # of the weights of a LiteRT twin


class BadArtifact(UserError):
    """A directory is no artefact of ours, or a damaged one; the message says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """An artefact's description; every field is JSON.

    ``imaging`` are the parameters of ``trainer.imaging.Imaging``, ``quality`` the limits of its warnings, ``decision``
    those of one of ``trainer.artifact.decision``, ``precision`` the twin that answers, ``twins`` the LiteRT files by
    precision, each with its measured ``difference`` from the SavedModel and the ``tolerance`` for that, its ``errors``
    on the validation part in percent, whether it is ``usable``: errs as little as the first, and the ``decision`` that
    was found with it. ``gate`` is the folder of an artefact that says
    whether an image is a signature at all (or empty), ``files`` sha256 and size of every other file.
    """

    problem: str
    question: str
    backbone: str
    labels: list[str]
    vector_size: int
    imaging: dict[str, Any]
    imaging_fingerprint: str
    quality: dict[str, Any]
    decision: dict[str, Any]
    twins: dict[str, dict[str, Any]]
    precision: str
    training: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, str]
    created_at: str
    gate: str = ""
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    format: str = FORMAT


def write(manifest: Manifest, folder: Path) -> Manifest:
    """Record every file of the folder, then write the manifest in one step; returns it as written."""
    manifest = dataclasses.replace(manifest, files=_inventory(folder))
    partial = folder / (FILE + ".partial")
    partial.write_text(json.dumps(dataclasses.asdict(manifest), indent=2) + "\n")
    os.replace(partial, folder / FILE)
    return manifest


def read(folder: Path) -> Manifest:
    """The manifest of an artefact. Raises ``BadArtifact``; does not look at the other files, see ``verify``."""
    path = folder / FILE
    if not folder.is_dir():
        raise BadArtifact(f"no artefact at {str(folder)!r}: there is no such folder")
    if not path.is_file():
        raise BadArtifact(f"{str(folder)!r} is no artefact, or an incomplete one: it has no {FILE}")
    try:
        values = json.loads(path.read_text())
        found = values.get("format") if isinstance(values, dict) else None
    except ValueError as error:
        raise BadArtifact(f"{str(path)!r} is not JSON: {error}") from None
    if found != FORMAT:
        raise BadArtifact(f"{str(path)!r} has format {found!r}; this version reads {FORMAT!r}")
    try:
        described = Manifest(**values)
        _check_types(described, path)
        return described
    except TypeError as error:
        raise BadArtifact(f"{str(path)!r} lacks or adds a field: {str(error).split('__init__() ')[-1]}") from None


def _check_types(described: Manifest, path: Path) -> None:
    for field in dataclasses.fields(Manifest):
        value: Any = getattr(described, field.name)
        kind: Any = typing.get_origin(field.type) or field.type
        if type(value) is not kind:
            raise BadArtifact(f"{str(path)!r}: {field.name!r} is {type(value).__name__}, it has to be {kind.__name__}")


def answering(manifest: Manifest, precision: str) -> Manifest:
    """The same artefact, answering with another of its twins. Raises ``BadArtifact`` when that is not usable."""
    twin = manifest.twins.get(precision)
    if twin is None:
        raise BadArtifact(f"the artefact has no twin of precision {precision!r}; it has {', '.join(manifest.twins)}")
    if not twin["usable"]:
        before, after = manifest.twins[PRECISIONS[0]]["errors"], twin["errors"]
        worse = ", ".join(f"{name} {before[name]:.2f} to {after[name]:.2f} %" for name in after)
        raise BadArtifact(f"the {precision} twin is not usable, it errs more on validation images: {worse}")
    metrics = {"measured_with": manifest.precision, **manifest.metrics} if manifest.metrics else {}
    if metrics.get("measured_with") == precision:
        del metrics["measured_with"]
    return dataclasses.replace(manifest, precision=precision, decision=twin["decision"], metrics=metrics)


def identity(folder: Path) -> str:
    """Which artefact this is: 64 hex digits, the sha256 of its manifest, which records that of every other file."""
    return _sha256(folder / FILE)


def verify(manifest: Manifest, folder: Path) -> None:
    """Compare size and sha256 of every recorded file. Raises ``BadArtifact`` naming the first that differs."""
    for name, recorded in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BadArtifact(f"the artefact lacks {name!r}, which its manifest records")
        if path.stat().st_size != recorded["bytes"]:
            raise BadArtifact(
                f"{name!r} has {path.stat().st_size} bytes, the manifest records {recorded['bytes']}: damaged"
            )
        if _sha256(path) != recorded["sha256"]:
            raise BadArtifact(f"{name!r} does not have the recorded sha256: damaged or changed after export")


def _inventory(folder: Path) -> dict[str, dict[str, Any]]:
    own = (folder / FILE, folder / (FILE + ".partial"))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)
    return {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
