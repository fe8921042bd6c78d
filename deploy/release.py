"""An artefact on its way to Vertex AI: its manifest, its identity, its files here and its place in the store.

Knows artefacts and storage, not the SDK.
"""

import dataclasses
import functools
from pathlib import Path

from deploy.live import DIGITS, Identity
from deploy.spec import Environment
from trainer import storage
from trainer.artifact import manifest
from trainer.artifact.manifest import BadArtifact, Manifest
from trainer.console.progress import fetching
from trainer.storage import Place


@dataclasses.dataclass(frozen=True)
class Release:
    """A verified artefact in a local ``folder``, and the image that is to answer with it."""

    folder: Path
    manifest: Manifest
    sha256: str
    image: str

    @property
    def identity(self) -> Identity:
        return Identity(self.sha256[:DIGITS], self.image.rpartition(":")[2][:DIGITS])


def given(environment: Environment) -> Release:
    """The artefact and image that the environment names. Raises ``BadArtifact`` or ``StorageError``."""
    return opened(environment.model.artifact, environment.model.image)


@functools.cache
def opened(artifact: str, image: str) -> Release:
    """Fetch, read and verify."""
    folder = storage.fetch(artifact, progress=fetching)
    described = manifest.read(folder)
    manifest.verify(described, folder)
    return Release(folder, described, manifest.identity(folder), image)


def stored(environment: Environment, identity: Identity, image: str) -> Release:
    """An artefact that is in the store already. Raises ``BadArtifact`` when another one lies in its place."""
    place = environment.stored(identity.artifact)
    found = opened(place, image)
    if found.identity.artifact != identity.artifact:
        raise BadArtifact(f"{place!r} holds artefact {found.sha256[:12]}; it is not what its place is named after")
    return found


def store(environment: Environment, release: Release) -> None:
    """Copy an artefact to its place in the store; its manifest goes last, so what has one is complete."""
    Place(release.folder, environment.stored(release.sha256)).push(manifest.FILE)


def is_stored(environment: Environment, identity: Identity) -> bool:
    """Whether a complete copy is in the store."""
    return storage.exists(f"{environment.stored(identity.artifact)}/{manifest.FILE}")
