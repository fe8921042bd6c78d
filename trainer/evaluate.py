"""``python -m trainer.evaluate MODEL --data DATA... --out FOLDER``: evaluate an artefact on labelled image files.

``trainer.task`` evaluates its own artefact on the test split in the same way: with the code that serves, without a
Keras model. Next: ``evaluation/measure.py`` measures, ``evaluation/report.py`` writes the report.
"""

import json
import sys
import tempfile
from pathlib import Path

from trainer import corpora
from trainer.artifact.artifact import Artifact
from trainer.audit.audit import run_audit
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.data import dataset, sources, splits
from trainer.data.image_index import build_image_index
from trainer.evaluation import report
from trainer.evaluation.measure import evaluate
from trainer.evaluation.monitoring_baseline import measure_baseline
from trainer.ready import fetch_artifact
from trainer.settings import plugins
from trainer.settings.flags import Parser

MONITORING_FILE = "monitoring.json"  # of the report: a baseline for ``python -m deploy drift``
MAX_WATCHED, SEED = 2000, 7  # images of the baseline


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status, 1 when the artefact or the data cannot be used."""
    flags = Parser(prog="python -m trainer.evaluate", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[LABEL=]DATA",
        help="folder, zip, CSV file or gs:// path of labelled images; may be given several times",
    )
    flags.add_argument("--layout", default="", metavar="NAME", help="layout of every folder; detected if not given")
    flags.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the report is written")
    flags.add_argument(
        "--classifier", metavar="PATH", help="beside a MODEL that finds signatures: judges what it finds"
    )
    options = flags.parse_args(arguments)
    quiet.import_tensorflow()  # imported by the file of a problem for its head, which is not used here
    try:
        artifact = Artifact(fetch_artifact(options.model, progress=transfer_progress))
        check = Artifact(fetch_artifact(options.classifier)) if options.classifier else None
        if check and artifact.decision.task != "find":
            raise UserError(
                f"--classifier is for a model that finds signatures; this one is for {artifact.manifest.problem}"
            )
        _evaluate(artifact, options.data, options.out, options.layout, check)
    except (UserError, OSError) as error:
        print(f"python -m trainer.evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _evaluate(artifact: Artifact, data: list[str], out: Path, layout: str, check: Artifact | None) -> None:
    """Measure the artefact, audit the data, and write the report."""
    problem = plugins.load("problems", artifact.manifest.problem)
    artifact.replay_golden()
    data_sources = [sources.fetch_source(path) for path in data]
    readings = corpora.read_corpora(((source.label, source.root, source.name) for source in data_sources), layout)
    readings = dataset.relabel_listings(readings, problem)
    samples = [sample for reading in readings for sample in reading.samples]
    for sample in samples:
        if sample.label not in artifact.manifest.labels:
            raise UserError(
                f"{str(sample.path)!r} has the label {sample.label!r}; the model's labels are "
                f"{', '.join(artifact.manifest.labels)}"
            )
    evaluation = evaluate(artifact, samples, check)
    with tempfile.TemporaryDirectory(prefix="countersign-evaluate-") as folder:
        image_index = build_image_index(samples, artifact.imaging, Path(folder) / "index")
        audit = run_audit(image_index, readings, about_unseen_writers=problem.is_writer_independent)
    run = str(artifact.manifest.training.get("run", artifact.folder))
    facts = {
        "problem": artifact.manifest.problem,
        "question": problem.question,
        "data": {"model": run, "data": data, "images": len(samples)},
        "audit": audit.content,
    }
    report.write(out, problem.report_builder, evaluation, facts, [])
    watched = splits.choose_some(samples, MAX_WATCHED, SEED)
    baseline = {"model": artifact.manifest.problem, **measure_baseline(artifact, watched, check).to_json()}
    (out / MONITORING_FILE).write_text(json.dumps(baseline) + "\n")
    print(f"\n{problem.report_builder.format_table(evaluation.metrics)}\n\nreport: {out / 'report.md'}")


def run() -> int:
    """Run ``python -m trainer.evaluate``, or ``countersign-evaluate``; return its exit status."""
    quiet.escape_undecodable_output()
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
