"""``manifest.json``: everything an artefact says about itself. Standard library only (``deploy`` reads it too).

The manifest is written last, so a directory that has one is complete. Next: ``artifact.py`` opens what it describes.
"""

import copy
import dataclasses
import functools
import hashlib
import json
import logging
import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.console.errors import UserError

SIGNATURE_CHECK = "signature_check"  # folder of the artefact that says whether an image is a signature at all
FILE = "manifest.json"
FORMAT = "countersign/3"
OLDER = ("countersign/2",)  # formats that are read, with a warning, until the next release
# Paths of keys that older formats have, in the order in which they are renamed: the key's name now. "*" is every key.
RENAMED = {
    "twins": "variants",
    "precision": "variant",
    "gate": "signature_check",
    "training.settings.model.embedding": "embedding_dim",
    "training.settings.model.serve": "variant",
    "training.settings.model.gate": "signature_check",
    "training.settings.training.averaging": "ema_decay",
    "training.settings.training.precision": "dtype_policy",
}
VARIANTS = ("float32", "int8")  # LiteRT models of an artefact, by the type of their weights
LOG = logging.getLogger("countersign")  # see flags.py


class BadArtifact(UserError):
    """A directory is no artefact of ours, or a damaged one; the message says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """An artefact's description; every field is JSON.

    ``imaging`` are the parameters of ``trainer.imaging.Imaging``, ``quality`` the limits of its warnings, ``decision``
    those of one of ``trainer.artifact.decision``, ``variant`` the LiteRT variant that answers, ``variants`` all of them
    by name, each with its measured ``difference`` from the SavedModel and the ``tolerance`` for that, its ``errors``
    on the validation part in percent, whether it is ``usable``: errs as little as the first, and the ``decision`` that
    was calibrated with it. ``signature_check`` is the folder of an artefact that says whether an image is a signature
    at all (or empty), ``files`` sha256 and size of every other file.
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
    variants: dict[str, dict[str, Any]]
    variant: str
    training: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, str]
    created_at: str
    signature_check: str = ""
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
    """The manifest of an artefact, with current names whatever its format; see ``verify`` for the other files.

    Raises ``BadArtifact``.
    """
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
    if found in OLDER:
        _warn_of_older(path, found)
        values = {**_with_current_names(values), "format": FORMAT}
    elif found != FORMAT:
        raise BadArtifact(f"{str(path)!r} has format {found!r}; this version reads {FORMAT!r}")
    try:
        described = Manifest(**values)
        _check_types(described, path)
        return described
    except TypeError as error:
        raise BadArtifact(f"{str(path)!r} lacks or adds a field: {str(error).split('__init__() ')[-1]}") from None


@functools.cache
def _warn_of_older(path: Path, format: str) -> None:
    """Once for each artefact, whose manifest a command may read several times."""
    renamed = ", ".join(f"{old} is now {new}" for old, new in RENAMED.items() if "." not in old)
    LOG.warning(
        "%r has format %r (%s), which the next release will not read; python -m trainer.variant copies it to format %r",
        str(path), format, renamed, FORMAT,
    )  # fmt: skip


def _with_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """What a manifest of an older format holds, in the keys of this one."""
    values = copy.deepcopy(values)
    for path, new in RENAMED.items():
        *parents, old = path.split(".")
        for table in _tables(values, parents):
            if old in table and new not in table:
                table[new] = table.pop(old)
    return values


def _tables(values: Any, parents: list[str]) -> Iterator[dict[str, Any]]:
    """The tables at a path, where ``*`` is every key."""
    if not isinstance(values, dict):
        return
    if not parents:
        yield values
        return
    for name in list(values) if parents[0] == "*" else [parents[0]]:
        yield from _tables(values.get(name), parents[1:])


def _check_types(described: Manifest, path: Path) -> None:
    for field in dataclasses.fields(Manifest):
        value: Any = getattr(described, field.name)
        kind: Any = typing.get_origin(field.type) or field.type
        if type(value) is not kind:
            raise BadArtifact(f"{str(path)!r}: {field.name!r} is {type(value).__name__}, it has to be {kind.__name__}")


def select_variant(manifest: Manifest, name: str) -> Manifest:
    """The same artefact, answering with another of its variants. Raises ``BadArtifact`` when that is not usable."""
    variant = manifest.variants.get(name)
    if variant is None:
        raise BadArtifact(f"the artefact has no variant {name!r}; it has {', '.join(manifest.variants)}")
    if not variant["usable"]:
        before, after = manifest.variants[VARIANTS[0]]["errors"], variant["errors"]
        worse = ", ".join(f"{error} {before[error]:.2f} to {after[error]:.2f} %" for error in after)
        raise BadArtifact(f"the variant {name} is not usable, it errs more on validation images: {worse}")
    metrics = {"measured_with": manifest.variant, **manifest.metrics} if manifest.metrics else {}
    if metrics.get("measured_with") == name:
        del metrics["measured_with"]
    return dataclasses.replace(manifest, variant=name, decision=variant["decision"], metrics=metrics)


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
