"""List the samples of a run from its settings: those to train on, those to test with, and their labels.

Works on names, not pixels. Next: ``image_index.py``, which reads the images; ``splits.py``.
"""

import collections
import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import corpora, storage
from trainer.console.messages import LOG
from trainer.console.progress import Progress
from trainer.corpora import CorpusListing, Sample
from trainer.data import sources
from trainer.data.sources import DataSource
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.settings.spelling import suggest_nearest

if TYPE_CHECKING:
    from trainer.problems import Problem


@dataclasses.dataclass(frozen=True)
class RunData:
    """The data sources of a run and the listing of each; the last ``test_count`` are those of --test-dir."""

    sources: list[DataSource]
    listings: list[CorpusListing]
    test_count: int

    def list_training_samples(self) -> list[Sample]:
        """List the samples of all splits but test; where none is declared, a test split is drawn from them."""
        return [sample for sample in self._list_train_dir_samples() if sample.split != "test"]

    def list_test_samples(self) -> list[Sample]:
        """List the samples of --test-dir and of folders named test."""
        declared = [sample for sample in self._list_train_dir_samples() if sample.split == "test"]
        test_listings = self.listings[len(self.listings) - self.test_count :]
        return [*declared, *(sample for listing in test_listings for sample in listing.samples)]

    def _list_train_dir_samples(self) -> list[Sample]:
        train_listings = self.listings[: len(self.listings) - self.test_count]
        return [sample for listing in train_listings for sample in listing.samples]


def read_run_data(config: Config, problem: "Problem", folder: Path) -> RunData:
    """Fetch and list every data source, and log its layout.

    Without --train-dir, the generated dataset is written to ``folder``.

    Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``.
    """
    _check_output_dirs(config)
    train = [sources.fetch_source(path) for path in config.data.train_dir]
    train = train or [_generate_dataset(config, problem, folder)]
    test = [sources.fetch_source(path) for path in config.data.test_dir]
    folders = ((source.label, source.root, source.name) for source in [*train, *test])
    listings = corpora.read_corpora(folders, config.data.layout)
    for listing in listings:
        unlisted = f", {listing.unlisted_count} more are not listed in its CSV file" if listing.unlisted_count else ""
        LOG.info(f"  {listing.corpus_id}: {listing.layout}, {describe_samples(listing.samples)}{unlisted}")
        if listing.split_counts:
            counts = ", ".join(f"{count} {split}" for split, count in listing.split_counts.items())
            LOG.info(f"  {listing.corpus_id}: splits by folder names: {counts}")
        if listing.predict_count:
            LOG.info(f"  {listing.corpus_id}: {listing.predict_count} images in folders named predict are left out")
    data = RunData([*train, *test], listings, len(test))
    _check_splits(data)
    return data


def _check_splits(data: RunData) -> None:
    """Raise ``OverlappingData`` where folders of splits contradict the flags, or none is left to train on."""
    for number, (source, listing) in enumerate(zip(data.sources, data.listings, strict=True)):
        is_test = number >= len(data.sources) - data.test_count
        if is_test and set(listing.split_counts) - {"test"}:
            splits = " and ".join(listing.split_counts)
            raise corpora.OverlappingData(
                f"--test-dir {source.argument!r} has folders of splits ({splits}); give the one to test with, or one "
                "folder that holds no others"
            )
        if not is_test and data.test_count and "test" in listing.split_counts:
            raise corpora.OverlappingData(
                f"--train-dir {source.argument!r} has a folder of {listing.split_counts['test']} test images, and "
                "--test-dir is set, too; drop --test-dir to test with that folder, or give only the folders to train on"
            )
    if not any(sample.split in ("", "train") for sample in data.list_training_samples()):
        splits = ", ".join(f"{listing.corpus_id!r}: {' and '.join(listing.split_counts)}" for listing in data.listings)
        raise corpora.OverlappingData(
            f"no image is left to train on, by the names of folders ({splits}); a folder named train is needed, or "
            "--train-dir has to be the folder to train on itself, such as --train-dir data/test"
        )


def _check_output_dirs(config: Config) -> None:
    """Raise ``OverlappingData`` for output below the data: the next run would read it as data."""
    for argument in (*config.data.train_dir, *config.data.test_dir):
        data = _absolute(sources.parse_argument(argument)[1])
        for flag, path in (("--job-dir", config.output.job_dir), ("--model-dir", config.output.model_dir)):
            if path and f"{_absolute(path)}/".startswith(f"{data}/"):
                raise corpora.OverlappingData(f"{flag} {path!r} is inside the images of {argument!r}; choose another")


def _absolute(path: str) -> str:
    """Return an absolute path without a trailing slash, also for Cloud Storage."""
    return path.rstrip("/") if storage.is_remote(path) else str(storage.get_local_path(path).resolve())


def _generate_dataset(config: Config, problem: "Problem", folder: Path) -> DataSource:
    """Generate the dataset unless it is there already; complete or absent."""
    if not folder.is_dir():
        partial = folder.with_name("samples.partial")
        shutil.rmtree(partial, ignore_errors=True)
        spec = dataclasses.replace(problem.generated_dataset, writers=config.data.writers)
        generator = plugins.load("generators", spec.generator)
        if limits := generator.describe_limits():
            LOG.info(f"  {limits}")
        with Progress("generating", spec.count_images()) as progress:
            for done in generator.write_dataset(partial, spec, config.training.seed):
                progress.update(done)
        partial.rename(folder)
    return DataSource("generated", None, folder, "samples")


def resolve_labels(data: RunData, problem: "Problem") -> tuple[str, ...]:
    """Return the labels to learn, in order. Raises ``UnknownLayout`` for unsuitable, too few or untrained ones."""
    labels = sorted({problem.map_label(sample.label) for sample in data.list_training_samples()})
    known = problem.labels or tuple(labels)
    if unsuitable := [label for label in labels if label not in known]:
        raise corpora.UnknownLayout(
            f"the images have the label {unsuitable[0]!r}; this problem needs {' and '.join(known)} signatures of "
            f"writers who are named by folder or file, see docs/training.md{_describe_alternatives(data)}"
        )
    if len(known) < problem.min_labels:
        raise corpora.UnknownLayout(
            f"all images have the label {known[0]!r}; at least {problem.min_labels} labels are needed "
            f"(--train-dir LABEL=PATH){_describe_alternatives(data)}"
        )
    for label in sorted({problem.map_label(sample.label) for sample in data.list_test_samples()} - set(known)):
        raise corpora.UnknownLayout(
            f"the test split has the label {label!r}, which no training image has"
            f"{suggest_nearest(label, list(known))}; the labels of training images: {', '.join(known)}"
        )
    return known


def _describe_alternatives(data: RunData) -> str:
    """Describe other interpretations of the same folders, for layouts that have one."""
    layouts = {listing.layout: listing.corpus_id for listing in data.listings}
    alternatives = {layout: plugins.load("corpora", layout).alternative for layout in layouts}
    return "".join(
        f". {corpus_id!r} was read as {layout}: {alternatives[layout]}"
        for layout, corpus_id in layouts.items()
        if alternatives[layout]
    )


def describe_samples(samples: list[Sample]) -> str:
    """Count images by label, and writers, for a log line."""
    counts = collections.Counter(sample.label for sample in samples)
    label_counts = ", ".join(f"{counts[label]} {label}" for label in sorted(counts))
    unit_count = len({sample.split_unit for sample in samples})
    return f"{len(samples)} images ({label_counts}) of {unit_count} writers, documents or single images"
