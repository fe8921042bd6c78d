"""``python -m trainer.prepare``: what people name as data -> a survey -> an audit -> parts -> records.

The first half of ``trainer.task``, which calls it; takes the same flags. Knows settings and problems, not models. Next:
``survey.py`` looks at images, ``audit/`` judges them, ``splits.py`` deals them, ``records.py`` writes them.
"""

import dataclasses
import datetime
import hashlib
import json
import shutil
import sys
from typing import Any

from trainer import config, corpora, plugins, quiet, records, run, samples, sampling, sources, splits, storage
from trainer.audit.examine import Audit, examine
from trainer.audit.families import leaders
from trainer.config import Config
from trainer.corpora import Reading, Sample
from trainer.errors import UserError
from trainer.imaging import Imaging
from trainer.problems import Problem
from trainer.progress import Progress
from trainer.resolve import resolved
from trainer.run import Run
from trainer.sources import Source
from trainer.survey import Survey, identity, survey

HELP = """\
Look at every image, audit, split and write the records of a run, without training. Takes the flags of trainer.task,
which goes on from here when it is given the same; interrupted, the same command goes on where it was.

  python -m trainer.prepare --train-dir scans/ --job-dir runs/mine
  python -m trainer.task    --train-dir scans/ --job-dir runs/mine
"""


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


@dataclasses.dataclass(frozen=True)
class Data:
    """Everything that was named, as it was read; labels are the problem's. The last ``tests`` readings are tests."""

    given: list[Source]
    readings: list[Reading]
    tests: int

    def learnt(self) -> list[Sample]:
        """The samples to learn from."""
        return [s for reading in self.readings[: len(self.readings) - self.tests] for s in reading.samples]

    def tested(self) -> list[Sample]:
        """The samples of --test-dir."""
        return [s for reading in self.readings[len(self.readings) - self.tests :] for s in reading.samples]


def prepare(wanted: Config, problem: Problem, place: Run) -> Prepared:
    """Everything up to training. Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    data = _read(wanted, problem, place)
    imaging = Imaging(wanted.model.image_height, wanted.model.image_width, ink=wanted.model.ink)
    everything = [*data.learnt(), *data.tested()]
    source = _source(wanted, problem, everything)
    found = records.existing(place.records, source, imaging)
    if not found:
        labels = _labels(data, problem)
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


def _read(wanted: Config, problem: Problem, place: Run) -> Data:
    """Bring and read every folder, and say as what."""
    _check_places(wanted)
    learn = [sources.bring(path) for path in wanted.data.train_dir] or [_generated(wanted, problem, place)]
    test = [sources.bring(path) for path in wanted.data.test_dir]
    readings = corpora.read_all((source.label, source.root, source.name) for source in [*learn, *test])
    for reading in readings:
        left_out = f", {reading.left_out} more are not named by its index" if reading.left_out else ""
        print(f"  {reading.origin}: {reading.layout}, {_summary(reading.samples)}{left_out}", flush=True)
    return Data([*learn, *test], readings, len(test))


def _deal(
    wanted: Config, problem: Problem, data: Data, labels: tuple[str, ...], look: Survey, judged: Audit, place: Run,
    source: str,
) -> records.Records:  # fmt: skip
    """Parts that share neither a writer nor a copy, written as records."""
    settings, learnt = wanted.data, len(data.learnt())
    every = [_relabelled(sample, problem) for sample in look.samples]
    dropped = _repeated(every, judged, learnt, settings.drop_duplicates)
    twins = [(i, j) for i, j in judged.twins if j < learnt]
    fraction = 0.0 if data.tests else settings.test_fraction
    seed = wanted.training.seed
    parts = splits.split(every[:learnt], settings.validation_fraction, fraction, seed, problem.by_writer, twins)
    unseen = parts.pop("test") if not data.tests else every[learnt:]
    parts.pop("test", None)
    problem.check(unseen)
    for part, chosen in (*parts.items(), ("test", unseen)):
        print(f"  {part}: {_summary(chosen)}", flush=True)
    poor = {
        (sample.origin, sample.name): f"quality {quality:.2f} is below --min-quality {settings.min_quality:g} ({why})"
        for sample, quality, why in zip(every, look.facts.quality.tolist(), look.facts.warnings, strict=True)
        if quality < settings.min_quality
    }
    described = [
        {
            "path": given.given,
            "layout": reading.layout,
            "images": len(reading.samples),
            "generation": identity(reading.samples),
        }
        for given, reading in zip(data.given, data.readings, strict=True)
    ]
    names = [(sample.origin, sample.name) for sample in unseen]
    by_writer = problem.losses[wanted.training.loss].sampling in sampling.WAYS
    people = splits.people(every, judged.twins, labels[0]) if by_writer else {}
    found = records.write(
        look, parts, labels, place.records, source, {**poor, **dropped}, by_writer, people,
        sources=described, unseen=names,
    )  # fmt: skip
    _check_counts(found, problem)
    return found


def _repeated(every: list[Sample], judged: Audit, learnt: int, drop: bool) -> dict[tuple[str, str], str]:
    """Images to learn from that repeat an image of --test-dir, with the reason. Raises ``RepeatedImages``."""
    family = leaders(len(every), judged.twins)
    tested = {family[number]: number for number in range(learnt, len(every))}
    pairs = [(number, tested[family[number]]) for number in range(learnt) if family[number] in tested]
    found = {(every[i].origin, every[i].name): f"repeats the test image {every[j].name}" for i, j in pairs}
    if found and not drop:
        i, j = pairs[0]
        raise RepeatedImages(
            f"{len(found)} training images (nearly) repeat images of --test-dir, for example {str(every[i].path)!r} "
            f"and {str(every[j].path)!r}; take them out, or give --drop-duplicates to learn without them"
        )
    return found


def _check_places(wanted: Config) -> None:
    """A run that writes below its own data would be learnt from by the next. Raises ``OverlappingData``."""
    for given in (*wanted.data.train_dir, *wanted.data.test_dir):
        data = _absolute(sources.split_label(given)[1])
        for kind, mine in (("--job-dir", wanted.output.job_dir), ("--model-dir", wanted.output.model_dir)):
            if mine and f"{_absolute(mine)}/".startswith(f"{data}/"):
                raise corpora.OverlappingData(f"{kind} {mine!r} is inside the images of {given!r}; choose another")


def _absolute(path: str) -> str:
    """One spelling for a path, also on Cloud Storage."""
    return path.rstrip("/") if storage.is_remote(path) else str(storage.local(path).resolve())


def _generated(wanted: Config, problem: Problem, place: Run) -> Source:
    """The generated dataset, written once into the run's folder; complete or absent."""
    folder = place.folder / "samples"
    if not folder.is_dir():
        partial = folder.with_name("samples.partial")
        shutil.rmtree(partial, ignore_errors=True)
        amount = dataclasses.replace(problem.generated, writers=wanted.data.writers)
        with Progress("generating", amount.images()) as progress:
            for done in samples.write(partial, amount, wanted.training.seed):
                progress.show(done)
        partial.rename(folder)
    return Source("generated", None, folder, "samples")


def _relabelled(sample: Sample, problem: Problem) -> Sample:
    return dataclasses.replace(sample, label=problem.label_of(sample.label))


def _labels(data: Data, problem: Problem) -> tuple[str, ...]:
    """The labels that are learnt. Raises ``UnknownLayout`` for too few, or for one that only the test has."""
    found = sorted({problem.label_of(sample.label) for sample in data.learnt()})
    labels = problem.labels or tuple(found)
    if strange := [label for label in found if label not in labels]:
        raise corpora.UnknownLayout(
            f"the images hold the label {strange[0]!r}; this problem learns from {' and '.join(labels)} signatures of "
            "people who are named by folder or file, see docs/training.md"
        )
    if len(labels) < problem.min_labels:
        raise corpora.UnknownLayout(
            f"all images have the label {labels[0]!r}; at least {problem.min_labels} labels are needed "
            "(--train-dir LABEL=PATH)"
        )
    for label in sorted({problem.label_of(sample.label) for sample in data.tested()} - set(labels)):
        raise corpora.UnknownLayout(
            f"--test-dir holds the label {label!r}, which no training image has{plugins.nearest(label, list(labels))}; "
            f"trained are: {', '.join(labels)}"
        )
    return labels


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
    told += [problem.losses[wanted.training.loss].sampling in sampling.WAYS]  # whether shards keep writers together
    digest = hashlib.sha256(json.dumps([identity(everything), told]).encode())
    for sample in everything:
        digest.update(json.dumps([problem.label_of(sample.label), sample.writer]).encode())
    return digest.hexdigest()[:16]


def _write_audit(place: Run, judged: Audit) -> None:
    partial = place.audit.with_suffix(".partial")
    partial.write_text(json.dumps(judged.content, indent=1) + "\n")
    partial.replace(place.audit)
    for finding in judged.findings:
        if finding.severity != "note":
            print(f"  {finding.severity}: {finding.message}", flush=True)


def _summary(chosen: list[Sample]) -> str:
    labels = sorted({sample.label for sample in chosen})
    each = ", ".join(f"{sum(s.label == label for s in chosen)} {label}" for label in labels)
    return f"{len(chosen)} images ({each}) of {len({s.group for s in chosen})} writers, documents or single images"


def main(arguments: list[str] | None = None) -> int:
    """Prepare a run's records without training; ``trainer.task`` with the same flags goes on from there."""
    wanted = config.from_command_line(arguments, prog="python -m trainer.prepare", description=HELP)
    quiet.import_tensorflow()
    problem = plugins.load("problems", wanted.model.problem)
    wanted = resolved(wanted, problem)
    try:
        with run.open_run(wanted, datetime.datetime.now()) as place:
            prepared = prepare(wanted, problem, place)
            place.save()
    except (UserError, OSError) as error:
        print(f"python -m trainer.prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here")
        return 130
    held = ", ".join(f"{prepared.records.images(part)} {part}" for part in prepared.records.counts)
    print(f"records: {prepared.records.folder} ({held}, {len(prepared.records.refused)} left out)")
    return 0


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
