"""An artefact ready to answer: manifest, imaging, decision and as many engines as there are threads.

The one way from an image file to an answer; ``trainer.evaluate``, the server and ``predictor.offline`` all take it:
``look`` at every image, which is the work, then ``decide`` on what was seen, which is not. Knows no problem, no HTTP.
"""

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.artifact import decision, golden, manifest
from trainer.artifact.decision import BadQuestion, Parameters
from trainer.artifact.engine import Engine, Pool, load
from trainer.imaging import Canonical, Imaging, Ink, Limits, Page, Quality, canonicalise, draw, read_ink

NO_PAGE = Page(np.empty((0, 0), np.uint8))  # the decoded file may be 12 MB, and a request may hold hundreds
NO_SIGNATURE = ("blank", "too_much_ink")  # warnings that mean as much: a dot of dirt, a photograph


@dataclasses.dataclass(frozen=True)
class Look:
    """What was seen of one image.

    ``vector`` is ``float32 [D]``; ``no_signature`` says why it is none (``code``, ``value``, and the ``limit`` of the
    quality check), for models that compare signatures: then the vector is zeros. ``seconds`` is what its stages took.
    """

    canonical: Canonical
    vector: np.ndarray
    no_signature: dict[str, Any] | None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """As they are answered."""
        return [dataclasses.asdict(warning) for warning in self.canonical.warnings]


class Model:
    """An opened artefact that any number of threads may share.

    Engines are made as threads compute at the same time; ``prove`` has ``threads`` of them ready. One more, which
    computes on as many cores, is for an image that is ``alone`` on an idle machine.
    """

    def __init__(self, folder: Path, engine: str = "litert", limits: Limits = Limits(), threads: int = 1):
        """Raises ``BadArtifact`` when the folder is not a complete artefact."""
        self.folder = folder
        self.manifest = manifest.read(folder)
        self.identity = manifest.identity(folder)
        manifest.verify(self.manifest, folder)
        self.imaging = _imaging(self.manifest)
        self.quality = _quality(self.manifest)
        self.decision = decision.from_manifest(self.manifest.decision)
        self.limits = limits
        self._threads = threads
        make = load(self.manifest, folder, engine)
        self.engine = Pool(make)
        self._wide = (threading.Lock(), make(threads)) if threads > 1 else None
        check = self.manifest.signature_check
        self._signature_check = Model(folder / check, engine, limits, threads) if check else None

    def see(self, data: bytes) -> Canonical:
        """One image file to canonical ink. Raises ``ImageError``."""
        return canonicalise(data, self.imaging, self.limits, self.quality)

    def vector(self, image: np.ndarray, alone: bool = False) -> np.ndarray:
        """``uint8 [H, W, 1] -> float32 [D]``; ``alone`` on the machine, it is computed on all cores."""
        if alone and self._wide and self._wide[0].acquire(blocking=False):
            try:
                return self._wide[1](image[None])[0]
            finally:
                self._wide[0].release()
        return self.engine(image[None])[0]

    def look(self, data: bytes, alone: bool = False) -> Look:
        """One image file to everything that a decision needs. Raises ``ImageError``.

        It is decoded and inked once, also for a signature check of the same canvas.
        """
        began = time.perf_counter()
        page, ink = read_ink(data, self.imaging, self.limits)
        canonical = Canonical(draw(ink, self.imaging), self.quality.warnings(ink, page), NO_PAGE)
        seen = time.perf_counter()
        no_signature = self._no_signature(data, ink, canonical, alone)
        nothing = np.zeros(self.manifest.vector_size, np.float32)
        vector = nothing if no_signature else self.vector(canonical.image, alone)
        seconds = {"image": seen - began, "engine": time.perf_counter() - seen}
        return Look(canonical, vector, no_signature, seconds)

    def decide(
        self, look: Look, references: Sequence["Look | np.ndarray"] = (), parameters: Parameters = Parameters()
    ) -> dict[str, Any]:
        """The answer people get.

        ``references`` are looks at images or stored vectors ``float32 [D]``, for models that compare. Raises
        ``BadQuestion`` when the model does not answer such a question.
        """
        if references and not self.decision.compares:
            raise BadQuestion("this model judges single images; it takes no references")
        if parameters.encoder not in (None, self.encoder):
            raise BadQuestion("the stored embeddings were made by another model; enrol again with this one")
        reasons = [
            {"image": "questioned" if place == 0 else f"reference {place - 1}", **seen.no_signature}
            for place, seen in enumerate((look, *references))
            if isinstance(seen, Look) and seen.no_signature
        ]
        if reasons:
            return {"decision": "not_a_signature", "because": reasons, "warnings": look.warnings}
        vectors = [seen.vector if isinstance(seen, Look) else seen for seen in references]
        answer = self.decision.answer(look.vector, vectors, parameters)
        for each, seen in zip(answer.get("per_reference", ()), references, strict=False):
            each["warnings"] = seen.warnings if isinstance(seen, Look) else []
        return {**answer, **self._named(answer), "warnings": look.warnings}

    def _named(self, answer: dict[str, Any]) -> dict[str, str]:
        """Whose embedding it is, where one is answered."""
        return {"encoder": self.encoder} if "embedding" in answer else {}

    @property
    def encoder(self) -> str:
        """What must be the same for embeddings to be comparable: the network that answers, and its imaging."""
        variant = self.manifest.files[self.manifest.variants[self.manifest.variant]["file"]]
        return f"{variant['sha256'][:32]}-{self.manifest.imaging_fingerprint}"

    def facts(self) -> dict[str, Any]:
        """What a server says about itself beyond what was learnt."""
        return {**self.decision.facts(), **({"encoder": self.encoder} if self.decision.compares else {})}

    def answer(self, data: bytes) -> dict[str, Any]:
        """One image file by itself to its answer. Raises ``ImageError``."""
        return self.decide(self.look(data))

    def prove(self) -> int:
        """Replay the golden answers on every engine that will answer; returns how many images there are.

        Also those made later are checked before they answer. Raises ``GoldenMismatch``.
        """
        proven = self._signature_check.prove() if self._signature_check else 0
        expected = golden.read(self.folder, self.imaging, self.manifest.variant)

        def check(engine: Engine) -> None:
            for each in expected:
                each.replay(engine)

        if self._wide:
            check(self._wide[1])
        self.engine.check = check
        self.engine.fill(self._threads)
        return proven + len(expected)

    def _no_signature(self, data: bytes, ink: Ink, canonical: Canonical, alone: bool) -> dict[str, Any] | None:
        """Why an image is no signature, if it is none; only models that compare ask."""
        if not self.decision.compares:
            return None
        for warning in canonical.warnings:
            if warning.code in NO_SIGNATURE:
                return dataclasses.asdict(warning)
        if self._signature_check is None:
            return None
        if (
            self._signature_check.imaging.side != self.imaging.side
        ):  # it learnt from ink that was decided at another resolution
            _, ink = read_ink(data, self._signature_check.imaging, self.limits)
        found = self._signature_check.decision.answer(
            self._signature_check.vector(draw(ink, self._signature_check.imaging), alone)
        )
        return None if found["label"] == "signature" else {"code": found["label"], "value": found["score"]}


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
