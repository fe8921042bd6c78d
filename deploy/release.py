"""A release: a verified artefact in a local folder, and the prediction image that answers with it.

Independent of storage and SDK. Next: ``artifact_store.py`` opens and uploads artefacts.
"""

import dataclasses
from pathlib import Path

from deploy.live_state import DIGEST_DIGITS, VersionIdentity
from trainer.artifact import card
from trainer.artifact.card import CardFacts
from trainer.artifact.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class Release:
    """A verified artefact in ``folder``, and the image that answers with it, named by its digest."""

    folder: Path
    manifest: Manifest
    sha256: str
    image: str

    @property
    def card_facts(self) -> CardFacts | None:
        """The facts of its model card; None for an artefact of an earlier release."""
        path = self.folder / card.FACTS_FILE
        return card.read_facts(path) if path.exists() else None

    @property
    def identity(self) -> VersionIdentity:
        return VersionIdentity(self.sha256[:DIGEST_DIGITS], self.image.rpartition(":")[2][:DIGEST_DIGITS])
