"""Read, write and verify ``manifest.json``, the description of an artefact. Standard library only, also for ``deploy``.

The manifest is written last, so a directory that has one is complete. Next: ``artifact.py`` opens an artefact by it.
"""

import copy
import dataclasses
import datetime
import functools
import hashlib
import json
import logging
import os
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.console.errors import UserError

# Parts of an artefact, each with the folder of its own artefact.
SIGNATURE_CHECK = "signature_check"  # decides whether an image is a signature
VERIFIER = "verifier"  # compares what a finder has found
FILE = "manifest.json"
FORMAT = "countersign/3"
OLDER = ("countersign/2",)  # formats that are read, with a warning, until the next release
# Keys of older formats, by path, each with its current name; renamed in this order. "*" stands for every key.
RENAMED = {
    "twins": "variants",
    "precision": "variant",
    "gate": "signature_check",
    "decision.size": "embedding_dim",
    "decision.cohesion": "prior_cohesion",
    "decision.most": "max_references",
    "decision.band": "inconclusive_margin",
    "decision.against": "calibrated_on",
    "variants.*.decision.size": "embedding_dim",
    "variants.*.decision.cohesion": "prior_cohesion",
    "variants.*.decision.most": "max_references",
    "variants.*.decision.band": "inconclusive_margin",
    "variants.*.decision.against": "calibrated_on",
    "training.audit.untrue": "error",
    "training.audit.doubtful": "warning",
    "training.audit.note": "info",
    "training.settings.model.embedding": "embedding_dim",
    "training.settings.model.serve": "variant",
    "training.settings.model.gate": "signature_check",
    "training.settings.training.averaging": "ema_decay",
    "training.settings.training.precision": "dtype_policy",
    "metrics.by_source": "by_corpus",
    "metrics.references.*.eer_skilled_own_threshold": "eer_skilled_per_writer_threshold",
    "metrics.references.*.eer_random_own_threshold": "eer_random_per_writer_threshold",
}
UNKNOWN = "unknown"  # the answer of a decision with a rejection limit to an image of none of its labels
VARIANTS = ("float32", "int8")  # LiteRT models of an artefact, by the type of their weights; the first is the reference
LOG = logging.getLogger("countersign")  # the reason for this name is in trainer/settings/flags.py


class BadArtifact(UserError):
    """A directory is no artefact, or a damaged one; the message says what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The description of an artefact; every field is JSON.

    ``imaging`` has the parameters of ``trainer.imaging.Imaging``, ``quality`` the limits of its warnings, ``decision``
    the parameters of a type of ``decision.py``. ``variant`` is the LiteRT variant that answers. ``variants`` are all of
    them by name: ``file``, measured ``difference`` from the SavedModel and its ``tolerance``, ``errors`` on the
    validation split in percent, ``usable`` if the errors are about those of the first variant, and the ``decision``
    calibrated with it. ``signature_check`` is the folder of an artefact that decides first whether an image is a
    signature, or empty; ``verifier`` that of one that compares signatures which a finder has found.
    ``monitoring`` has the distributions of ``monitoring.py`` on validation images; artefacts of earlier releases have
    none. ``files`` are size and sha256 of every other file.
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
    verifier: str = ""
    monitoring: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    format: str = FORMAT

    @property
    def parts(self) -> dict[str, str]:
        """Return the folders of the parts by name; empty texts for those that there are not."""
        return {SIGNATURE_CHECK: self.signature_check, VERIFIER: self.verifier}


def write(manifest: Manifest, folder: Path) -> Manifest:
    """Record every file of the folder in the manifest, write it in one step, and return it as written."""
    manifest = dataclasses.replace(manifest, files=_inventory(folder))
    partial = folder / (FILE + ".partial")
    partial.write_text(json.dumps(dataclasses.asdict(manifest), indent=2) + "\n")
    os.replace(partial, folder / FILE)
    return manifest


def read(folder: Path) -> Manifest:
    """Read the manifest of an artefact, with current names whatever its format. ``verify`` checks the other files.

    Raises ``BadArtifact`` if there is no manifest of a known format.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise BadArtifact(f"no artefact at {str(folder)!r}: there is no such folder")
    if not path.is_file():
        raise BadArtifact(f"{str(folder)!r} is no artefact, or an incomplete one: it has no {FILE}")
    try:
        values = json.loads(path.read_text())
        format = values.get("format") if isinstance(values, dict) else None
    except ValueError as error:
        raise BadArtifact(f"{str(path)!r} is not JSON: {error}") from None
    if format in OLDER:
        _warn_about_format(path, format)
        values = {**_use_current_names(values), "format": FORMAT}
    elif format != FORMAT:
        raise BadArtifact(f"{str(path)!r} has format {format!r}; this version reads {FORMAT!r}")
    try:
        manifest = Manifest(**values)
        _check_types(manifest, path)
        return manifest
    except TypeError as error:
        raise BadArtifact(f"{str(path)!r} lacks or adds a field: {str(error).split('__init__() ')[-1]}") from None


@functools.cache
def _warn_about_format(path: Path, format: str) -> None:
    """Warn once for each artefact, because a command may read its manifest several times."""
    renamed = ", ".join(f"{old} is now {new}" for old, new in RENAMED.items() if "." not in old)
    LOG.warning(
        "%r has format %r (%s), which the next release will not read; python -m trainer.variant copies it to format %r",
        str(path),
        format,
        renamed,
        FORMAT,
    )


def _use_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a manifest of an older format with the current keys."""
    values = copy.deepcopy(values)
    for path, new in RENAMED.items():
        *parents, old = path.split(".")
        for table in _find_tables(values, parents):
            if old in table and new not in table:
                table[new] = table.pop(old)
    return values


def _find_tables(values: Any, parents: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the tables at a path, in which ``*`` stands for every key."""
    if not isinstance(values, dict):
        return
    if not parents:
        yield values
        return
    for name in list(values) if parents[0] == "*" else [parents[0]]:
        yield from _find_tables(values.get(name), parents[1:])


def _check_types(manifest: Manifest, path: Path) -> None:
    for field in dataclasses.fields(Manifest):
        actual: type = type(getattr(manifest, field.name))
        expected: Any = typing.get_origin(field.type) or field.type
        if actual is not expected:
            raise BadArtifact(f"{str(path)!r}: {field.name!r} is {actual.__name__}, it has to be {expected.__name__}")


def read_error_rates(manifest: Manifest) -> dict[str, float]:
    """Return the published error rates of an artefact, in percent by name."""
    return dict(manifest.metrics.get("errors", {}))


def select_variant(manifest: Manifest, name: str) -> Manifest:
    """Return the manifest of the same artefact with another answering variant.

    Raises ``BadArtifact`` if there is no such variant, or it is not usable.
    """
    variant = manifest.variants.get(name)
    if variant is None:
        raise BadArtifact(f"the artefact has no variant {name!r}; it has {', '.join(manifest.variants)}")
    if not variant["usable"]:
        reference, errors = manifest.variants[VARIANTS[0]]["errors"], variant["errors"]
        changes = ", ".join(f"{error} {reference[error]:.2f} to {errors[error]:.2f} %" for error in errors)
        raise BadArtifact(
            f"the variant {name} is not usable, its error rates on validation images are higher: {changes}"
        )
    metrics = {"measured_with": manifest.variant, **manifest.metrics} if manifest.metrics else {}
    if metrics.get("measured_with") == name:
        del metrics["measured_with"]
    return dataclasses.replace(manifest, variant=name, decision=variant["decision"], metrics=metrics)


def identity(folder: Path) -> str:
    """Return the identity of an artefact: the sha256 of its manifest, in hex, which covers that of every other file."""
    return _sha256(folder / FILE)


def verify(manifest: Manifest, folder: Path) -> None:
    """Compare size and sha256 of every recorded file. Raises ``BadArtifact`` for the first that differs."""
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


def format_time() -> str:
    """Return the time as the manifest keeps it: ISO 8601 in UTC, or that of ``SOURCE_DATE_EPOCH``.

    See reproducible-builds.org.
    """
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="seconds")


def _inventory(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and sha256 of every file in a folder but the manifest."""
    excluded = (folder / FILE, folder / (FILE + ".partial"))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in excluded)
    return {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
