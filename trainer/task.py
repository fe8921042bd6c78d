"""``python -m trainer.task``: images to an exported model with honest numbers.

Flags -> Config -> prepare, fit, export, evaluate. This file is the order of things; the things themselves are one
module each. Start with ``config.py`` for the settings or ``problems/`` for what can be learnt.
"""

import dataclasses
import datetime
import shutil
import signal
import sys
from pathlib import Path

from trainer import config, corpora, plugins, quiet, records, report, run, samples, splits, storage
from trainer.artifact import manifest
from trainer.config import Config
from trainer.imaging import Imaging
from trainer.problems import Problem
from trainer.progress import Progress


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a preempted VM is an interrupted run
    wanted = config.from_command_line(arguments)
    try:
        quiet.import_tensorflow()
        train(wanted)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from the newest checkpoint", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:  # ours, each with a sentence that says what to do
        print(f"python -m trainer.task: {error}", file=sys.stderr)
        return 1
    return 0


def train(wanted: Config) -> run.Run:
    """One run from start to end, or from where it was interrupted."""
    problem = plugins.load("problems", wanted.model.problem)
    place = run.open_run(wanted, datetime.datetime.now())
    if place.complete:
        print(f"{place.model} is complete already; choose another --job-dir to train again\n")
        print(report.table(manifest.read(place.model).metrics))
        return place
    print(f"{wanted.model.problem}: {problem.question}\nrun: {place.folder}", flush=True)
    parts = _parts(wanted, problem, place)
    labels = tuple(sorted({sample.label for chosen in parts.values() for sample in chosen}))
    if len(labels) < 2:
        raise corpora.UnknownLayout(
            f"all images have the label {labels[0]!r}; at least two labels are needed (--train-dir LABEL=PATH)"
        )
    imaging = Imaging(wanted.model.image_height or problem.canvas[0], wanted.model.image_width or problem.canvas[1])
    kept = {part: chosen for part, chosen in parts.items() if part != "test"}
    prepared = records.prepare(kept, labels, imaging, place.records, wanted.data.strict)
    _name_refused(prepared.refused)
    _learn_and_publish(wanted, problem, place, prepared, parts["test"], imaging)
    return place


def _parts(wanted: Config, problem: Problem, place: run.Run) -> dict[str, list[corpora.Sample]]:
    """Train, validation and test samples, labelled in the problem's words."""
    folders = [_labelled(folder) for folder in wanted.data.train_dir] or _generated(wanted, problem, place)
    found = _relabelled(corpora.read_all(folders), problem)
    fraction = 0.0 if wanted.data.test_dir else wanted.data.test_fraction
    parts = splits.split(found, wanted.data.validation_fraction, fraction, wanted.training.seed, problem.by_writer)
    if wanted.data.test_dir:
        parts["test"] = _relabelled(corpora.read_all(map(_labelled, wanted.data.test_dir)), problem)
    for part, chosen in parts.items():
        print(f"  {part}: {_summary(chosen)}", flush=True)
    return parts


def _labelled(folder: str) -> tuple[str | None, Path]:
    """``LABEL=PATH`` or ``PATH``; a path that exists wins over its reading as a label."""
    label, equals, path = folder.partition("=")
    if not equals or Path(folder).exists() or "/" in label:
        return None, storage.local(folder)
    return label, storage.local(path)


def _generated(wanted: Config, problem: Problem, place: run.Run) -> list[tuple[None, Path]]:
    """The generated dataset, written once into the run's folder; complete or absent."""
    folder = place.folder / "samples"
    if not folder.is_dir():
        partial = folder.with_name("samples.partial")
        shutil.rmtree(partial, ignore_errors=True)
        amount = dataclasses.replace(problem.generated, writers=wanted.data.writers or problem.generated.writers)
        with Progress("generating", amount.images()) as progress:
            for done in samples.write(partial, amount, wanted.training.seed):
                progress.show(done)
        partial.rename(folder)
    return [(None, folder)]


def _relabelled(found: list[corpora.Sample], problem: Problem) -> list[corpora.Sample]:
    return [dataclasses.replace(sample, label=problem.label_of(sample.label)) for sample in found]


def _summary(chosen: list[corpora.Sample]) -> str:
    labels = sorted({sample.label for sample in chosen})
    each = ", ".join(f"{sum(s.label == label for s in chosen)} {label}" for label in labels)
    return f"{len(chosen)} images ({each}) of {len({s.group for s in chosen})} writers, documents or single images"


def _learn_and_publish(wanted, problem, place, prepared, unseen, imaging):
    """Fit, export aside, measure the exported artefact on raw images, then move it to its place."""
    from trainer import export, model
    from trainer.artifact.model import Model
    from trainer.evaluate import evaluate
    from trainer.fit import fit

    backbone = wanted.model.backbone or problem.backbone
    architecture = (
        wanted.model.problem,
        backbone,
        imaging.height,
        imaging.width,
        prepared.labels,
        wanted.model.dropout,
    )
    fitted = fit(
        problem,
        lambda: model.build(*architecture),
        prepared,
        wanted.training,
        place.checkpoints,
        place.log,
        _tensorboard(wanted),
    )
    print(f"best epoch: {fitted.best_epoch}; exporting", flush=True)
    facts = {"run": place.name, **_facts(wanted, prepared, unseen, fitted)}
    partial = place.model.with_name(place.model.name + ".partial")
    export.export(fitted.model, wanted.model.problem, backbone, prepared.labels, imaging, facts, partial)
    measured = evaluate(Model(partial), unseen)
    if measured.refused and wanted.data.strict:
        raise records.UnreadableImages(
            f"{len(measured.refused)} test images cannot be read (--strict), the first: {measured.refused[0]}"
        )
    _name_refused(measured.refused)
    told = {"problem": wanted.model.problem, "question": problem.question, "data": facts, "history": fitted.history}
    report.write(place.report, measured, told, prepared.refused)
    export.publish(partial, measured.metrics, place.model)
    if place.published:
        storage.send(place.model, place.published, last=manifest.FILE)
    print(f"\n{report.table(measured.metrics)}\n")
    print(f"artefact: {place.published or place.model}\nreport: {place.report / 'report.md'}")


def _name_refused(refused: list[tuple[str, str]]) -> None:
    """Say which images were left out, and why."""
    for path, reason in refused[:10]:
        print(f"  left out: {path}: {reason}")
    if len(refused) > 10:
        print(f"  left out: {len(refused) - 10} more, named in the report")


def _facts(wanted, prepared, unseen, fitted) -> dict:
    """What the numbers rest on, for manifest and report."""
    return {
        "train_dir": list(wanted.data.train_dir) or ["generated"],
        "test_dir": list(wanted.data.test_dir) or ["set aside from train_dir"],
        "train_images": prepared.counts["train"],
        "validation_images": prepared.counts["validation"],
        "test_images": len(unseen),
        "refused_images": len(prepared.refused),
        "seed": wanted.training.seed,
        "epochs": wanted.training.epochs,
        "best_epoch": fitted.best_epoch,
    }


def _tensorboard(wanted: Config) -> list:
    """Curves for TensorBoard where asked for."""
    if not wanted.output.tensorboard_dir:
        return []
    from trainer.curves import Curves

    return [Curves(storage.local(wanted.output.tensorboard_dir))]


if __name__ == "__main__":
    raise SystemExit(main())
