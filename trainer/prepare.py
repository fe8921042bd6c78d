"""Folders people name -> labelled samples -> parts that share no writer -> records of canonical images.

Knows settings and problems, not models. Next: ``records.py`` writes what is chosen here, ``fit.py`` learns from it.
"""

import dataclasses
import shutil
from pathlib import Path

from trainer import corpora, plugins, records, samples, splits, storage
from trainer.config import Config
from trainer.imaging import Imaging
from trainer.problems import Problem
from trainer.progress import Progress
from trainer.run import Run


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a run learns from and is judged by: ``unseen`` stays raw files, because that is what is judged."""

    records: records.Records
    unseen: list[corpora.Sample]
    imaging: Imaging


def prepare(wanted: Config, problem: Problem, place: Run) -> Prepared:
    """Everything up to training. Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    _check_places(wanted, place)
    parts = _parts(wanted, problem, place)
    labels = tuple(sorted({sample.label for sample in parts["train"]}))
    if len(labels) < problem.min_labels:
        raise corpora.UnknownLayout(
            f"all images have the label {labels[0]!r}; at least {problem.min_labels} labels are needed "
            "(--train-dir LABEL=PATH)"
        )
    _check_labels(parts["test"], labels)
    imaging = Imaging(wanted.model.image_height, wanted.model.image_width)
    unseen = parts.pop("test")
    if wanted.data.strict:  # now, not after an hour of training
        records.check_readable(unseen, imaging)
    prepared = records.prepare(parts, labels, imaging, place.records, wanted.data.strict)
    _check_counts(prepared)
    return Prepared(prepared, unseen, imaging)


def _parts(wanted: Config, problem: Problem, place: Run) -> dict[str, list[corpora.Sample]]:
    """Train, validation and test samples, labelled in the problem's words."""
    folders = [_labelled(folder) for folder in wanted.data.train_dir] or _generated(wanted, problem, place)
    found = _relabelled(corpora.read_all(folders), problem)
    fraction = 0.0 if wanted.data.test_dir else wanted.data.test_fraction
    parts = splits.split(found, wanted.data.validation_fraction, fraction, wanted.training.seed, problem.by_writer)
    if wanted.data.test_dir:
        # Read together with the training folders, so that a file named in both is found.
        whole = corpora.read_all([*folders, *map(_labelled, wanted.data.test_dir)])
        parts["test"] = _relabelled(whole[len(found) :], problem)
    for part, chosen in parts.items():
        print(f"  {part}: {_summary(chosen)}", flush=True)
    return parts


def _check_places(wanted: Config, place: Run) -> None:
    """A run that writes below its own data would be learnt from by the next."""
    for folder in (*wanted.data.train_dir, *wanted.data.test_dir):
        data = _labelled(folder)[1].resolve()
        for kind, mine in (("--job-dir", place.folder), ("--model-dir", place.model)):
            if data in (mine.resolve(), *mine.resolve().parents):
                raise corpora.OverlappingData(
                    f"{kind} {str(mine)!r} is inside the images of {folder!r}; choose another"
                )


def _labelled(folder: str) -> tuple[str | None, Path]:
    """``LABEL=PATH`` or ``PATH``; a path that exists wins over its reading as a label."""
    label, equals, path = folder.partition("=")
    if not (path if equals else folder):
        raise corpora.UnknownLayout(f"{folder!r} names no folder; it has to be PATH or LABEL=PATH")
    if not equals or not label or Path(folder).exists() or "/" in label:
        return None, storage.local(folder)
    return label, storage.local(path)


def _generated(wanted: Config, problem: Problem, place: Run) -> list[tuple[None, Path]]:
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
    return [(None, folder)]


def _relabelled(found: list[corpora.Sample], problem: Problem) -> list[corpora.Sample]:
    return [dataclasses.replace(sample, label=problem.label_of(sample.label)) for sample in found]


def _check_labels(unseen: list[corpora.Sample], labels: tuple[str, ...]) -> None:
    """A test label that was never trained cannot be answered."""
    for label in sorted({sample.label for sample in unseen} - set(labels)):
        raise corpora.UnknownLayout(
            f"--test-dir holds the label {label!r}, which no training image has{plugins.nearest(label, list(labels))}; "
            f"trained are: {', '.join(labels)}"
        )


def _check_counts(prepared: records.Records) -> None:
    """What is left when unreadable images are out has to hold every label."""
    for part, counts in prepared.counts.items():
        for label, count in counts.items():
            if count == 0:
                path, reason = prepared.refused[0]
                raise splits.TooFewSamples(
                    f"no readable {label!r} image is left for the {part} part; {len(prepared.refused)} could not be "
                    f"read, for example {path}: {reason}"
                )


def _summary(chosen: list[corpora.Sample]) -> str:
    labels = sorted({sample.label for sample in chosen})
    each = ", ".join(f"{sum(s.label == label for s in chosen)} {label}" for label in labels)
    return f"{len(chosen)} images ({each}) of {len({s.group for s in chosen})} writers, documents or single images"
