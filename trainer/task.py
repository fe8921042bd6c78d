"""``python -m trainer.task``: images to an exported model with honest numbers.

Flags -> Config -> prepare, fit, export, evaluate. This file is the order of things; the things themselves are one
module each. Start with ``config.py`` for the settings or ``problems/`` for what can be learnt.
"""

import datetime
import signal
import sys

from trainer import config, plugins, quiet, records, report, run, storage
from trainer.artifact import manifest
from trainer.config import Config
from trainer.errors import UserError
from trainer.prepare import Prepared, prepare
from trainer.problems import Problem


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
    except (UserError, OSError) as error:
        print(f"python -m trainer.task: {error}", file=sys.stderr)
        return 1
    return 0


def train(wanted: Config) -> run.Run:
    """One run from start to end, or from where it was interrupted."""
    problem = plugins.load("problems", wanted.model.problem)
    place = run.open_run(wanted, datetime.datetime.now())
    if place.complete:
        _send(place)  # the run may have ended between its last two steps
        print(f"{place.model} is complete already; choose another --job-dir to train again\n")
        print(report.table(manifest.read(place.model).metrics))
        return place
    print(f"{wanted.model.problem}: {problem.question}\nrun: {place.folder}", flush=True)
    prepared = prepare(wanted, problem, place)
    _name_refused(prepared.records.refused)
    _learn_and_publish(wanted, problem, place, prepared)
    return place


def _learn_and_publish(wanted: Config, problem: Problem, place: run.Run, prepared: Prepared) -> None:
    """Fit, export aside, measure the exported artefact on raw images, then move it to its place."""
    from trainer import export, model
    from trainer.artifact.model import Model
    from trainer.evaluate import evaluate
    from trainer.fit import fit

    backbone = wanted.model.backbone or problem.backbone
    imaging, labels = prepared.imaging, prepared.records.labels

    def build():
        canvas = (imaging.height, imaging.width)
        return model.build(wanted.model.problem, backbone, *canvas, labels, wanted.model.dropout)

    watchers = _tensorboard(wanted)
    fitted = fit(problem, build, prepared.records, wanted.training, place.checkpoints, place.log, watchers)
    print(f"best epoch: {fitted.best_epoch}; exporting", flush=True)
    facts = {"run": place.name, **_facts(wanted, prepared, fitted)}
    partial = place.model.with_name(place.model.name + ".partial")
    export.export(fitted.model, wanted.model.problem, backbone, labels, imaging, facts, partial)
    measured = evaluate(Model(partial), prepared.unseen)
    if measured.refused and wanted.data.strict:
        raise records.UnreadableImages(
            f"{len(measured.refused)} test images cannot be read (--strict), the first: {measured.refused[0]}"
        )
    _name_refused(measured.refused)
    told = {"problem": wanted.model.problem, "question": problem.question, "data": facts, "history": fitted.history}
    report.write(place.report, measured, told, prepared.records.refused)
    export.publish(partial, measured.metrics, place.model)
    _send(place)
    print(f"\n{report.table(measured.metrics)}\n")
    print(f"artefact: {place.published or place.model}\nreport: {place.report / 'report.md'}")


def _send(place: run.Run) -> None:
    """Copy the artefact to the gs:// model dir, where one was asked for."""
    if place.published:
        storage.send(place.model, place.published, last=manifest.FILE)


def _name_refused(refused: list[tuple[str, str]]) -> None:
    """Say which images were left out, and why."""
    for path, reason in refused[:10]:
        print(f"  left out: {path}: {reason}")
    if len(refused) > 10:
        print(f"  left out: {len(refused) - 10} more, named in the report")


def _facts(wanted: Config, prepared: Prepared, fitted) -> dict:
    """What the numbers rest on, for manifest and report."""
    return {
        "train_dir": list(wanted.data.train_dir) or ["generated"],
        "test_dir": list(wanted.data.test_dir) or ["set aside from train_dir"],
        "train_images": prepared.records.counts["train"],
        "validation_images": prepared.records.counts["validation"],
        "test_images": len(prepared.unseen),
        "refused_images": len(prepared.records.refused),
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
