"""A training run from data to a measured artefact: prepare, train, export, evaluate, publish.

Defines the order of the stages, and continues an interrupted run. Next: ``preparation.py`` for the data,
``training/loop.py``, ``training/export.py``, ``evaluation/measure.py``.
"""

import contextlib
import dataclasses
import datetime
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.artifact import golden_regions, manifest
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import Decision
from trainer.artifact.engine import Engine
from trainer.console.messages import LOG, log_duration
from trainer.console.progress import transfer_progress
from trainer.data import batches
from trainer.data.stream import StreamSpec
from trainer.evaluation import card_facts, report
from trainer.evaluation.measure import evaluate
from trainer.evaluation.monitoring_baseline import measure_baseline
from trainer.pipeline import run_facts
from trainer.pipeline.preparation import PreparedData, prepare_data
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.pipeline.run_dir import RunDir, open_run_dir
from trainer.problems import EncodedBatches, Problem
from trainer.ready import fetch_artifact
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.settings.flags import BadSetting
from trainer.training import cluster, export, network
from trainer.training.loop import FitResult, TrainingSpec, fit
from trainer.vertex import experiments, hypertune

if TYPE_CHECKING:
    import keras

MAX_REFUSED_LOGGED = 10


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What all stages of a run need: complete settings, the problem, the folder, and the role of this machine."""

    config: Config
    problem: Problem
    run_dir: RunDir
    worker: cluster.Worker


def train(config: Config, worker: cluster.Worker | None = None) -> RunDir:
    """Run all stages, or those that an interrupted run has left; return the folder of the run.

    Without ``worker`` the environment determines the role of this machine. Raises ``UserError`` or ``OSError``.
    """
    worker = worker or cluster.join_cluster()
    problem = plugins.load("problems", config.model.problem)
    config = resolve_settings(config, problem, worker.num_replicas)
    now = datetime.datetime.now()
    with (
        worker.worker_view(config) as worker_config,
        open_run_dir(worker_config, now) as run_dir,
        run_dir.log_to_file(config.output.verbose, worker.is_chief),
    ):
        _run_stages(RunContext(worker_config, problem, run_dir, worker))
        return run_dir


def _run_stages(run: RunContext) -> None:
    config, problem, run_dir = run.config, run.problem, run.run_dir
    if run_dir.is_complete(config):
        run_dir.upload()  # an interrupted run may have published the artefact without uploading it
        LOG.info(f"{run_dir.artifact_dir} is complete already; choose another --job-dir to train again\n")
        LOG.info(problem.report_builder.format_table(manifest.read(run_dir.artifact_dir).metrics))
        return
    LOG.info(f"{config.model.problem}: {problem.question}\nrun: {run_dir.folder}")
    if config.training.init_from:
        network_text = f"{config.model.backbone}, {config.model.image_height} x {config.model.image_width} pixels"
        LOG.info(f"network: {network_text}; what no flag sets is that of {config.training.init_from}")
    _log_machine()
    signature_check = _fetch_signature_check(config.model.signature_check)
    with log_duration("prepare"):
        prepared = prepare_data(config, problem, run_dir)
    run_dir.upload()
    _log_refused(prepared.records.refused)
    with _open_tracker(config, run_dir) as tracker:
        with log_duration("train"):
            fitted = _fit(run, prepared, tracker)
        if run.worker.is_chief:
            metrics = _publish(run, prepared, fitted, signature_check)
            if tracker:
                tracker.log_metrics(metrics)


def _log_machine() -> None:
    """Log versions and devices, for --verbose."""
    import tensorflow as tf

    LOG.debug(", ".join(f"{name} {version}" for name, version in export.read_versions().items()))
    LOG.debug(
        f"devices: {', '.join(device.name for device in tf.config.list_physical_devices())}; {os.cpu_count()} cores"
    )


def _fit(run: RunContext, prepared: PreparedData, tracker: experiments.Tracker | None) -> FitResult:
    """Train the model, and build the one to export from it."""
    config, problem, run_dir = run.config, run.problem, run.run_dir

    def build() -> "keras.Model":
        return network.build_model(config.model, prepared.imaging, prepared.records.labels)

    stream = _make_stream(config, problem, prepared)
    records, backbone = prepared.records, config.model.backbone
    spec = TrainingSpec(problem, build, records, config.training, stream, prepared.copies, backbone, config.speed)
    callbacks = _make_callbacks(run, tracker)
    fitted = fit(spec, run_dir.checkpoint_dir, run_dir.history_file, callbacks, run.worker.strategy)
    if run.worker.is_chief:
        # The last report is that of the exported weights, which need not be those of the last epoch.
        hypertune.report_metrics(fitted.history[fitted.best_epoch - 1], len(fitted.history))
    if problem.build_export_model is None:
        return fitted
    encode = functools.partial(network.compute_vectors, fitted.model)

    def encode_batches(split: str) -> EncodedBatches:
        return batches.encode_batches(encode, records, split, prepared.canvas)

    return dataclasses.replace(fitted, model=problem.build_export_model(fitted.model, encode_batches))


def _make_stream(config: Config, problem: Problem, prepared: PreparedData) -> StreamSpec | None:
    """Describe the generated images beside the records; ``None`` without --stream. Raises ``BadSetting``."""
    if not config.training.stream:
        return None
    name, labels = problem.generated_dataset.generator, prepared.records.labels
    known = plugins.load("generators", name).labels
    if not set(labels) <= set(known):
        raise BadSetting(
            f"--stream {config.training.stream}: the labels of the data are {', '.join(labels)}; generated images have "
            f"{', '.join(known)}, so that every label of the data has to be one of these"
        )
    settings = config.training
    return StreamSpec(name, labels, settings.stream, settings.seed, prepared.imaging, settings.stream_repeats)


def _publish(
    run: RunContext, prepared: PreparedData, fitted: FitResult, signature_check: Path | None
) -> dict[str, Any]:
    """Export to a partial directory, measure that artefact on raw images, then publish it; return public metrics."""
    config, problem, run_dir = run.config, run.problem, run.run_dir
    LOG.info(f"best epoch: {fitted.best_epoch}; exporting")
    data_facts = run_facts.collect_facts(config, prepared, fitted)
    spec = export.ArtifactSpec(
        problem=config.model.problem,
        backbone=config.model.backbone,
        labels=prepared.records.labels,
        imaging=prepared.imaging,
        training={"run": run_dir.name, "settings": config.get_learning_settings(), **data_facts},
        variant=config.model.variant,
        signature_check=signature_check,
    )
    partial = run_dir.artifact_dir.with_name(run_dir.artifact_dir.name + ".partial")
    with log_duration("export"):
        _export(problem, prepared, fitted, spec, partial)
    with log_duration("evaluate"):
        exported = Artifact(partial)
        evaluation = evaluate(exported, prepared.test_samples)
        monitoring = measure_baseline(exported, prepared.monitoring_samples).to_json()
    _log_refused(evaluation.refused)
    report_facts = {
        "problem": config.model.problem,
        "question": problem.question,
        "data": data_facts,
        "history": fitted.history,
        "audit": prepared.audit,
    }
    report.write(run_dir.report_dir, problem.report_builder, evaluation, report_facts, prepared.records.refused)
    metrics = {
        name: value for name, value in evaluation.metrics.items() if name not in problem.report_builder.private_keys
    }
    trained = run_facts.describe_training(config, problem, prepared)
    facts = card_facts.make_facts(evaluation, problem.report_builder, trained, data_facts["audit"])
    export.publish(partial, metrics, monitoring, facts, run_dir.artifact_dir)
    run_dir.upload()
    LOG.info(f"\n{problem.report_builder.format_table(evaluation.metrics)}\n")
    LOG.info(f"artefact: {run_dir.display_path(run_dir.artifact_dir)}")
    LOG.info(f"report: {run_dir.display_path(run_dir.report_dir / 'report.md')}")
    return {name: value for name, value in metrics.items() if isinstance(value, int | float) or name == "errors"}


def _export(
    problem: Problem, prepared: PreparedData, fitted: FitResult, spec: export.ArtifactSpec, folder: Path
) -> None:
    """Write the artefact; its decision is fitted to the vectors that the exported model computes for validation."""
    encode = functools.partial(network.compute_vectors, fitted.model)
    base = problem.similarity(fitted.model)
    similarity = problem.normalise(base, encode, prepared.imaging) if base and problem.normalise else base

    def fit_decision(engine: Engine) -> tuple[Decision, dict[str, float]]:
        vectors, targets = batches.encode_split(engine, prepared.records, "validation", prepared.canvas)
        decision = problem.fit_decision(spec.labels, vectors, targets, similarity)
        return decision, problem.error_rates(decision, vectors, targets)

    written = export.export(fitted.model, spec, folder, fit_decision)
    golden_regions.record_variants(folder, Artifact)
    if written.variant != spec.variant:
        LOG.info(
            f"serves the variant {written.variant}: {spec.variant} is less exact on validation images, see the manifest"
        )


def _fetch_signature_check(artifact_path: str) -> Path | None:
    """Fetch the artefact of --signature-check. Raises ``BadArtifact`` when it has no label "signature"."""
    if not artifact_path:
        return None
    folder = fetch_artifact(artifact_path, progress=transfer_progress)
    check_manifest = Artifact(folder).manifest
    if "signature" not in check_manifest.labels:
        raise manifest.BadArtifact(
            f"--signature-check {artifact_path!r} is an artefact of {check_manifest.problem}; "
            "it has to have the label 'signature'"
        )
    return folder


def _log_refused(refused: list[tuple[str, str]]) -> None:
    """Log the images that were left out, and why."""
    for path, reason in refused[:MAX_REFUSED_LOGGED]:
        LOG.info(f"  left out: {path}: {reason}")
    if len(refused) > MAX_REFUSED_LOGGED:
        LOG.info(f"  left out: {len(refused) - MAX_REFUSED_LOGGED} more, listed in the report")


@contextlib.contextmanager
def _open_tracker(config: Config, run_dir: RunDir) -> Iterator[experiments.Tracker | None]:
    """Record the run in Vertex AI Experiments; yields ``None`` without --experiment."""
    if not config.output.experiment:
        yield None
        return
    tracker = experiments.Tracker(config.output.experiment, config.output.tensorboard, run_dir.name)
    tracker.log_params(config.get_learning_settings())
    try:
        yield tracker
    except BaseException:
        tracker.close(failed=True)
        raise
    tracker.close()


def _make_callbacks(run: RunContext, tracker: experiments.Tracker | None) -> "list[keras.callbacks.Callback]":
    """Make the callbacks that upload the run and report its metrics after every epoch."""
    import keras

    run_dir = run.run_dir

    def report_epoch(epoch: int, row: dict[str, float]) -> None:
        run_dir.upload()
        if run.worker.is_chief:
            hypertune.report_metrics(row, epoch + 1)
        if tracker:
            tracker.log_epoch(epoch + 1, row)

    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.LambdaCallback(on_epoch_end=report_epoch)]
    if run_dir.tensorboard_dir:
        from trainer.vertex.tensorboard import TensorBoardCallback

        callbacks.insert(0, TensorBoardCallback(run_dir.tensorboard_dir))
    return callbacks
