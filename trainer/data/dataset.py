"""List the samples of a run from its settings: those to train on, those to test with, and their labels.

Works on names, not pixels. Next: ``image_index.py``, which reads the images; ``splits.py``.
"""

import collections
import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import corpora, storage
from trainer.console.errors import UserError
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

MAX_LABELS = 12  # that a log line counts one by one
COPIES_LABEL = "handwriting"  # of the samples of --copies-dir, in place of any that the layout says


@dataclasses.dataclass(frozen=True)
class RunData:
    """The data sources of a run and the listing of each; the last ``test_count`` are those of --test-dir.

    ``copies_listings`` are those of --copies-dir, without images of folders that name other splits than train.
    """

    sources: list[DataSource]
    listings: list[CorpusListing]
    test_count: int
    copies_listings: tuple[CorpusListing, ...] = ()

    def list_training_samples(self) -> list[Sample]:
        """List the samples of all splits but test; where none is declared, a test split is drawn from them."""
        return [sample for sample in self._list_train_dir_samples() if sample.split != "test"]

    def list_test_samples(self) -> list[Sample]:
        """List the samples of --test-dir and of folders named test."""
        declared = [sample for sample in self._list_train_dir_samples() if sample.split == "test"]
        test_listings = self.listings[len(self.listings) - self.test_count :]
        return [*declared, *(sample for listing in test_listings for sample in listing.samples)]

    def list_copies_samples(self) -> list[Sample]:
        """List the samples of --copies-dir."""
        return [sample for listing in self.copies_listings for sample in listing.samples]

    def _list_train_dir_samples(self) -> list[Sample]:
        train_listings = self.listings[: len(self.listings) - self.test_count]
        return [sample for listing in train_listings for sample in listing.samples]


def read_run_data(
    config: Config, problem: "Problem", folder: Path, fetch: Callable[[str], DataSource] = sources.fetch_source
) -> RunData:
    """Fetch and list every data source, and log its layout.

    Without --train-dir, the generated dataset is written to ``folder``. ``fetch`` makes a data source readable.

    Raises ``UserError``, ``StorageError`` or ``FileNotFoundError``.
    """
    _check_output_dirs(config)
    train = [fetch(path) for path in config.data.train_dir]
    train = train or [_generate_dataset(config, problem, folder)]
    test = [fetch(path) for path in config.data.test_dir]
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
    listings = [
        *relabel_listings(listings[: len(train)], problem),
        *relabel_listings(listings[len(train) :], problem),
    ]
    copies_listings = _read_copies_dirs(config.data.copies_dir, config.data.layout, listings)
    data = RunData([*train, *test], listings, len(test), copies_listings)
    _check_splits(data)
    return data


def relabel_listings(listings: list[CorpusListing], problem: "Problem") -> list[CorpusListing]:
    """Return the listings with the labels of the problem; log how many images it cannot use.

    Raises ``UserError``, also when it can use none.
    """
    samples = [sample for listing in listings for sample in listing.samples]
    by_corpus = collections.defaultdict(list)
    for sample in problem.relabel(samples):
        by_corpus[sample.corpus_id].append(sample)
    if samples and not by_corpus:
        labels = " or ".join(sorted({sample.label for sample in samples}))
        folders = ", ".join(repr(listing.corpus_id) for listing in listings)
        raise UserError(
            f"{folders}: all {len(samples)} images are labelled {labels}, which this "
            "problem does not learn from; give genuine signatures or folders of persons"
        )
    relabelled = [dataclasses.replace(listing, samples=by_corpus[listing.corpus_id]) for listing in listings]
    unused = collections.Counter(sample.label for sample in samples)
    unused.subtract(sample.corpus_label for listing in relabelled for sample in listing.samples)
    for label in sorted(+unused):
        LOG.info(f"  {unused[label]} {label} images are left out: this problem does not learn from them")
    return relabelled


def _read_copies_dirs(
    arguments: Sequence[str], layout: str, listings: list[CorpusListing]
) -> tuple[CorpusListing, ...]:
    """Fetch and list every --copies-dir, whose labels do not matter, and log what may be copied.

    Raises ``OverlappingData`` for an image that is in one of the ``listings``, or in two of these, too.
    """
    fetched = map(sources.fetch_source, arguments)
    listed = corpora.read_corpora(((COPIES_LABEL, source.root, source.name) for source in fetched), layout)
    corpora.check_disjoint([*listings, *listed])
    copied = []
    for listing in listed:
        kept = [sample for sample in listing.samples if sample.split in ("", "train")]
        left_out = len(listing.samples) - len(kept)
        note = f"; {left_out} in folders named validation or test are left out" if left_out else ""
        LOG.info(f"  {listing.corpus_id}: {listing.layout}, {len(kept)} images to copy{note}")
        copied.append(dataclasses.replace(listing, samples=kept))
    return tuple(copied)


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
    for argument in filter(None, (*config.data.train_dir, *config.data.test_dir, *config.data.copies_dir)):
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
        spec = problem.generated_dataset.resize(config.data.pages or config.data.writers)
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
    labels = sorted({sample.label for sample in data.list_training_samples()})
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
    for label in sorted({sample.label for sample in data.list_test_samples()} - set(known)):
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
    if len(counts) > MAX_LABELS:
        label_counts = f"{len(counts)} labels of {min(counts.values())} to {max(counts.values())} images"
    unit_count = len({sample.split_unit for sample in samples})
    return f"{len(samples)} images ({label_counts}) of {unit_count} writers, documents or single images"
