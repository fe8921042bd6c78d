"""``from predictor import Recognizer``: answers inside a Python program, without a server.

An answer equals that of the server and of ``predictor.offline``: the artefact, the imaging and the decision are the
same. Imports no TensorFlow. Next: ``models.py`` for a verifier beside a classifier, ``image_input.py`` for what an
image may be, ``results.py`` for the answers.
"""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import PIL.Image

from predictor.image_input import LIMITS, ImageInput, NotASignature, RecognizerError, describe_array, read_image
from predictor.models import Models
from predictor.people import PeopleFile
from predictor.results import Classification, Embedding, Findings, Identification, Verification
from predictor.vcpus import count_vcpus
from trainer import ready, storage
from trainer.artifact import finder
from trainer.artifact.artifact import Artifact, EncodedImage
from trainer.artifact.decision import Classifier, DecisionParameters, Locator, UnsupportedRequest, Verifier
from trainer.enrolment.gallery import DEFAULT_FPIR, Gallery, IdentificationParameters
from trainer.imaging import ImageError

METHODS = {Locator.task: "find", Classifier.task: "predict", Verifier.task: "verify and embed"}
MAX_REFERENCES = 255  # as many as a server takes in one request by default, beside the questioned image

ReferenceInput = ImageInput | Embedding
"""An image, an ``Embedding``, or a stored vector ``float32 [D]``."""


class Recognizer:
    """An artefact that answers, or several that complement each other. Any number of threads may share one object.

    An image is an ``ImageInput``; a PIL image or an array has the answer of the PNG file with the same pixels. Every
    method raises ``ImageError`` for an image that cannot be used, and ``RecognizerError`` for a call that these
    artefacts do not answer.
    """

    def __init__(
        self,
        artifact: Artifact,
        threads: int = 1,
        verifier: Artifact | None = None,
        classifier: Artifact | None = None,
        people: PeopleFile | None = None,
    ):
        """Use opened artefacts as they are; ``load`` also proves them.

        ``people`` are the writers on file, for ``writer`` and ``identify``. ``verifier`` answers ``verify`` and
        ``embed`` beside a classifier or a finder, ``classifier`` answers
        ``predict`` beside a finder. Raises ``BadArtifact`` for others.
        """
        models = Models.compose(artifact, verifier, classifier)
        gallery = people.open(models.find_verifier()).gallery if people else None
        self.models = dataclasses.replace(models, gallery=gallery)
        self.threads = threads

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        people: str | os.PathLike[str] | None = None,
        people_key: str | os.PathLike[str] = "",
    ) -> "Recognizer":
        """Fetch an artefact, open it, and replay its golden answers.

        ``path`` is a folder, a ``gs://`` prefix or ``ready:NAME``, an artefact that the package carries; without it,
        the ready artefacts are opened, for ``find``, ``predict``, ``verify`` and ``embed``. ``threads`` is the
        number of images that ``predict_many`` computes at the same time: without it, the number of vCPUs. ``people``
        is a file of ``trainer.enrol``, ``people_key`` the file of its key; they raise ``EnrolmentError``. Raises
        ``BadArtifact`` for a folder that is no complete artefact, or that answers differently on this machine, and for
        a ready artefact that is not installed; ``RecognizerError`` for a failed transfer.
        """
        if threads is not None and threads < 1:
            raise RecognizerError(f"threads is {threads}; it has to be 1 or more")
        paths = {"artifact": os.fspath(path)} if path is not None else ready.find_chain()
        opened = {role: _open(each) for role, each in (paths or {"artifact": ready.CLASSIFIER}).items() if each}
        on_file = None if people is None else PeopleFile(os.fspath(people), os.fspath(people_key))
        return cls(**opened, threads=threads or count_vcpus(), people=on_file)

    @property
    def artifact(self) -> Artifact:
        """The artefact that was named, or the main one of those that answer where none is."""
        return self.models.main

    @property
    def encoder(self) -> str:
        """Identify what makes the embeddings; those of one encoder are comparable."""
        return (self.models.find_verifier() or self.artifact).encoder

    def predict(self, image: ImageInput) -> Classification:
        """Classify an image."""
        artifact = self._require(Classifier.task, "predict")
        return Classification.from_answer(artifact.decide(_encode(artifact, image)))

    def predict_many(self, images: Iterable[ImageInput]) -> Iterator[Classification | ImageError]:
        """Classify images on ``threads`` threads and return the answers in order.

        In the place of an image that cannot be used is its error. Images are taken as answers are, so there may be any
        number of them.
        """
        self._require(Classifier.task, "predict_many")
        return self._predict_all(images)

    def verify(
        self,
        questioned: ImageInput,
        references: Sequence[ReferenceInput] | np.ndarray = (),
        far: float | None = None,
        threshold: float | None = None,
        writer: str | None = None,
    ) -> Verification:
        """Compare a questioned signature with references, or with those of a ``writer`` on file.

        ``references`` may also be one array ``float32 [n, D]`` of stored vectors. ``far`` selects the threshold by its
        false acceptance rate; ``threshold`` is itself the score from which the signature is accepted.
        Raises ``NotEnrolled``, too.
        """
        artifact = self._require(Verifier.task, "verify")
        if writer is not None and len(references):
            raise RecognizerError("references and writer contradict each other: give one of them")
        rows = _check_references(references if writer is None else self._read_gallery().read_vectors(writer))
        encoded = _encode(artifact, questioned)
        parameters = _make_parameters(artifact, rows, far, threshold)
        try:
            answer = artifact.decide(encoded, [_encode_reference(artifact, row) for row in rows], parameters)
        except UnsupportedRequest as error:
            raise RecognizerError(str(error)) from None
        return Verification.from_answer(answer)

    def identify(self, questioned: ImageInput, fpir: float = DEFAULT_FPIR, candidates: int = 5) -> Identification:
        """Search the writer of a signature among those on file.

        ``fpir`` is the largest accepted rate of signatures of strangers that are identified as somebody's;
        ``candidates`` is the number of nearest writers to return.
        """
        artifact = self._require(Verifier.task, "identify")
        if not (0 < fpir < 1 and candidates >= 1):
            raise RecognizerError(f"fpir is {fpir}, above 0 and below 1, and candidates {candidates}, 1 or more")
        encoded = _encode(artifact, questioned)
        answer = self._read_gallery().answer(encoded, IdentificationParameters(candidates, fpir))
        return Identification.from_answer(answer)

    def _read_gallery(self) -> Gallery:
        if self.models.gallery is None:
            raise RecognizerError("no writers are on file; Recognizer.load takes their file as people")
        return self.models.gallery

    def embed(self, image: ImageInput) -> Embedding:
        """Compute the embedding of a signature, to store it as a reference. Raises ``NotASignature``, too."""
        artifact = self._require(Verifier.task, "embed")
        answer = artifact.decide(_encode(artifact, image))
        if "reasons" in answer:
            codes = ", ".join(f"{reason['code']} ({reason['value']:.3g})" for reason in answer["reasons"])
            raise NotASignature(f"the image is not a signature: {codes}")
        return Embedding.from_answer(answer)

    def find(
        self,
        document: ImageInput,
        references: Sequence[ReferenceInput] | np.ndarray = (),
        far: float | None = None,
        threshold: float | None = None,
        crops: bool = False,
    ) -> Findings:
        """Find the signatures on the pages of a document: a PDF, a TIFF of several pages, or an image.

        With ``references`` each is compared with them; ``far`` and ``threshold`` are those of ``verify``. ``crops``
        cuts the signatures out, as PNG files with a transparent background.
        """
        artifact = self._require(Locator.task, "find")
        rows = _check_references(references) if len(references) else []
        verifier = self._require(Verifier.task, "find with references") if rows else None
        parameters = _make_parameters(verifier, rows, far, threshold) if verifier else DecisionParameters()
        pages = tuple(finder.find(artifact, read_image(document), verifier, crops, check=self.models.signature_check))
        encoded = [_encode_reference(verifier, row) for row in rows] if verifier else []
        try:
            return Findings.from_answer(finder.answer(pages, artifact, verifier, encoded, parameters))
        except UnsupportedRequest as error:
            raise RecognizerError(str(error)) from None

    def _require(self, task: str, method: str) -> Artifact:
        """Return the artefact that answers a method. Raises ``RecognizerError``."""
        by_task = self.models.by_task
        if task not in by_task:
            answered = " and ".join(METHODS[each] for each in by_task)
            problem = self.artifact.manifest.problem
            raise RecognizerError(f"this artefact, of the problem {problem}, does not answer {method}: use {answered}")
        return by_task[task]

    def _predict_all(self, images: Iterable[ImageInput]) -> Iterator[Classification | ImageError]:
        def predict(image: ImageInput) -> Classification | ImageError:
            try:
                return self.predict(image)
            except ImageError as error:
                return error

        pending: collections.deque[concurrent.futures.Future[Classification | ImageError]] = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(self.threads)
        try:
            for image in images:
                pending.append(pool.submit(predict, image))
                if len(pending) > 2 * self.threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _open(path: str) -> Artifact:
    """Fetch, open and prove an artefact. Raises ``BadArtifact`` or ``RecognizerError``."""
    try:
        folder = ready.fetch_artifact(path)
    except storage.StorageError as error:
        raise RecognizerError(str(error)) from error
    artifact = Artifact(folder, limits=LIMITS)
    artifact.replay_golden()
    return artifact


def _encode(artifact: Artifact, image: ImageInput) -> EncodedImage:
    return artifact.encode(read_image(image))


def _encode_reference(artifact: Artifact, reference: ReferenceInput) -> EncodedImage | np.ndarray:
    if isinstance(reference, Embedding):
        return reference.vector
    if isinstance(reference, np.ndarray) and reference.ndim == 1 and reference.dtype.kind == "f":
        return reference.astype(np.float32, copy=False)
    return _encode(artifact, reference)


def _make_parameters(
    verifier: Artifact, rows: Sequence[ReferenceInput], far: float | None, threshold: float | None
) -> DecisionParameters:
    encoders = [row.encoder for row in rows if isinstance(row, Embedding) and row.encoder != verifier.encoder]
    return DecisionParameters(far, encoder=encoders[0] if encoders else None, threshold=threshold)


def _check_references(references: Sequence[ReferenceInput] | np.ndarray) -> list[ReferenceInput]:
    """Return the references as a list. Raises ``RecognizerError``."""
    if isinstance(references, np.ndarray) and not (references.ndim == 2 and references.dtype.kind == "f"):
        description = describe_array(references)
        raise RecognizerError(f"references is an array {description}; it has to be a list, or float32 [n, D]")
    if isinstance(references, str | bytes | os.PathLike | PIL.Image.Image | Embedding):
        raise RecognizerError(f"references is one {type(references).__name__}; it has to be a list of them")
    rows = list(references)
    if not 1 <= len(rows) <= MAX_REFERENCES:
        raise RecognizerError(f"there are {len(rows)} references; verify takes 1 to {MAX_REFERENCES}")
    return rows
