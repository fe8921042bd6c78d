"""``python -m trainer.enrol MODEL DATA... --out people.npz``: the reference embeddings of everybody in a folder.

Any layout that names writers will do; forgeries are left out. Uses the artefact, not TensorFlow. The file is for
``predictor.offline --enrolled`` and ``predictor.request --enrolled``; see docs/verification.md.
"""

import sys
from pathlib import Path

import numpy as np

from trainer import corpora, storage
from trainer.artifact import enrolment
from trainer.artifact.artifact import Look, Model
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import fetching
from trainer.corpora import Sample
from trainer.data import sources
from trainer.data.files import look_at
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """1 when nothing could be enrolled; images that cannot be used are named and left out."""
    flags = Parser(prog="python -m trainer.enrol", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact's folder, may be gs://")
    flags.add_argument("data", nargs="+", metavar="DATA", help="folder, zip, CSV file or gs:// path of signatures")
    flags.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .npz file to write")
    options = flags.parse_args(arguments)
    try:
        model = Model(storage.fetch(options.model, progress=fetching))
        model.prove()
        people = _enrol(model, [sources.bring(path) for path in options.data])
        enrolment.write(people, options.out)
    except (UserError, OSError) as error:
        print(f"python -m trainer.enrol: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(people.writers)} signatures of {len(np.unique(people.writers))} people")
    return 0


def _enrol(model: Model, given: list[sources.Source]) -> enrolment.Enrolled:
    if not model.decision.compares:
        raise UserError(f"the model answers {model.manifest.problem}; only one that compares hands can enrol people")
    readings = corpora.read_all((source.label, source.root, source.name) for source in given)
    named = [sample for reading in readings for sample in reading.samples if sample.writer is not None]
    samples = [sample for sample in named if sample.label == "genuine"]
    if not samples:
        raise UserError("no genuine signature of a named writer was found; a folder for each person will do")
    several = len(readings) > 1
    seen, refused = look_at(samples, "enrolling", lambda data: _vector(model.look(data)))
    kept = [(sample, vector) for sample, (vector, reason) in seen if reason is None]
    refused += [(str(sample.path), f"not a signature: {reason['code']}") for sample, (_, reason) in seen if reason]
    for path, reason in refused:
        print(f"  left out: {path}: {reason}")
    if not kept:
        raise UserError(f"none of the {len(samples)} images can be used")
    return enrolment.Enrolled(
        model.encoder,
        np.array([_called(sample, several) for sample, _ in kept]),
        np.array([sample.name for sample, _ in kept]),
        np.stack([vector for _, vector in kept]),
    )


def _vector(look: Look):
    """What is kept of a look: not its image."""
    return look.vector, look.no_signature


def _called(sample: Sample, several: bool) -> str:
    return f"{sample.origin}/{sample.writer}" if several else str(sample.writer)


if __name__ == "__main__":
    quiet.print_any_name()
    raise SystemExit(main())
