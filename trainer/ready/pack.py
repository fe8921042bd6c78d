"""Pack an exported artefact as a ready one: with its model card, without folder names, and small.

A ready artefact stays a whole artefact: its LiteRT variants answer, its SavedModel starts other trainings, its golden
images prove both. ``variants`` leaves one out where the limit asks for it. Next: ``trainer/artifact/card.py``.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from trainer.artifact import card, golden_file, golden_regions, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.card import CardFacts
from trainer.artifact.manifest import VARIANTS, Manifest
from trainer.console.errors import UserError

MAX_BYTES = 4_000_000  # of all files, because every installation and every image carries them


class ArtifactTooLarge(UserError):
    """A packed artefact exceeds ``MAX_BYTES``; the message lists its largest files."""


def pack(
    artifact_dir: Path,
    facts: CardFacts,
    folder: Path,
    variants: Sequence[str] = VARIANTS,
    verifier: Artifact | None = None,
    monitoring: dict[str, Any] | None = None,
) -> Manifest:
    """Write the artefact into ``folder``, which is replaced; return its manifest.

    ``variants`` are those to keep; the first of them answers if the present one is not kept. The golden answers of a
    finder record also what a ``verifier`` makes of the signatures that it finds. ``monitoring`` replaces the
    distributions of the artefact, for one that is served with another beside it. Raises ``BadArtifact`` and
    ``ArtifactTooLarge``, and then changes nothing.
    """
    described = manifest.read(artifact_dir)
    manifest.verify(described, artifact_dir)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(artifact_dir, partial)
        packed = _keep_variants(described, variants, partial)
        packed = dataclasses.replace(
            packed, training=_remove_folders(packed.training), monitoring=monitoring or packed.monitoring
        )
        card.write(partial, packed, facts)
        written = manifest.write(packed, partial)
        if verifier:
            golden_regions.record(Artifact(partial), verifier)
            written = manifest.write(packed, partial)
        Artifact(partial).replay_golden()
        _check_size(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _keep_variants(described: Manifest, variants: Sequence[str], folder: Path) -> Manifest:
    """Delete the files of the other variants; return a manifest without them."""
    answering = described.variant if described.variant in variants else variants[0]
    described = manifest.select_variant(described, answering)
    for name in set(described.variants) - set(variants):
        (folder / described.variants[name]["file"]).unlink()
    golden_file.keep_variants(folder, variants)
    return dataclasses.replace(described, variants={name: described.variants[name] for name in variants})


def _remove_folders(value: Any) -> Any:
    """Return JSON in which every path out of a machine's folders, also of LABEL=PATH, is its last name."""
    if isinstance(value, dict):
        return {key: _remove_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_remove_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    label, separator, path = value.rpartition("=")
    return f"{label}{separator}{PurePath(path).name}" if path.startswith(("/", "..")) else value


def _check_size(folder: Path) -> None:
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    if total > MAX_BYTES:
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:4]
        listed = ", ".join(f"{name} {size:,}" for name, size in largest)
        raise ArtifactTooLarge(
            f"the packed artefact has {total:,} bytes, {MAX_BYTES:,} are accepted; largest: {listed}. A smaller "
            "backbone, or fewer variants, is smaller"
        )
