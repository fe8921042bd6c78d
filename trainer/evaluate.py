"""The published numbers: from raw image files, through the exported artefact, with the code that serves.

``python -m trainer.evaluate MODEL --data DIR... --out DIR`` measures any artefact on any labelled data;
``trainer.task`` measures its own on the unseen part. No Keras model is run. Next:
``evaluation/report.py`` writes it down.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

from trainer import corpora, storage
from trainer.artifact.artifact import Model
from trainer.audit.examine import examine
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import fetching
from trainer.data import sources
from trainer.data.image_index import survey
from trainer.evaluation import report
from trainer.evaluation.measure import evaluate
from trainer.settings import plugins
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Measure an artefact; 1 when it or the data cannot be used."""
    flags = Parser(prog="python -m trainer.evaluate", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact's folder, may be gs://")
    flags.add_argument(
        "--data", action="append", required=True, metavar="[LABEL=]DATA",
        help="folder, zip, CSV file or gs:// path of labelled images; may be given several times",
    )  # fmt: skip
    flags.add_argument("--layout", default="", metavar="NAME", help="of every folder, instead of detecting it")
    flags.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the report goes")
    options = flags.parse_args(arguments)
    quiet.import_tensorflow()  # a problem's file names its head; nothing of it is run
    try:
        _evaluate(Model(storage.fetch(options.model, progress=fetching)), options.data, options.out, options.layout)
    except (UserError, OSError) as error:
        print(f"python -m trainer.evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _evaluate(model: Model, data: list[str], out: Path, layout: str) -> None:
    """Measure, audit the data, and write the report."""

    problem = plugins.load("problems", model.manifest.problem)
    model.prove()
    brought = [sources.bring(path) for path in data]
    readings = corpora.read_all(((source.label, source.root, source.name) for source in brought), layout)
    found = [sample for reading in readings for sample in reading.samples]
    samples = [dataclasses.replace(sample, label=problem.label_of(sample.label)) for sample in found]
    for sample in samples:
        if sample.label not in model.manifest.labels:
            raise UserError(
                f"{str(sample.path)!r} has the label {sample.label!r}; the model knows "
                f"{', '.join(model.manifest.labels)}"
            )
    measured = evaluate(model, samples)
    with tempfile.TemporaryDirectory(prefix="countersign-evaluate-") as folder:
        judged = examine(survey(found, model.imaging, Path(folder) / "survey"), readings, meaning=problem.label_of)
    told = {
        "problem": model.manifest.problem,
        "question": problem.question,
        "data": {"model": str(model.manifest.training.get("run", model.folder)), "data": data, "images": len(samples)},
        "audit": judged.content,
    }
    report.write(out, problem.judge, measured, told, [])
    print(f"\n{problem.judge.table(measured.metrics)}\n\nreport: {out / 'report.md'}")


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
