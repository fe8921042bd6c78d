"""Copy an artefact with another manifest or other parts, complete or absent, and prove it by its golden answers.

Next: ``trainer/variant.py`` and ``trainer/calibrate.py``, which change the manifest.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from trainer.artifact import card, golden_regions, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.card import CardFacts
from trainer.artifact.location import Locator
from trainer.artifact.manifest import Manifest


def check_new(out: Path) -> None:
    """Raise ``FileExistsError`` if there is something at ``out``."""
    if out.exists():
        raise FileExistsError(f"{str(out)!r} exists; it has to be new")


def write_copy(
    folder: Path,
    changed: Manifest,
    out: Path,
    parts: Mapping[str, Path] = MappingProxyType({}),
    facts: CardFacts | None = None,
) -> None:
    """Write a copy of the artefact in ``folder`` with a changed manifest.

    ``parts`` are the folders of artefacts that become parts of the copy, by the name of the part in the manifest.
    ``facts`` are those of its model card, by default those of the artefact. Raises ``BadArtifact``, and
    ``FileExistsError`` if ``out`` exists.
    """
    manifest.verify(manifest.read(folder), folder)  # or the new manifest would record damaged files as intact
    check_new(out)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    for name, source in parts.items():
        manifest.verify(manifest.read(source), source)
        shutil.rmtree(partial / name, ignore_errors=True)
        shutil.copytree(source, partial / name)
    changed = dataclasses.replace(changed, **{name: name for name in parts})  # type: ignore[arg-type]
    if manifest.SIGNATURE_CHECK in parts:  # its scores and answers are others now, and nobody has watched them yet
        changed = dataclasses.replace(changed, monitoring={})
    if facts or (partial / card.FACTS_FILE).exists():
        card.write(partial, changed, facts or card.read_facts(partial / card.FACTS_FILE))
    for name in filter(None, changed.parts.values()):  # those of an artefact of an older format are of that format
        manifest.write(manifest.read(partial / name), partial / name)
    manifest.write(changed, partial)
    artifact = Artifact(partial)
    artifact.replay_golden()
    if isinstance(artifact.decision, Locator) and artifact.verifier:
        golden_regions.record(artifact, artifact.verifier)
        manifest.write(changed, partial)
    partial.rename(out)
