"""Open an artefact and answer images with it: manifest, imaging, decision and one engine for each thread.

``trainer.evaluate``, the server and ``predictor.offline`` all answer through this class: ``Artifact.encode`` for every
image, which takes the time, then ``Artifact.decide``, which is fast. Independent of problems and HTTP. Next:
``engine.py``.
"""

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.artifact import card, decision, explain, golden, manifest
from trainer.artifact.decision import DecisionParameters, UnsupportedRequest, Verifier
from trainer.artifact.engine import Engine, EnginePool, load_engine_factory
from trainer.artifact.location import SIGNATURE
from trainer.imaging import (
    CanonicalImage,
    Imaging,
    Ink,
    Limits,
    Page,
    QualityLimits,
    canonicalise,
    draw_ink,
    find_warnings,
    measure_quality,
    read_ink,
)

EMPTY_PAGE = Page(np.empty((0, 0), np.uint8))  # replaces a decoded file of up to 12 MB, of which requests have hundreds
REJECTING_WARNINGS = ("blank", "too_much_ink")  # quality warnings of a speck of dirt, and of a photograph


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as a decision needs it: its canonical image and its ``vector``, ``float32 [D]``.

    ``rejection`` is None, or the reason why the image is no signature: ``code``, ``value``, and the ``limit`` of a
    quality warning. Only verifiers reject; the vector of a rejected image is zero. ``stage_seconds`` are the durations
    of the stages ``image`` (decode, find ink) and ``engine``.
    """

    canonical: CanonicalImage
    vector: np.ndarray
    rejection: dict[str, Any] | None
    stage_seconds: dict[str, float] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """Return the quality warnings in their JSON form."""
        return [dataclasses.asdict(warning) for warning in self.canonical.warnings]


class Artifact:
    """An opened artefact, which any number of threads may share.

    ``replay_golden`` prepares ``threads`` engines; more are made when more threads compute at the same time. One
    further engine uses ``threads`` cores at once, for a single image on an idle machine.
    """

    def __init__(self, folder: Path, engine: str = "litert", limits: Limits = Limits(), threads: int = 1):
        """Open the artefact in a folder. Raises ``BadArtifact`` if it is incomplete, damaged or of another version."""
        self.folder = folder
        self.manifest = manifest.read(folder)
        self.identity = manifest.identity(folder)
        manifest.verify(self.manifest, folder)
        self.imaging = _read_imaging(self.manifest)
        self.quality = _read_quality(self.manifest)
        self.decision = decision.from_manifest(self.manifest.decision)
        facts_file = folder / card.FACTS_FILE  # artefacts of earlier releases have none
        self.card_facts = card.read_facts(facts_file) if facts_file.exists() else None
        self.limits = limits
        self._threads = threads
        make_engine = load_engine_factory(self.manifest, folder, engine)
        self.engine_pool = EnginePool(make_engine)
        self._all_cores = (threading.Lock(), make_engine(threads)) if threads > 1 else None
        parts = {
            name: Artifact(folder / path, engine, limits, threads) if path else None
            for name, path in self.manifest.parts.items()
        }
        self.signature_check, self.verifier = parts[manifest.SIGNATURE_CHECK], parts[manifest.VERIFIER]

    def canonicalise(self, data: bytes) -> CanonicalImage:
        """Make the canonical image of an image file. Raises ``ImageError``."""
        return canonicalise(data, self.imaging, self.limits, self.quality)

    def compute_vector(self, image: np.ndarray, use_all_cores: bool = False) -> np.ndarray:
        """Compute ``uint8 [H, W, 1] -> float32 [D]``; ``use_all_cores`` is faster if no other thread computes."""
        if use_all_cores and self._all_cores and self._all_cores[0].acquire(blocking=False):
            try:
                return self._all_cores[1](image[None])[0]
            finally:
                self._all_cores[0].release()
        return self.engine_pool(image[None])[0]

    def encode(self, data: bytes, use_all_cores: bool = False) -> EncodedImage:
        """Decode an image file, find its ink and compute its vector. Raises ``ImageError``.

        A signature check uses the same ink if it decides ink at the same resolution.
        """
        began = time.perf_counter()
        page, ink = read_ink(data, self.imaging, self.limits)
        decoded = time.perf_counter()
        encoded = self.encode_ink(ink, page, data, use_all_cores)
        seconds = {"image": decoded - began, "engine": time.perf_counter() - decoded}
        return dataclasses.replace(encoded, stage_seconds=seconds)

    def encode_ink(self, ink: Ink, page: Page, data: bytes = b"", use_all_cores: bool = False) -> EncodedImage:
        """Compute the vector of ink that was found on a page.

        With the file, ``data``, a signature check that decides ink at another resolution finds it again.
        """
        measures = measure_quality(ink, page, self.imaging)
        warnings = find_warnings(measures, page, self.imaging, self.quality)
        canonical = CanonicalImage(draw_ink(ink, self.imaging), warnings, EMPTY_PAGE, page.size, measures)
        rejection = self._find_rejection(data, ink, canonical, use_all_cores)
        zeros = np.zeros(self.manifest.vector_size, np.float32)
        return EncodedImage(
            canonical, zeros if rejection else self.compute_vector(canonical.image, use_all_cores), rejection
        )

    def rate_signature(self, ink: Ink) -> float:
        """Return the probability that ink is a signature; for classifiers with this label."""
        vector = self.compute_vector(draw_ink(ink, self.imaging))
        return float(vector[self.manifest.labels.index(SIGNATURE)])

    def decide(
        self,
        questioned: EncodedImage,
        references: Sequence[EncodedImage | np.ndarray] = (),
        parameters: DecisionParameters = DecisionParameters(),
    ) -> dict[str, Any]:
        """Return the answer to an encoded image.

        ``references`` are encoded images or stored embeddings ``float32 [D]``; only verifiers take them. Raises
        ``UnsupportedRequest`` if this model cannot answer the request.
        """
        if references and not self.decision.takes_references:
            raise UnsupportedRequest("this model classifies single images; it takes no references")
        if parameters.encoder not in (None, self.encoder):
            raise UnsupportedRequest("the stored embeddings were made by another model; enrol again with this one")
        reasons = [
            {"image": "questioned" if index == 0 else f"reference {index - 1}", **image.rejection}
            for index, image in enumerate((questioned, *references))
            if isinstance(image, EncodedImage) and image.rejection
        ]
        if reasons:
            return {"decision": "not_a_signature", "reasons": reasons, "warnings": questioned.warnings}
        vectors = [image.vector if isinstance(image, EncodedImage) else image for image in references]
        answer = self.decision.answer(questioned.vector, vectors, parameters)
        for row, image in zip(answer.get("per_reference", ()), references, strict=False):
            row["warnings"] = image.warnings if isinstance(image, EncodedImage) else []
        encoder = {"encoder": self.encoder} if "embedding" in answer else {}
        return {**answer, **encoder, "warnings": questioned.warnings}

    def explain(self, questioned: EncodedImage, references: Sequence[EncodedImage | np.ndarray]) -> explain.Explanation:
        """Explain the similarity to the nearest of the references. Raises ``UnsupportedRequest`` for a classifier."""
        if not isinstance(self.decision, Verifier):
            raise UnsupportedRequest("this model classifies single images; it explains no comparisons")
        return explain.explain_nearest(self.engine_pool, self.decision.measure, questioned, references)

    @property
    def encoder(self) -> str:
        """Return an identifier of network and imaging; embeddings are comparable if they are of the same encoder."""
        variant = self.manifest.files[self.manifest.variants[self.manifest.variant]["file"]]
        return f"{variant['sha256'][:32]}-{self.manifest.imaging_fingerprint}"

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata of decision and encoder that a server publishes."""
        return {**self.decision.get_metadata(), **({"encoder": self.encoder} if self.decision.takes_references else {})}

    def answer(self, data: bytes) -> dict[str, Any]:
        """Answer a single image file. Raises ``ImageError``."""
        return self.decide(self.encode(data))

    def replay_golden(self) -> int:
        """Replay the golden answers on every prepared engine; return the number of images.

        An engine that is made later replays them before it answers. Raises ``GoldenMismatch``.
        """
        count = sum(part.replay_golden() for part in (self.signature_check, self.verifier) if part)
        cases = golden.read(self.folder, self.imaging, self.manifest.variant)

        def check(engine: Engine) -> None:
            for case in cases:
                case.replay(engine)

        if self._all_cores:
            check(self._all_cores[1])
        self.engine_pool.check_engine = check
        self.engine_pool.prepare(self._threads)
        return count + len(cases)

    def _find_rejection(
        self, data: bytes, ink: Ink, canonical: CanonicalImage, use_all_cores: bool
    ) -> dict[str, Any] | None:
        """Return the reason why an image is no signature, or None; classifiers reject nothing."""
        if not self.decision.takes_references:
            return None
        for warning in canonical.warnings:
            if warning.code in REJECTING_WARNINGS:
                return dataclasses.asdict(warning)
        check = self.signature_check
        if check is None:
            return None
        if (
            data and check.imaging.working_side != self.imaging.working_side
        ):  # it was trained on ink of another resolution
            _, ink = read_ink(data, check.imaging, self.limits)
        answer = check.decision.answer(check.compute_vector(draw_ink(ink, check.imaging), use_all_cores))
        return None if answer["label"] == SIGNATURE else {"code": answer["label"], "value": answer["score"]}


def _read_imaging(described: manifest.Manifest) -> Imaging:
    try:
        imaging = Imaging(**described.imaging)
    except (TypeError, ValueError) as error:
        raise manifest.BadArtifact(f"this version does not know the manifest's imaging parameters: {error}") from None
    if imaging.fingerprint() != described.imaging_fingerprint:
        raise manifest.BadArtifact(
            f"the artefact was trained on images of imaging {described.imaging_fingerprint}, this version makes those "
            f"of {imaging.fingerprint()}: serve it with the version that trained it, or train again"
        )
    return imaging


def _read_quality(described: manifest.Manifest) -> QualityLimits:
    try:
        return QualityLimits(**described.quality)
    except TypeError as error:
        raise manifest.BadArtifact(f"this version does not know the manifest's limits of quality: {error}") from None
