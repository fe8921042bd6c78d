"""The data of a run as it was read: which samples to learn from, which to test with, and under which labels.

Knows settings, layouts and problems, no pixels. Next: ``prepare.py`` looks at the images and deals them.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import corpora, storage
from trainer.console.messages import LOG
from trainer.console.progress import Progress
from trainer.corpora import Reading, Sample
from trainer.data import sources
from trainer.data.sources import Source
from trainer.samples import generator
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.settings.spelling import nearest

if TYPE_CHECKING:
    from trainer.problems import Problem


@dataclasses.dataclass(frozen=True)
class Data:
    """Everything that was named, as it was read; labels are the problem's. The last ``tests`` readings are tests."""

    given: list[Source]
    readings: list[Reading]
    tests: int

    def learnt(self) -> list[Sample]:
        """The samples to learn from, to validate with, or to draw a test part from."""
        return [s for reading in self._to_learn() for s in reading.samples if s.part != "test"]

    def tested(self) -> list[Sample]:
        """The samples of --test-dir, or of folders called test."""
        named = [s for reading in self._to_learn() for s in reading.samples if s.part == "test"]
        return [*named, *(s for reading in self.readings[len(self.readings) - self.tests :] for s in reading.samples)]

    def _to_learn(self) -> list[Reading]:
        return self.readings[: len(self.readings) - self.tests]


def read(wanted: Config, problem: "Problem", folder: Path) -> Data:
    """Bring and read every folder, and say as what; the generated dataset goes into ``folder``.

    Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``."""
    _check_places(wanted)
    learn = [sources.bring(path) for path in wanted.data.train_dir] or [_generated(wanted, problem, folder)]
    test = [sources.bring(path) for path in wanted.data.test_dir]
    folders = ((source.label, source.root, source.name) for source in [*learn, *test])
    readings = corpora.read_all(folders, wanted.data.layout)
    for reading in readings:
        left_out = f", {reading.left_out} more are not named by its index" if reading.left_out else ""
        LOG.info(f"  {reading.origin}: {reading.layout}, {summary(reading.samples)}{left_out}")
        if reading.parts:
            held = ", ".join(f"{count} {part}" for part, count in reading.parts.items())
            LOG.info(f"  {reading.origin}: parts as its folders say: {held}")
        if reading.predict:
            LOG.info(f"  {reading.origin}: {reading.predict} images to predict are left out")
    data = Data([*learn, *test], readings, len(test))
    _check_parts(data)
    return data


def _check_parts(data: Data) -> None:
    """Raises ``OverlappingData`` where folders of parts and flags contradict, or nothing is left to learn from."""
    for number, (given, reading) in enumerate(zip(data.given, data.readings, strict=True)):
        is_test = number >= len(data.given) - data.tests
        if is_test and set(reading.parts) - {"test"}:
            held = " and ".join(reading.parts)
            raise corpora.OverlappingData(
                f"--test-dir {given.given!r} has folders of parts ({held}); give the one to test with, or one folder "
                "that holds no others"
            )
        if not is_test and data.tests and "test" in reading.parts:
            raise corpora.OverlappingData(
                f"--train-dir {given.given!r} has a folder of {reading.parts['test']} test images, and --test-dir is "
                "given, too; drop --test-dir to test with that folder, or give the folders to learn from alone"
            )
    if not any(sample.part in ("", "train") for sample in data.learnt()):
        held = ", ".join(f"{reading.origin!r}: {' and '.join(reading.parts)}" for reading in data.readings)
        raise corpora.OverlappingData(
            f"no image is left to learn from, by the names of folders ({held}); a folder called train is needed, or "
            "the very folder to learn from, such as --train-dir data/test"
        )


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


def _generated(wanted: Config, problem: "Problem", folder: Path) -> Source:
    """The generated dataset, written once; complete or absent."""
    if not folder.is_dir():
        partial = folder.with_name("samples.partial")
        shutil.rmtree(partial, ignore_errors=True)
        amount = dataclasses.replace(problem.generated, writers=wanted.data.writers)
        with Progress("generating", amount.images()) as progress:
            for done in generator.write(partial, amount, wanted.training.seed):
                progress.show(done)
        partial.rename(folder)
    return Source("generated", None, folder, "samples")


def labels(data: Data, problem: "Problem") -> tuple[str, ...]:
    """The labels that are learnt. Raises ``UnknownLayout`` for too few, or for one that only the test has."""
    found = sorted({problem.label_of(sample.label) for sample in data.learnt()})
    known = problem.labels or tuple(found)
    if strange := [label for label in found if label not in known]:
        raise corpora.UnknownLayout(
            f"the images hold the label {strange[0]!r}; this problem learns from {' and '.join(known)} signatures of "
            f"people who are named by folder or file, see docs/training.md{_instead(data)}"
        )
    if len(known) < problem.min_labels:
        raise corpora.UnknownLayout(
            f"all images have the label {known[0]!r}; at least {problem.min_labels} labels are needed "
            f"(--train-dir LABEL=PATH){_instead(data)}"
        )
    for label in sorted({problem.label_of(sample.label) for sample in data.tested()} - set(known)):
        raise corpora.UnknownLayout(
            f"the test part holds the label {label!r}, which no training image has"
            f"{nearest(label, list(known))}; trained are: {', '.join(known)}"
        )
    return known


def _instead(data: Data) -> str:
    """How else the folders could be meant, by layouts that go by folders alone."""
    layouts = {reading.layout: reading.origin for reading in data.readings}
    known = {layout: plugins.load("corpora", layout).instead for layout in layouts}
    return "".join(
        f". {origin!r} was read as {layout}: {known[layout]}" for layout, origin in layouts.items() if known[layout]
    )


def summary(chosen: list[Sample]) -> str:
    """Images by label and by writer, in words."""
    held = sorted({sample.label for sample in chosen})
    each = ", ".join(f"{sum(s.label == label for s in chosen)} {label}" for label in held)
    return f"{len(chosen)} images ({each}) of {len({s.group for s in chosen})} writers, documents or single images"
