"""``python -m trainer.calibrate MODEL --data DATA... --out NEW``: fit a verifier's decision to your own writers.

Score, thresholds and inconclusive margin are fitted anew; the network is not trained, so stored embeddings stay valid.
Uses LiteRT, not TensorFlow. The table compares the present and the new calibration on writers that the new calibration
has not seen. Next: ``evaluation/recalibration.py`` fits, ``evaluation/cross_fitting.py`` measures.
"""

import dataclasses
import sys
from copy import copy as shallow_copy
from pathlib import Path

from trainer import corpora
from trainer.artifact import card, copy
from trainer.artifact.artifact import Artifact
from trainer.artifact.decision import from_manifest
from trainer.artifact.verification import Verifier
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.corpora import Sample
from trainer.data import sources, splits
from trainer.evaluation import card_facts, cross_fitting, recalibration
from trainer.evaluation.monitoring_baseline import measure_baseline
from trainer.ready import fetch_artifact
from trainer.settings.flags import Parser

MAX_WATCHED, SEED = 2000, 7  # images with which the monitoring of the artefact starts


def main(arguments: list[str] | None = None) -> int:
    """Write the new artefact and print the table. Return the exit status: 1 if model or data cannot be used.

    Images that cannot be used are named and left out.
    """
    flags = Parser(prog="python -m trainer.calibrate", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the verifier: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[LABEL=]DATA",
        help="folder, zip, CSV file or gs:// path of signatures of named writers; may be given several times",
    )
    flags.add_argument("--layout", default="", metavar="NAME", help="layout of every folder; detected if not given")
    flags.add_argument("--out", type=Path, required=True, metavar="NEW", help="folder to create")
    options = flags.parse_args(arguments)
    try:
        copy.check_new(options.out)
        artifact = Artifact(fetch_artifact(options.model, progress=transfer_progress))
        artifact.replay_golden()
        _calibrate(artifact, options.data, options.layout, options.out)
    except (UserError, OSError) as error:
        print(f"python -m trainer.calibrate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _calibrate(artifact: Artifact, arguments: list[str], layout: str, out: Path) -> None:
    decision = artifact.decision
    if not isinstance(decision, Verifier):
        raise UserError(
            f"the model answers {artifact.manifest.problem}; only a model that compares signatures can be calibrated"
        )
    data = recalibration.encode(artifact, _read_samples(artifact, arguments, layout))
    for path, reason in data.refused:
        print(f"  left out: {path}: {reason}")
    vectors = data.vectors[artifact.manifest.variant]
    measured = cross_fitting.compare_calibrations(decision, vectors, data.truth)
    changed = recalibration.recalibrate(
        artifact, decision, data, {"data": arguments, "left_out": len(data.refused), **measured}
    )
    facts_file = artifact.folder / card.FACTS_FILE
    before = card.read_facts(facts_file) if facts_file.exists() else None
    names = ", ".join(dict.fromkeys(sample.corpus_id for sample in data.samples))
    facts = card_facts.calibrate_facts(before, measured, names, len(data.samples))
    calibrated = shallow_copy(artifact)
    calibrated.decision = from_manifest(changed.decision)
    watched = splits.choose_some(data.samples, MAX_WATCHED, SEED)
    monitoring = measure_baseline(calibrated, watched).to_json()
    copy.write_copy(artifact.folder, dataclasses.replace(changed, monitoring=monitoring), out, facts=facts)
    written = Artifact(out)
    calibration = changed.training["calibration"]
    print(f"\n{calibration['images']} images of {calibration['writers']} writers.")
    if data.truth.genuine.all():
        print("The data has no skilled forgeries: calibrated on random ones; score and rates hold for these only.")
    print(
        f"Measured on writers that the new calibration has not seen, in {cross_fitting.FOLDS} folds; 95 % intervals "
        f"over writers.\n\n{cross_fitting.format_table(measured)}\n\n{out}: artefact {written.identity[:12]}, answers "
        f"with {written.manifest.variant}"
    )


def _read_samples(artifact: Artifact, arguments: list[str], layout: str) -> list[Sample]:
    """Read the labelled images. Raises ``UserError`` for a label that the model does not have."""
    fetched = [sources.fetch_source(argument) for argument in arguments]
    listings = corpora.read_corpora(((source.label, source.root, source.name) for source in fetched), layout)
    samples = [sample for listing in listings for sample in listing.samples]
    labels = artifact.manifest.labels
    for sample in samples:
        if sample.label not in labels:
            raise UserError(
                f"{str(sample.path)!r} has the label {sample.label!r}; the model's labels are {', '.join(labels)}"
            )
    return samples


if __name__ == "__main__":
    quiet.escape_undecodable_output()
    raise SystemExit(main())
