"""An artefact ready to answer: manifest, imaging, decision and as many engines as there are threads.

The one way from an image file to an answer; ``trainer.evaluate``, the server and ``predictor.offline`` all take it.
Knows no problem and no HTTP.
"""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np

from trainer.artifact import decision, golden, manifest
from trainer.artifact.engine import Engine, load
from trainer.imaging import Canonical, Imaging, Limits, Quality, canonicalise

GOLDEN_TOLERANCE = 1e-4  # float32 twin against itself on another CPU
REFERENCE_TOLERANCE = 1e-4  # TensorFlow against the float32 twin


class Model:
    """An opened artefact. Threads may share it: each gets an engine of its own over the same weights."""

    def __init__(self, folder: Path, engine: str = "litert", limits: Limits = Limits()):
        """Raises ``BadArtifact`` when the folder is not a complete artefact."""
        self.folder = folder
        self.manifest = manifest.read(folder)
        manifest.verify(self.manifest, folder)
        self.imaging = _imaging(self.manifest)
        self.quality = _quality(self.manifest)
        self.decision = decision.from_manifest(self.manifest.decision)
        self.limits = limits
        self._make_engine = load(self.manifest, folder, engine)
        self._local = threading.local()

    def see(self, data: bytes) -> Canonical:
        """One image file to canonical ink. Raises ``ImageError``."""
        return canonicalise(data, self.imaging, self.limits, self.quality)

    @property
    def engine(self) -> Engine:
        """This thread's engine."""
        if not hasattr(self._local, "engine"):
            self._local.engine = self._make_engine()
        return self._local.engine

    def vector(self, canonical: Canonical) -> np.ndarray:
        """``float32 [D]`` of one canonical image."""
        return self.engine(canonical.image[None])[0]

    def answer(self, data: bytes) -> dict[str, Any]:
        """One image file to the answer people get. Raises ``ImageError``."""
        canonical = self.see(data)
        warnings = [dataclasses.asdict(warning) for warning in canonical.warnings]
        return {**self.decision.answer(self.vector(canonical)), "warnings": warnings}

    def prove(self) -> int:
        """Replay the golden answers; returns how many. Raises ``GoldenMismatch``."""
        return golden.replay(self.folder, self.imaging, self.engine, GOLDEN_TOLERANCE)


def _imaging(described: manifest.Manifest) -> Imaging:
    try:
        imaging = Imaging(**described.imaging)
    except (TypeError, ValueError) as error:
        raise manifest.BadArtifact(f"the manifest's imaging parameters are not ours: {error}") from None
    if imaging.fingerprint() != described.imaging_fingerprint:
        raise manifest.BadArtifact(
            f"the artefact was trained on images of imaging {described.imaging_fingerprint}, this version makes "
            f"{imaging.fingerprint()}: serve it with the version that trained it, or train again"
        )
    return imaging


def _quality(described: manifest.Manifest) -> Quality:
    try:
        return Quality(**described.quality)
    except TypeError as error:
        raise manifest.BadArtifact(f"the manifest's limits of quality are not ours: {error}") from None
