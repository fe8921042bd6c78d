"""Which images of a request are to be encoded, by which artefact, each once; and what no artefact can answer.

Holds no state. Independent of HTTP. Next: ``models.py`` selects the artefact of an instance, ``service.py`` encodes and
decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from predictor.errors import BadInstance, BadRequest, Unanswerable, WriterNotOnFile
from predictor.schema import Instance, Parameters, ParsedRequest
from trainer.artifact.location import Locator
from trainer.enrolment.errors import NotEnrolled
from trainer.imaging import ImageError

if TYPE_CHECKING:
    import numpy as np

    from predictor.models import Models
    from trainer.artifact.artifact import Artifact, EncodedImage
    from trainer.artifact.page_finder import FoundPage

Pages: TypeAlias = "tuple[FoundPage, ...]"
Key: TypeAlias = "tuple[Artifact, Artifact | None, bytes]"
EncodedImages: TypeAlias = "Mapping[Key, EncodedImage | Pages | ImageError]"  # by ``ImageFile.key``


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file for an artefact, and the first instance that contains it; ``role`` names it there, for errors.

    What is found on a document is encoded for the ``verifier``, if there is one.
    """

    artifact: Artifact
    data: bytes
    instance: int
    role: str
    verifier: Artifact | None = None

    @property
    def key(self) -> Key:
        """What has to be encoded once: each artefact has an encoder of its own."""
        return self.artifact, self.verifier, self.data


@dataclasses.dataclass(frozen=True)
class EncodedInstance:
    """An instance with its encoded image, or with what was found on its pages.

    ``references`` are encoded images and stored embeddings ``float32 [D]``. With ``identify``, the writer is searched
    among all on file.
    """

    artifact: Artifact
    image: EncodedImage | Pages
    references: list[EncodedImage | np.ndarray]
    identify: bool = False


def collect_images(models: Models, request: ParsedRequest) -> list[ImageFile]:
    """List the different images of a request, each once for each artefact that answers with it."""
    images: dict[Key, ImageFile] = {}
    for position, instance in enumerate(request.instances):
        if isinstance(instance, Instance):
            for image in _get_images(models, instance, request.parameters, position):
                images.setdefault(image.key, image)
    return list(images.values())


def _get_images(models: Models, instance: Instance, parameters: Parameters, position: int) -> list[ImageFile]:
    """List the questioned image and the references of an instance, with their names for errors."""
    artifact = models.select(instance, parameters)
    comparing = (models.find_verifier() if models.is_finder(artifact) else None) or artifact
    verifier = comparing if comparing is not artifact and is_compared(instance) else None
    references = enumerate(instance.references)
    return [
        ImageFile(artifact, instance.image, position, "the image", verifier),
        *(ImageFile(comparing, reference, position, f"reference {number}") for number, reference in references),
    ]


def is_compared(instance: Instance | BadRequest) -> bool:
    """Return whether the image is compared; such an instance has images to encode, so slots are reserved."""
    return isinstance(instance, Instance) and instance.is_compared


def is_verified(instance: Instance | BadRequest) -> bool:
    """Return whether the image is compared with references of one writer."""
    return isinstance(instance, Instance) and instance.is_compared and not instance.identify


def may_be_explained(instance: Instance | BadRequest) -> bool:
    """Return whether an answer may need an explanation, which is more work: it has references."""
    return isinstance(instance, Instance) and instance.explain and is_verified(instance)


def check_answerable(models: Models, request: ParsedRequest) -> None:
    """Raise ``Unanswerable`` for parameters that apply to no instance of the request."""
    verifier = models.find_verifier()
    instances = [instance for instance in request.instances if isinstance(instance, Instance)]
    task = request.parameters.task
    if task and task not in models.by_task:
        raise Unanswerable(f'"task" is {task!r}; the models of this server answer: {", ".join(models.by_task)}')
    tasks = {models.select_task(instance, request.parameters) for instance in instances}
    if instances and Locator.task not in tasks and (request.parameters.crops or request.parameters.return_pages):
        raise Unanswerable('"crops" and "return_pages" are of signatures on pages, which no instance asks for')
    if request.parameters.return_ink and Locator.task in tasks:
        raise Unanswerable('"return_ink" is for single images; "crops" returns the signatures that are found')
    has_explain = any(instance.explain for instance in instances)
    _check_people(models, instances, request.parameters)
    if not verifier and has_explain:
        raise Unanswerable('this model judges single images; "explain" is for models that compare signatures')
    if has_explain and Locator.task in tasks:
        raise Unanswerable('"explain" is for single signatures: send them with "task": "verify"')
    has_threshold = request.parameters.far is not None or request.parameters.threshold is not None
    if verifier and instances and not any(map(is_verified, instances)) and (has_explain or has_threshold):
        raise Unanswerable(
            'no instance has references, so there is nothing to decide: "far", "threshold" and "explain" need some'
        )
    answering = {models.select(instance, request.parameters) for instance in instances}
    if verifier and instances and request.parameters.encoder is not None and verifier not in answering:
        raise Unanswerable('"encoder" is that of the verifier, which answers no instance of this request')


def _check_people(models: Models, instances: list[Instance], parameters: Parameters) -> None:
    """Raise ``Unanswerable`` for what only a server with writers on file answers, and for parameters about them."""
    if models.gallery is None and any(each.identify or each.writer is not None for each in instances):
        raise Unanswerable(
            'this server has no writers on file for "writer" and "identify"; it is started with --people'
        )
    if any(not models.may_identify(each, parameters) for each in instances):
        raise Unanswerable('"identify" compares signatures, with "task": "verify" or "find" and a verifier')
    is_any_identified = any(instance.identify for instance in instances)
    has_threshold = parameters.far is not None or parameters.threshold is not None
    if is_any_identified and has_threshold and not any(map(is_verified, instances)):
        raise Unanswerable('"far" and "threshold" decide about one writer; with "identify" it is "fpir" that decides')
    if instances and not is_any_identified and (parameters.fpir or parameters.candidates):
        raise Unanswerable('"fpir" and "candidates" are for instances with "identify": true, and there is none')


def get_encoded(
    models: Models, request: ParsedRequest, position: int, encoded_images: EncodedImages
) -> EncodedInstance:
    """Return an instance with its encoded images. Raises its ``BadRequest`` or ``BadInstance``."""
    instance = request.instances[position]
    if isinstance(instance, BadRequest):
        raise instance
    files = _get_images(models, instance, request.parameters, position)
    images: list[Any] = []
    for image in files:
        encoded = encoded_images[image.key]
        if isinstance(encoded, ImageError):
            raise BadInstance(encoded, position, image.role)
        images.append(encoded)
    references = [*images[1:], *instance.embeddings, *_read_writer(models, instance, position)]
    return EncodedInstance(files[0].artifact, images[0], references, instance.identify)


def _read_writer(models: Models, instance: Instance, position: int) -> Iterable[np.ndarray]:
    """Read the references of the writer that an instance names. Raises ``WriterNotOnFile``."""
    if instance.writer is None or models.gallery is None:
        return ()
    try:
        return models.gallery.read_vectors(instance.writer)
    except NotEnrolled as error:
        raise WriterNotOnFile(f"instance {position}: {error}", position) from None
