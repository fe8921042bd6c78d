"""From data sources to the records of a run: read, index, audit, split, write.

Next: ``data/dataset.py`` lists samples, ``data/image_index.py`` reads images, ``audit/`` checks them,
``data/splits.py`` splits them, ``data/records.py`` writes them, ``data/copies.py`` copies signatures.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from trainer.audit import duplicates
from trainer.audit.audit import Audit, run_audit
from trainer.audit.finding import Severity
from trainer.console.errors import UserError
from trainer.console.messages import LOG
from trainer.corpora import Sample
from trainer.data import copies, dataset, image_index, records, shard_plan, sources, splits
from trainer.data.components import components
from trainer.data.dataset import RunData
from trainer.data.image_index import ImageIndex
from trainer.data.records import Records
from trainer.data.shard_plan import ShardPlan
from trainer.data.sources import DataSource
from trainer.imaging import Imaging
from trainer.pipeline import data_identity
from trainer.pipeline.execution import Execution
from trainer.pipeline.run_dir import RunDir
from trainer.problems import Problem
from trainer.settings.config import Config

MAX_MONITORING_IMAGES = 2000


class UnreadableImages(UserError):
    """Images were rejected and ``--strict`` is set; the message lists them."""


class DuplicateImages(UserError):
    """Training images (nearly) repeat test images; the message names a pair and the remedies."""


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """The data that a run is trained on and measured with.

    ``test_samples`` stay image files, because the artefact is measured on raw images, and so do the
    ``monitoring_samples`` of the validation split; ``audit`` is ``Audit.content``.
    ``copies`` are those of training images, ``None`` if none are trained on.
    """

    records: records.Records
    test_samples: list[Sample]
    imaging: Imaging
    audit: dict[str, Any]
    copies: Records | None = None
    monitoring_samples: list[Sample] = dataclasses.field(default_factory=list)

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of a canonical image in pixels."""
        return self.imaging.height, self.imaging.width


@dataclasses.dataclass(frozen=True)
class AuditedData:
    """The data of a run once every image is indexed and audited, before it is split.

    The first ``training_count`` of the ``samples`` are to train on, the others to test with. ``labels`` are in the
    order of the label numbers, ``digest`` is the data digest.
    """

    run_data: RunData
    labels: tuple[str, ...]
    index: ImageIndex
    audit: Audit
    digest: str

    @property
    def samples(self) -> list[Sample]:
        """The samples of the index."""
        return self.index.samples

    @property
    def training_count(self) -> int:
        """Number of samples that are not declared test samples."""
        return len(self.run_data.list_training_samples())

    @property
    def has_test_split(self) -> bool:
        """Whether test samples are declared, by --test-dir or by folders named test."""
        return self.training_count < len(self.samples)


class LocalExecution:
    """Runs the steps that read every image in the threads of this process."""

    def fetch_source(self, argument: str) -> DataSource:
        return sources.fetch_source(argument)

    def build_index(self, samples: list[Sample], imaging: Imaging, folder: Path) -> ImageIndex:
        return image_index.build_image_index(samples, imaging, folder)

    def find_near_duplicates(self, index: ImageIndex, numbers: np.ndarray) -> list[duplicates.Pair]:
        return duplicates.find_near_duplicates(index, numbers)

    def write_shards(self, index: ImageIndex, plan: ShardPlan, folder: Path) -> None:
        shard_plan.write_shards(index, plan, folder)

    def delete_index(self, index: ImageIndex) -> None:
        index.delete()


def prepare_data(config: Config, problem: Problem, run_dir: RunDir, execution: Execution | None = None) -> PreparedData:
    """Prepare all data that training needs, or read what an earlier call has prepared in the same run.

    ``execution`` runs the steps that read every image, ``LocalExecution`` if it is ``None``. Raises ``UserError``,
    ``StorageError`` or ``FileNotFoundError``.
    """
    execution = execution or LocalExecution()
    run_data = dataset.read_run_data(config, problem, run_dir.folder / "samples", execution.fetch_source)
    canvas = config.model.image_height, config.model.image_width
    imaging = Imaging(*canvas, ink=config.model.ink, framing=problem.framing)
    samples = [*run_data.list_training_samples(), *run_data.list_test_samples()]
    digest = data_identity.compute_digest(config, problem, samples)
    prepared = records.read_existing(run_dir.records_dir, digest, imaging)
    if not _has_current_audit(run_dir):
        prepared = None
    if not prepared or not run_dir.config_file.is_file():
        run_dir.write_config(config)  # from here on, the same command continues an interrupted run
    copied = None
    try:
        if not prepared:
            labels = dataset.resolve_labels(run_data, problem)
            index = execution.build_index(samples, imaging, run_dir.image_index_dir)
            if config.data.strict:
                _check_readable(index)
            audit = run_audit(
                index,
                run_data.listings,
                run_data.test_count,
                about_unseen_writers=problem.is_writer_independent,
                search=execution.find_near_duplicates,
            )
            _write_audit(run_dir, audit)
            data = AuditedData(run_data, labels, index, audit, digest)
            prepared = _split_and_write(config, problem, data, run_dir, execution)
            execution.delete_index(index)
        if config.training.copies_share:
            copied = copies.prepare_copies(prepared, run_data.list_copies_samples(), imaging, config.training.seed)
    except UserError:
        run_dir.config_file.unlink(missing_ok=True)  # so that the folder accepts corrected settings
        raise
    samples_by_key = {_key(sample): sample for sample in samples}
    test_samples, monitoring_samples = (
        [samples_by_key[key] for key in keys] for keys in (prepared.test_images, prepared.monitoring_images)
    )
    audit = json.loads(run_dir.audit_file.read_text())
    return PreparedData(prepared, test_samples, imaging, audit, copied, monitoring_samples)


def _has_current_audit(run_dir: RunDir) -> bool:
    """Return whether the run's audit has the keys of this release; an older one is made again, with its records."""
    return run_dir.audit_file.is_file() and "writer_overlap" in json.loads(run_dir.audit_file.read_text())


def _split_and_write(
    config: Config, problem: Problem, data: AuditedData, run_dir: RunDir, execution: Execution
) -> records.Records:
    """Split so that no writer and no duplicate is in two splits, and write the records."""
    repeated = _find_duplicates_of_test_images(data, config.data.drop_duplicates)
    split_samples = _split(config, problem, data)
    test_samples = split_samples.pop("test")
    by_writer = data_identity.draws_by_writer(config)
    spec = records.RecordsSpec(
        data.labels,
        data.digest,
        data_sources=data_identity.describe_sources(data.run_data),
        test_images=[_key(sample) for sample in test_samples],
        monitoring_images=[
            _key(sample)
            for sample in splits.choose_some(split_samples["validation"], MAX_MONITORING_IMAGES, config.training.seed)
        ],
        exclusion_reasons={**_find_poor_images(data, config.data.min_quality), **repeated},
        region_labels=problem.region_labels,
        writer_in_one_shard=by_writer,
        merged_writers=(
            splits.merge_writers(data.samples, data.audit.duplicate_pairs, data.labels[0]) if by_writer else {}
        ),
    )
    written = records.write(data.index, split_samples, run_dir.records_dir, spec, execution.write_shards)
    _check_counts(written, problem)
    return written


def _split(config: Config, problem: Problem, data: AuditedData) -> dict[str, list[Sample]]:
    """Split the samples into train, validation and test, and log the counts. Raises ``TooFewSamples``."""
    training_count = data.training_count
    split_samples = splits.split_samples(
        data.samples[:training_count],
        config.data.validation_fraction,
        0.0 if data.has_test_split else config.data.test_fraction,
        config.training.seed,
        problem.is_writer_independent,
        [(i, j) for i, j in data.audit.duplicate_pairs if j < training_count],
    )
    if data.has_test_split:
        split_samples["test"] = data.samples[training_count:]
    problem.check_test_samples(split_samples["test"])
    for split in splits.SPLITS:
        LOG.info(f"  {split}: {dataset.describe_samples(split_samples[split])}")
    return split_samples


def _find_duplicates_of_test_images(data: AuditedData, drop_duplicates: bool) -> dict[records.Key, str]:
    """Find training images that repeat a test image; returns the reason to exclude each.

    Raises ``DuplicateImages`` unless ``drop_duplicates``.
    """
    samples, training_count = data.samples, data.training_count
    component = components(len(samples), data.audit.duplicate_pairs)
    test_numbers = {component[number]: number for number in range(training_count, len(samples))}
    pairs = [
        (number, test_numbers[component[number]])
        for number in range(training_count)
        if component[number] in test_numbers
    ]
    if pairs and not drop_duplicates:
        i, j = pairs[0]
        raise DuplicateImages(
            f"{len(pairs)} training images (nearly) repeat images of the test split, for example "
            f"{str(samples[i].path)!r} and {str(samples[j].path)!r}; take them out, or give --drop-duplicates to train "
            "without them"
        )
    return {_key(samples[i]): f"repeats the test image {samples[j].name}" for i, j in pairs}


def _find_poor_images(data: AuditedData, min_quality: float) -> dict[records.Key, str]:
    """Find images below --min-quality; returns the reason to exclude each."""
    properties = data.index.properties
    return {
        _key(sample): f"quality {quality:.2f} is below --min-quality {min_quality:g} ({warnings})"
        for sample, quality, warnings in zip(
            data.samples, properties.quality.tolist(), properties.warnings, strict=True
        )
        if quality < min_quality
    }


def _key(sample: Sample) -> records.Key:
    return sample.corpus_id, sample.name


def _check_readable(index: ImageIndex) -> None:
    """Raise ``UnreadableImages`` for rejected images."""
    rejected = index.list_rejected()
    if rejected:
        lines = "\n".join(f"  {index.samples[number].path}: {reason}" for number, reason in rejected[:20])
        raise UnreadableImages(f"{len(rejected)} of {len(index.samples)} images cannot be read (--strict):\n{lines}")


def _check_counts(written: records.Records, problem: Problem) -> None:
    """Check that exclusions leave images of every label that the problem needs. Raises ``TooFewSamples``."""
    required_labels = written.labels if problem.labels is None else written.labels[: problem.min_labels]
    for split, counts in written.counts.items():
        for label, count in counts.items():
            if count == 0 and label in required_labels:
                path, reason = written.refused[0]
                shutil.rmtree(written.folder)
                raise splits.TooFewSamples(
                    f"no {label!r} image is left for the {split} split; {len(written.refused)} were left out, "
                    f"for example {path}: {reason}"
                )


def _write_audit(run_dir: RunDir, audit: Audit) -> None:
    """Write the audit as JSON, and log its errors and warnings."""
    partial = run_dir.audit_file.with_suffix(".partial")
    partial.write_text(json.dumps(audit.content, indent=1) + "\n")
    partial.replace(run_dir.audit_file)
    for finding in audit.findings:
        if finding.severity is not Severity.INFO:
            LOG.info(f"  {finding.severity.value}: {finding.message}")
