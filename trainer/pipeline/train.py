"""A training run from data to a measured artefact: prepare, train, export, evaluate, publish; this file is the order.

Goes on where the run was interrupted. Next: ``preparation.py`` for the data, ``training/loop.py``,
``training/export.py``, ``evaluation/measure.py``.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.artifact import manifest
from trainer.artifact.artifact import Model
from trainer.console.messages import LOG, timed
from trainer.console.progress import fetching
from trainer.data import batches
from trainer.evaluation import report
from trainer.evaluation.measure import evaluate
from trainer.pipeline import run_dir
from trainer.pipeline.preparation import Prepared, prepare
from trainer.pipeline.problem_defaults import resolve_settings
from trainer.problems import Problem
from trainer.settings import plugins
from trainer.settings.config import Config
from trainer.training import cluster, export, network
from trainer.training.loop import Fitted, fit
from trainer.vertex import experiments, hypertune


def train(wanted: Config, role: cluster.Role | None = None) -> run_dir.Run:
    """One run from start to end, or from where it was interrupted; ``role`` is that of the environment if not given."""
    role = role or cluster.join()
    problem = plugins.load("problems", wanted.model.problem)
    wanted = resolve_settings(wanted, problem, role.replicas)
    verbose, now = wanted.output.verbose, datetime.datetime.now()
    with role.share(wanted) as mine, run_dir.open_run(mine, now) as place, place.logged(verbose, role.primary):
        return _train_in(place, mine, problem, role)


def _train_in(place: run_dir.Run, wanted: Config, problem: Problem, role: cluster.Role) -> run_dir.Run:
    if place.is_complete(wanted):
        place.save()  # the run may have ended between its last two steps
        LOG.info(f"{place.model} is complete already; choose another --job-dir to train again\n")
        LOG.info(problem.judge.table(manifest.read(place.model).metrics))
        return place
    LOG.info(f"{wanted.model.problem}: {problem.question}\nrun: {place.folder}")
    _describe_machine()
    signature_check = _signature_check(wanted.model.signature_check)
    with timed("prepare"):
        prepared = prepare(wanted, problem, place)
    place.save()
    _name_refused(prepared.records.refused)
    with _tracker(wanted, place) as tracker:
        with timed("train"):
            fitted = _fit(wanted, problem, place, prepared, role, tracker)
        if role.primary:
            numbers = _publish(wanted, problem, place, prepared, signature_check, fitted)
            if tracker:
                tracker.numbers(numbers)
    return place


def _describe_machine() -> None:
    """For --verbose: versions and devices."""
    import tensorflow as tf

    LOG.debug(", ".join(f"{name} {version}" for name, version in export.versions().items()))
    LOG.debug(
        f"devices: {', '.join(device.name for device in tf.config.list_physical_devices())}; {os.cpu_count()} cores"
    )


def _publish(
    wanted: Config,
    problem: Problem,
    place: run_dir.Run,
    prepared: Prepared,
    signature_check: Path | None,
    fitted: Fitted,
) -> dict[str, Any]:
    """Export aside, measure the exported artefact on raw images, then move it to its place; returns the numbers."""
    LOG.info(f"best epoch: {fitted.best_epoch}; exporting")
    data = _facts(wanted, prepared, fitted)
    partial = place.model.with_name(place.model.name + ".partial")
    facts = {"run": place.name, "settings": wanted.learning(), **data}
    with timed("export"):
        _export(wanted, problem, prepared, fitted, facts, partial, signature_check)
    with timed("evaluate"):
        measured = evaluate(Model(partial), prepared.unseen)
    _name_refused(measured.refused)
    told = {"problem": wanted.model.problem, "question": problem.question, "data": data, "history": fitted.history}
    told["audit"] = prepared.audit
    report.write(place.report, problem.judge, measured, told, prepared.records.refused)
    public = {name: value for name, value in measured.metrics.items() if name not in problem.judge.private}
    export.publish(partial, public, place.model)
    place.save()
    LOG.info(f"\n{problem.judge.table(measured.metrics)}\n")
    LOG.info(f"artefact: {place.told(place.model)}\nreport: {place.told(place.report / 'report.md')}")
    return {name: value for name, value in public.items() if isinstance(value, int | float) or name == "errors"}


def _fit(
    wanted: Config, problem: Problem, place: run_dir.Run, prepared: Prepared, role: cluster.Role,
    tracker: experiments.Tracker | None,
) -> Fitted:  # fmt: skip
    """Train, and finish what was trained."""

    def build():
        return network.build(wanted.model, prepared.imaging, prepared.records.labels)

    watchers = _watchers(place, tracker, role)
    fitted = fit(
        problem, build, prepared.records, wanted.training, place.checkpoints, place.log, watchers, role.strategy
    )
    if role.primary:
        # Of the weights that are exported, at the last step.
        hypertune.report(fitted.history[fitted.best_epoch - 1], len(fitted.history))
    if problem.finish is None:
        return fitted
    vectors, _ = batches.answers(
        lambda images: fitted.model(images, training=False).numpy(), prepared.records, "train", prepared.canvas
    )
    backbone = plugins.load("backbones", wanted.model.backbone)
    return dataclasses.replace(fitted, model=problem.finish(fitted.model, vectors, backbone))


def _export(
    wanted: Config, problem: Problem, prepared: Prepared, fitted: Fitted, facts: dict, folder: Path,
    signature_check: Path | None,
) -> None:  # fmt: skip
    """Write the artefact, with a decision by the exported model's own answers to the validation part."""

    labels = prepared.records.labels

    def decide(engine):
        vectors, targets = batches.answers(engine, prepared.records, "validation", prepared.canvas)
        decision = problem.decide(labels, vectors, targets)
        return decision, problem.errors(decision, vectors, targets)

    chosen = wanted.model
    about = (chosen.problem, chosen.backbone, labels, prepared.imaging, facts)
    written = export.export(fitted.model, *about, folder, decide, chosen.variant, signature_check)
    if written.variant != chosen.variant:
        LOG.info(f"answers with {written.variant}: {chosen.variant} errs more on the validation part, see the manifest")


def _signature_check(given: str) -> Path | None:
    """The artefact that is asked first whether an image is a signature. Raises ``BadArtifact`` for any other."""
    if not given:
        return None
    folder = storage.fetch(given, progress=fetching)
    found = Model(folder).manifest
    if "signature" not in found.labels:
        raise manifest.BadArtifact(
            f"--signature-check {given!r} answers {found.problem}: it has to know the label 'signature'"
        )
    return folder


def _name_refused(refused: list[tuple[str, str]]) -> None:
    """Say which images were left out, and why."""
    for path, reason in refused[:10]:
        LOG.info(f"  left out: {path}: {reason}")
    if len(refused) > 10:
        LOG.info(f"  left out: {len(refused) - 10} more, named in the report")


def _facts(wanted: Config, prepared: Prepared, fitted: Fitted) -> dict:
    """What the numbers rest on, for manifest and report."""
    unseen = "test folders in" if any(sample.part for sample in prepared.unseen) else "set aside from"
    predict = sum(source.get("predict", 0) for source in prepared.records.sources)
    return {
        "train_dir": list(wanted.data.train_dir) or ["generated"],
        "test_dir": list(wanted.data.test_dir) or [f"{unseen} train_dir"],
        **({"predict_images_left_out": predict} if predict else {}),
        "train_images": prepared.records.counts["train"],
        "validation_images": prepared.records.counts["validation"],
        "test_images": len(prepared.unseen),
        "audit": _verdict(prepared.audit),
        "seed": wanted.training.seed,
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch,
    }


def _verdict(audit: dict[str, Any]) -> dict[str, list[str]]:
    """The codes of what the audit found, by severity; messages may name files and people, and stay in the report."""
    found: dict[str, set[str]] = {}
    for finding in audit["findings"]:
        found.setdefault(finding["severity"], set()).add(finding["code"])
    return {severity: sorted(codes) for severity, codes in found.items()}


@contextlib.contextmanager
def _tracker(wanted: Config, place: run_dir.Run) -> Iterator[experiments.Tracker | None]:
    """The run in Vertex Experiments, where that is asked for."""
    if not wanted.output.experiment:
        yield None
        return
    tracker = experiments.Tracker(wanted.output.experiment, wanted.output.tensorboard, place.name)
    tracker.parameters(wanted.learning())
    try:
        yield tracker
    except BaseException:
        tracker.close(failed=True)
        raise
    tracker.close()


def _watchers(place: run_dir.Run, tracker: experiments.Tracker | None, role: cluster.Role) -> list:
    """Numbers of each epoch to whoever asked, and copies on Cloud Storage where the run has its place there."""
    import keras

    def tell(epoch: int, row: dict[str, float]) -> None:
        place.save()
        if role.primary:
            hypertune.report(row, epoch + 1)
        if tracker:
            tracker.epoch(epoch + 1, row)

    watchers: list = [keras.callbacks.LambdaCallback(on_epoch_end=tell)]
    if place.tensorboard:
        from trainer.vertex.tensorboard import Curves

        watchers.insert(0, Curves(place.tensorboard))
    return watchers
