"""Answer one file of ``predictor.offline`` as a row: a document, or an image that is classified or compared.

The row of a file that cannot be used has its error. Next: ``workers.py`` answers many files,
``trainer/artifact/finder.py`` documents, ``trainer/artifact/artifact.py`` single images.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from predictor.batch.listing import InputFile
from predictor.batch.tables import make_error_row
from predictor.drawing import draw_page
from trainer.artifact import explain, finder
from trainer.artifact.artifact import Artifact, EncodedImage
from trainer.artifact.decision import DecisionParameters, Locator, UnsupportedRequest, Verifier
from trainer.enrolment.errors import EnrolmentError
from trainer.enrolment.gallery import Gallery, IdentificationColumns, IdentificationParameters
from trainer.imaging import ImageError

if TYPE_CHECKING:
    from predictor.models import Models

References = Sequence[EncodedImage | np.ndarray]


@dataclasses.dataclass(frozen=True)
class FileAnswerer:
    """Answers files by one task of the models: ``find``, ``classify`` or ``verify``.

    ``get_references`` returns those of a file; without a verifier it is not called. ``identify`` answers in the place
    of the verifier, where it is given. Files are written into the folders
    of the options that name some. Any number of threads may share one object.
    """

    models: Models
    task: str
    options: argparse.Namespace
    get_references: Callable[[Path], References]
    identify: Callable[[EncodedImage], dict[str, Any]] | None = None

    @classmethod
    def make(cls, models: Models, options: argparse.Namespace) -> FileAnswerer:
        """Check the options against the models, and encode the references.

        Raises ``UnsupportedRequest``, ``EnrolmentError`` or ``ImageError``.
        """
        task = options.task or models.main.decision.task
        if task not in models.by_task:
            raise UnsupportedRequest(f"--task {task}: this artefact answers {', '.join(models.by_task)}")
        if task != Locator.task and (options.crops or options.draw):
            raise UnsupportedRequest("--crops and --draw are for signatures that are found on pages: --task find")
        if task == Locator.task and (options.return_embedding or options.explanation_dir):
            raise UnsupportedRequest(
                "--return-embedding and --explanation-dir are for single signatures: --task verify"
            )
        for folder in (options.crops, options.draw, options.explanation_dir):
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
        artifact = models.by_task[task]
        comparing = (models.find_verifier() if task == Locator.task else None) or artifact
        lookup = _make_reference_lookup(comparing, options, models.gallery, is_optional=task == Locator.task)
        return cls(models, task, options, lookup, _make_identifier(models.gallery, options))

    @property
    def artifact(self) -> Artifact:
        """The artefact that answers."""
        return self.models.by_task[self.task]

    @property
    def columns(self) -> Any:
        """What writes the answers as cells of a table: ``columns``, ``summary_columns`` and ``to_row``."""
        return IdentificationColumns() if self.identify and self.task == Verifier.task else self.artifact.decision

    @property
    def suffixes(self) -> frozenset[str]:
        """Those of the files that the task answers beside images."""
        return frozenset({".pdf"} if self.task == Locator.task else ())

    def answer(self, number: int, file: InputFile) -> dict[str, Any]:
        """Answer a file, the ``number``-th one, as a row, which has an error when the file cannot be used.

        Raises ``OSError`` when crops or pictures cannot be written, such as on a full disk.
        """
        path = Path(str(file))
        name = f"{number:03d}-{path.stem}"
        try:
            data = file.read_bytes()
        except OSError as error:
            return make_error_row(str(file), "unreadable_file", error)
        try:
            references = self.get_references(path)
            if self.task == Locator.task:
                return {"file": str(file), **self._find(data, references, name)}
            return {"file": str(file), **self._answer_image(data, references, name)}
        except (ImageError, EnrolmentError) as error:
            return make_error_row(str(file), error.code if isinstance(error, ImageError) else "not_enrolled", error)

    def _answer_image(self, data: bytes, references: References, name: str) -> dict[str, Any]:
        """Classify an image, or compare it as it is."""
        encoded = self.artifact.encode(data)
        if self.identify:
            return self.identify(encoded)
        answer = self.artifact.decide(encoded, references, make_parameters(self.options))
        if self.options.explanation_dir and "distance" in answer:
            overlay = self.options.explanation_dir / f"{name}.png"
            overlay.write_bytes(explain.draw_overlay(self.artifact.explain(encoded, references)))
            answer["explanation"] = str(overlay)
        return answer

    def _find(self, data: bytes, references: References, name: str) -> dict[str, Any]:
        """Read a document."""
        verifier = self.models.find_verifier() if len(references) or self.identify else None
        outputs = bool(self.options.crops), bool(self.options.draw)
        pages = tuple(finder.find(self.artifact, data, verifier, *outputs, check=self.models.signature_check))
        parameters = make_parameters(self.options)
        answer = finder.answer(pages, self.artifact, verifier, references, parameters, self.identify)
        for position, region in enumerate(answer["regions"], start=1):
            if "crop" in region:
                file = self.options.crops / f"{name}-{region['page']}-{position}.png"
                file.write_bytes(region.pop("crop"))
                region["crop"] = str(file)
        for page, row in zip(pages, answer["pages"], strict=True):
            if row.pop("picture", None):
                (self.options.draw / f"{name}-{page.number}.png").write_bytes(draw_page(page))
        return answer


def _make_reference_lookup(
    artifact: Artifact, options: argparse.Namespace, gallery: Gallery | None, is_optional: bool
) -> Callable[[Path], References]:
    """Make the function from a questioned file to its references.

    Raises ``UnsupportedRequest`` for options that do not fit the model, and ``EnrolmentError``.
    """
    takes_references = artifact.decision.takes_references
    has_references = options.reference or options.people
    if has_references and not takes_references:
        raise UnsupportedRequest("this model judges single images; it takes neither --reference nor --people")
    _check_people(options)
    references = [artifact.encode(path.read_bytes()) for path in options.reference]
    for path, encoded in zip(options.reference, references, strict=True):
        if encoded.rejection:
            raise UnsupportedRequest(f"--reference {str(path)!r} is not a signature: {encoded.rejection['code']}")
    needs_references = options.far is not None or options.threshold is not None or options.explanation_dir
    if takes_references and needs_references and not has_references:
        raise UnsupportedRequest("--far, --threshold and --explanation-dir need --reference or --people")
    if takes_references and not has_references and options.format in ("table", "csv") and not is_optional:
        raise UnsupportedRequest(
            "nothing to compare with: give --reference or --people (or enrol: python -m trainer.enrol)"
        )
    if takes_references or not is_optional:
        _check_parameters(artifact, make_parameters(options))
    if gallery is None or options.identify:
        return lambda path: references
    if options.writer:
        gallery.read_vectors(options.writer)
    return lambda path: [*references, *gallery.read_vectors(options.writer or _get_claimed_writer(path, gallery))]


def _check_people(options: argparse.Namespace) -> None:
    """Raise ``UnsupportedRequest`` for options about writers on file that contradict each other."""
    if (options.writer or options.identify) and not options.people:
        raise UnsupportedRequest("--writer and --identify are about writers of --people, which is not given")
    if options.identify and (options.reference or options.far is not None or options.threshold is not None):
        raise UnsupportedRequest("--identify is decided by --fpir; --reference, --far and --threshold do not apply")
    if options.fpir is not None and not (options.identify and 0 < options.fpir < 1):
        raise UnsupportedRequest("--fpir is a rate above 0 and below 1, for --identify")


def _get_claimed_writer(path: Path, gallery: Gallery) -> str:
    """Return the writer that a file claims: the name of its folder, in a form that enrolment gives to writers."""
    folder = path.absolute().parent
    names = (folder.name, f"{folder.parent.name}/{folder.name}", folder.name.lstrip("0"))
    return next((name for name in names if name in gallery), folder.name)


def _make_identifier(
    gallery: Gallery | None, options: argparse.Namespace
) -> Callable[[EncodedImage], dict[str, Any]] | None:
    if gallery is None or not options.identify:
        return None
    parameters = IdentificationParameters(**({} if options.fpir is None else {"fpir": options.fpir}))
    return functools.partial(gallery.answer, parameters=parameters)


def make_parameters(options: argparse.Namespace) -> DecisionParameters:
    """Make the parameters of a decision from the options."""
    return DecisionParameters(options.far, options.return_embedding, threshold=options.threshold)


def _check_parameters(artifact: Artifact, parameters: DecisionParameters) -> None:
    """Raise ``UnsupportedRequest`` when the artefact has no such threshold, before any file is read."""
    vector = np.eye(1, artifact.manifest.vector_size, dtype=np.float32)[0]
    artifact.decision.answer(vector, [vector] if artifact.decision.takes_references else [], parameters)
