"""``python -m trainer.enrol MODEL DATA... --out FILE``: store the reference embeddings of the writers in a folder.

Any layout that names writers is possible; forgeries are left out. It uses the artefact, not TensorFlow. The file is for
``predictor.offline --enrolled`` and ``predictor.request --enrolled``; see docs/verification.md. Next:
``artifact/enrolment.py`` writes and reads the file.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from trainer import corpora
from trainer.artifact import enrolment
from trainer.artifact.artifact import Artifact
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.corpora import Sample
from trainer.data import sources
from trainer.data.files import map_samples
from trainer.ready import fetch_artifact
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status, 1 when no writer could be enrolled.

    Images that cannot be used are named and left out.
    """
    flags = Parser(prog="python -m trainer.enrol", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument("data", nargs="+", metavar="DATA", help="folder, zip, CSV file or gs:// path of signatures")
    flags.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .npz file to write")
    options = flags.parse_args(arguments)
    try:
        artifact = Artifact(fetch_artifact(options.model, progress=transfer_progress))
        artifact.replay_golden()
        enrolments = _enrol(artifact, [sources.fetch_source(path) for path in options.data])
        enrolment.write(enrolments, options.out)
    except (UserError, OSError) as error:
        print(f"python -m trainer.enrol: {error}", file=sys.stderr)
        return 1
    num_writers = len(np.unique(enrolments.writers))
    print(f"{options.out}: {len(enrolments.writers)} signatures of {num_writers} writers")
    return 0


def _enrol(artifact: Artifact, data_sources: list[sources.DataSource]) -> enrolment.Enrolments:
    """Encode the genuine signatures of all writers. Raises ``UserError`` when none can be used."""
    if not artifact.decision.takes_references:
        raise UserError(
            f"the model answers {artifact.manifest.problem}; only a model that compares signatures can enrol writers"
        )
    readings = corpora.read_corpora((source.label, source.root, source.name) for source in data_sources)
    named = [sample for reading in readings for sample in reading.samples if sample.writer is not None]
    samples = [sample for sample in named if sample.label == "genuine"]
    if not samples:
        raise UserError("the data has no genuine signature of a named writer; give each writer a folder")
    encoded, refused = map_samples(samples, "enrolling", lambda data: _encode(artifact, data))
    enrolled = [(sample, vector) for sample, (vector, rejection) in encoded if rejection is None]
    refused += [
        (str(sample.path), f"not a signature: {rejection['code']}") for sample, (_, rejection) in encoded if rejection
    ]
    for path, reason in refused:
        print(f"  left out: {path}: {reason}")
    if not enrolled:
        raise UserError(f"none of the {len(samples)} images can be used")
    has_corpora = len(readings) > 1
    return enrolment.Enrolments(
        artifact.encoder,
        np.array([_make_name(sample, has_corpora) for sample, _ in enrolled]),
        np.array([sample.name for sample, _ in enrolled]),
        np.stack([vector for _, vector in enrolled]),
    )


def _encode(artifact: Artifact, data: bytes) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return vector and rejection without the canonical image, which would fill the memory."""
    encoded = artifact.encode(data)
    return encoded.vector, encoded.rejection


def _make_name(sample: Sample, has_corpora: bool) -> str:
    """Return the writer's name, which is unique in a corpus only."""
    return f"{sample.corpus_id}/{sample.writer}" if has_corpora else str(sample.writer)


if __name__ == "__main__":
    quiet.escape_undecodable_output()
    raise SystemExit(main())
