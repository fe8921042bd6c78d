"""Open artefacts, local, ready or on Cloud Storage, and keep each one in the store under its sha256.

Independent of the SDK. Next: ``executor.py`` registers what is stored here.
"""

import functools

from deploy.live_state import VersionIdentity
from deploy.release import Release
from deploy.spec import Environment
from trainer import storage
from trainer.artifact import manifest
from trainer.artifact.manifest import BadArtifact
from trainer.console.progress import transfer_progress
from trainer.ready import fetch_artifact
from trainer.storage import Workdir


def open_declared(environment: Environment) -> Release:
    """Open the artefact that the environment names. Raises ``BadArtifact`` or ``StorageError``."""
    return open_artifact(environment.model.artifact, environment.model.image)


@functools.cache
def open_artifact(artifact: str, image: str) -> Release:
    """Download an artefact if necessary, read and verify it. Raises ``BadArtifact`` or ``StorageError``."""
    folder = fetch_artifact(artifact, progress=transfer_progress)
    contents = manifest.read(folder)
    manifest.verify(contents, folder)
    return Release(folder, contents, manifest.identity(folder), image)


def open_stored(environment: Environment, identity: VersionIdentity, image: str) -> Release:
    """Open an artefact of the store. Raises ``BadArtifact`` where its folder holds another artefact."""
    uri = environment.artifact_uri(identity.artifact)
    release = open_artifact(uri, image)
    if release.identity.artifact != identity.artifact:
        raise BadArtifact(f"{uri!r} holds artefact {release.sha256[:12]}, not the one that it is named after")
    return release


def upload(environment: Environment, release: Release) -> None:
    """Copy an artefact to the store; the manifest goes last, so a folder with a manifest is complete."""
    Workdir(release.folder, environment.artifact_uri(release.sha256)).push(manifest.FILE)


def is_stored(environment: Environment, identity: VersionIdentity) -> bool:
    """Whether the store holds a complete copy of an artefact."""
    return storage.exists(f"{environment.artifact_uri(identity.artifact)}/{manifest.FILE}")
