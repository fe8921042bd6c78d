"""From what people name as data to the records of a run: read, index, audit, split, write.

Next: ``data/dataset.py`` reads folders, ``data/image_index.py`` looks at images, ``audit/`` judges them,
``data/splits.py`` divides them, ``data/records.py`` writes them.
"""

import dataclasses
import hashlib
import json
import shutil
from typing import Any

from trainer.audit.examine import Audit, examine
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.corpora import Sample
from trainer.data import dataset, records, sampling, splits
from trainer.data.components import components
from trainer.data.dataset import Data
from trainer.data.image_index import Survey, identity, survey
from trainer.imaging import Imaging
from trainer.pipeline.run_dir import Run
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.config import Config


class UnreadableImages(UserError):
    """``--strict``: images were refused; the message names them."""


class RepeatedImages(UserError):
    """Images to learn from (nearly) repeat images of the test; the message says which and what to do."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a run learns from and is judged by.

    ``unseen`` stays raw files, because that is what is judged; ``audit`` is the JSON of ``audit.examine``.
    """

    records: records.Records
    unseen: list[Sample]
    imaging: Imaging
    audit: dict[str, Any]

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of a canonical image."""
        return self.imaging.height, self.imaging.width


def prepare(wanted: Config, problem: Problem, place: Run) -> Prepared:
    """Everything up to training. Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    data = dataset.read(wanted, problem, place.folder / "samples")
    imaging = Imaging(wanted.model.image_height, wanted.model.image_width, ink=wanted.model.ink)
    everything = [*data.learnt(), *data.tested()]
    source = _source(wanted, problem, everything)
    found = records.existing(place.records, source, imaging)
    if not found:
        labels = dataset.labels(data, problem)
        place.record(wanted)  # from here on an interrupted run is found again
        try:
            look = survey(everything, imaging, place.survey)
            if wanted.data.strict:
                _check_readable(look)
            judged = examine(look, data.readings, data.tests, problem.label_of)
            _write_audit(place, judged)
            found = _deal(wanted, problem, data, labels, look, judged, place, source)
        except UserError:
            place.settings.unlink(missing_ok=True)  # which a person will change now, for the same folder
            raise
        look.forget()
    known = {(sample.origin, sample.name): sample for sample in everything}
    unseen = [_relabelled(known[key], problem) for key in found.unseen]
    return Prepared(found, unseen, imaging, json.loads(place.audit.read_text()))


def _deal(
    wanted: Config, problem: Problem, data: Data, labels: tuple[str, ...], look: Survey, judged: Audit, place: Run,
    source: str,
) -> records.Records:  # fmt: skip
    """Parts that share neither a writer nor a copy, written as records."""
    settings, learnt = wanted.data, len(data.learnt())
    every = [_relabelled(sample, problem) for sample in look.samples]
    dropped = _repeated(every, judged, learnt, settings.drop_duplicates)
    twins = [(i, j) for i, j in judged.twins if j < learnt]
    given = learnt < len(every)  # by --test-dir or by folders
    fraction = 0.0 if given else settings.test_fraction
    seed = wanted.training.seed
    parts = splits.split(every[:learnt], settings.validation_fraction, fraction, seed, problem.by_writer, twins)
    drawn = parts.pop("test")
    unseen = every[learnt:] if given else drawn
    problem.check(unseen)
    for part, chosen in (*parts.items(), ("test", unseen)):
        LOG.info(f"  {part}: {dataset.summary(chosen)}")
    poor = {
        (sample.origin, sample.name): f"quality {quality:.2f} is below --min-quality {settings.min_quality:g} ({why})"
        for sample, quality, why in zip(every, look.facts.quality.tolist(), look.facts.warnings, strict=True)
        if quality < settings.min_quality
    }
    described = [
        {
            "path": source_given.given,
            "layout": reading.layout,
            "images": len(reading.samples),
            "generation": identity(reading.samples),
            **({"parts": reading.parts} if reading.parts else {}),
            **({"predict": reading.predict} if reading.predict else {}),
        }
        for source_given, reading in zip(data.given, data.readings, strict=True)
    ]
    names = [(sample.origin, sample.name) for sample in unseen]
    by_writer = plugins.load("losses", wanted.training.loss).sampling in sampling.WAYS
    people = splits.people(every, judged.twins, labels[0]) if by_writer else {}
    found = records.write(
        look, parts, labels, place.records, source, {**poor, **dropped}, by_writer, people,
        sources=described, unseen=names,
    )  # fmt: skip
    _check_counts(found, problem)
    return found


def _repeated(every: list[Sample], judged: Audit, learnt: int, drop: bool) -> dict[tuple[str, str], str]:
    """Images to learn from that repeat an image to test with, with the reason. Raises ``RepeatedImages``."""
    family = components(len(every), judged.twins)
    tested = {family[number]: number for number in range(learnt, len(every))}
    pairs = [(number, tested[family[number]]) for number in range(learnt) if family[number] in tested]
    found = {(every[i].origin, every[i].name): f"repeats the test image {every[j].name}" for i, j in pairs}
    if found and not drop:
        i, j = pairs[0]
        raise RepeatedImages(
            f"{len(found)} training images (nearly) repeat images of the test part, for example {str(every[i].path)!r} "
            f"and {str(every[j].path)!r}; take them out, or give --drop-duplicates to learn without them"
        )
    return found


def _relabelled(sample: Sample, problem: Problem) -> Sample:
    return dataclasses.replace(sample, label=problem.label_of(sample.label))


def _check_readable(look: Survey) -> None:
    refused = look.refused()
    if refused:
        shown = "\n".join(f"  {look.samples[number].path}: {reason}" for number, reason in refused[:20])
        raise UnreadableImages(f"{len(refused)} of {len(look.samples)} images cannot be read (--strict):\n{shown}")


def _check_counts(prepared: records.Records, problem: Problem) -> None:
    """What is left when unreadable images are out has to hold every label that the problem cannot do without."""
    needed = prepared.labels if problem.labels is None else prepared.labels[: problem.min_labels]
    for part, counts in prepared.counts.items():
        for label, count in counts.items():
            if count == 0 and label in needed:
                path, reason = prepared.refused[0]
                shutil.rmtree(prepared.folder)
                raise splits.TooFewSamples(
                    f"no {label!r} image is left for the {part} part; {len(prepared.refused)} were left out, "
                    f"for example {path}: {reason}"
                )


def _source(wanted: Config, problem: Problem, everything: list[Sample]) -> str:
    """Changes when a file, its label, its writer or its part does."""
    told = [wanted.data.validation_fraction, wanted.data.test_fraction, wanted.data.min_quality]
    told += [wanted.data.drop_duplicates, wanted.training.seed, problem.by_writer, len(wanted.data.test_dir)]
    told += [
        plugins.load("losses", wanted.training.loss).sampling in sampling.WAYS
    ]  # whether shards keep writers together
    digest = hashlib.sha256(json.dumps([identity(everything), told]).encode())
    for sample in everything:
        part = [sample.part] if sample.part else []
        digest.update(json.dumps([problem.label_of(sample.label), sample.writer, *part]).encode())
    return digest.hexdigest()[:16]


def _write_audit(place: Run, judged: Audit) -> None:
    partial = place.audit.with_suffix(".partial")
    partial.write_text(json.dumps(judged.content, indent=1) + "\n")
    partial.replace(place.audit)
    for finding in judged.findings:
        if finding.severity != "note":
            LOG.info(f"  {finding.severity}: {finding.message}")
