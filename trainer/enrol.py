"""``python -m trainer.enrol MODEL DATA... --out FILE``: put the writers of a folder of signatures on file.

Any layout that names writers is possible; forgeries are left out. It uses the artefact, not TensorFlow. The file is for
``--people`` of the server, ``predictor.offline`` and ``predictor.request``; see docs/verification.md. Next:
``enrolment/store.py``, which writes the file.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainer import corpora
from trainer.artifact.artifact import Artifact
from trainer.console import quiet
from trainer.console.errors import UserError
from trainer.console.progress import transfer_progress
from trainer.corpora import Sample
from trainer.data import sources
from trainer.data.files import map_samples
from trainer.enrolment import former_files, gallery, sealing, writers
from trainer.enrolment.store import EnrolmentStore
from trainer.ready import fetch_artifact
from trainer.settings.flags import Parser

Enrolled = dict[str, list[tuple[str, np.ndarray]]]  # file names and embeddings ``float32 [D]`` by writer


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status, 1 when no writer could be enrolled.

    Images that cannot be used are named and left out.
    """
    options = _parse_arguments(arguments)
    try:
        key = sealing.read_key(options.people_key) if options.people_key else None
        artifact = Artifact(fetch_artifact(options.model, progress=transfer_progress))
        artifact.replay_golden()
        if not artifact.decision.takes_references:
            raise UserError(
                f"the model answers {artifact.manifest.problem}; only a model that compares signatures can enrol "
                "writers"
            )
        enrolled = _enrol(artifact, options.data, options.layout)
        with EnrolmentStore.replace(options.out, artifact.encoder, artifact.manifest.vector_size, key) as store:
            _store(store, artifact, enrolled)
    except (UserError, OSError) as error:
        print(f"python -m trainer.enrol: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {sum(map(len, enrolled.values()))} signatures of {len(enrolled)} writers")
    return 0


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    flags = Parser(prog="python -m trainer.enrol", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact: a folder, a gs:// prefix or ready:NAME")
    flags.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="folder, zip, CSV file or gs:// path of signatures, or an .npz file of an earlier release",
    )
    flags.add_argument("--layout", default="", metavar="NAME", help="layout of every folder; detected if not given")
    flags.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file to write, such as people.sqlite"
    )
    flags.add_argument(
        "--people-key", type=Path, metavar="FILE", help="the key to encrypt the file with: openssl rand -base64 32"
    )
    return flags.parse_args(arguments)


def _enrol(artifact: Artifact, data: list[str], layout: str) -> Enrolled:
    """Encode the references of all writers. Raises ``UserError`` when none can be used."""
    enrolled: Enrolled = {}
    former = [path for path in data if path.endswith(former_files.SUFFIX)]
    for name, label, vector in itertools.chain.from_iterable(
        former_files.read(Path(path), artifact.encoder) for path in former
    ):
        enrolled.setdefault(name, []).append((label, vector))
    if images := [path for path in data if path not in former]:
        fetched = [sources.fetch_source(path) for path in images]
        for name, label, vector in _encode_images(artifact, fetched, layout):
            enrolled.setdefault(name, []).append((label, vector))
    return enrolled


def _encode_images(
    artifact: Artifact, data_sources: list[sources.DataSource], layout: str
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield writer, file name and embedding of each genuine signature. Raises ``UserError`` when there is none."""
    readings = corpora.read_corpora(((source.label, source.root, source.name) for source in data_sources), layout)
    named = [sample for reading in readings for sample in reading.samples if sample.writer is not None]
    samples = [sample for sample in named if sample.label == "genuine"]
    if not samples:
        detected = ", ".join(sorted({reading.layout for reading in readings}))
        raise UserError(
            f"no genuine signature of a named writer in the layout {detected}; where each writer has a folder, add "
            "--layout writer_folders"
        )
    encoded, refused = map_samples(samples, "enrolling", lambda data: _encode(artifact, data))
    refused += [
        (str(sample.path), f"not a signature: {rejection['code']}") for sample, (_, rejection) in encoded if rejection
    ]
    for path, reason in refused:
        print(f"  left out: {path}: {reason}")
    if len(refused) == len(samples):
        raise UserError(f"none of the {len(samples)} images can be used")
    for sample, (vector, rejection) in encoded:
        if rejection is None:
            yield _make_name(sample, has_corpora=len(readings) > 1), sample.name, vector


def _store(store: EnrolmentStore, artifact: Artifact, enrolled: Enrolled) -> None:
    """Put the writers on file, warn of references that disagree, and measure identification among them."""
    verifier: Any = artifact.decision
    with store.transaction():
        for name, labelled in enrolled.items():
            references = writers.make_references(labelled)
            for copy in writers.put_writer(store, verifier, name, references):
                print(f"  left out: {copy.label!r}: a copy of another reference of writer {name!r}")
            for disagreement in writers.find_disagreements(verifier, store.read_references(name)):
                print(
                    f"  warning: {disagreement.reference.label!r} is unlike the other references of writer {name!r}: "
                    f"score {disagreement.score:.3f}, below {disagreement.limit:.3f}"
                )
    calibration = gallery.Gallery(store, verifier).calibration
    store.write_calibration(calibration.to_json())
    if calibration.top1 is not None:
        _, rates = calibration.find_threshold(gallery.DEFAULT_FPIR)
        print(
            f"identification: the nearest writer is the right one for {100 * calibration.top1:.1f} % of the "
            f"references; with at most {100 * rates['fpir']:.1f} % of strangers identified, "
            f"{100 * rates['fnir']:.1f} % of them are not"
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
