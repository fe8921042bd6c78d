"""``python -m predictor.offline PATH...``: answer image files and folders without a server.

The answers are those of a server with the same artefact; without --artifact, a ready one answers. The row of an image
that cannot be used has its error. A verifier compares with --reference files or with --enrolled writers: the name of
its folder is the writer that a file claims. Next: ``trainer/artifact/artifact.py``, which answers.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from predictor.blas_threads import limit_blas_threads

limit_blas_threads()  # before NumPy is imported

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import ready, storage
from trainer.artifact import enrolment, explain, manifest
from trainer.artifact.artifact import Artifact, EncodedImage
from trainer.artifact.decision import Decision, DecisionParameters, UnsupportedRequest
from trainer.artifact.manifest import BadArtifact
from trainer.console.progress import transfer_progress
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings.flags import LOG, OldFlag, Parser

FORMATS = ("table", "csv", "jsonl")
References = Sequence[EncodedImage | np.ndarray]


def main(arguments: list[str] | None = None) -> int:
    """Print one row for each image; return 1 when the model cannot be opened or an image has an error."""
    options = _parse_arguments(arguments)
    try:
        path = options.artifact or _find_ready_artifact(options)
        artifact = Artifact(ready.fetch_artifact(path, progress=transfer_progress))
        artifact.replay_golden()
        if not options.artifact:
            print(f"{path} answers: {artifact.manifest.question} Another artefact: --artifact", file=sys.stderr)
        files = list(_find_files(options.paths))
        get_references = _make_reference_lookup(artifact, options)
        if options.explanation_dir:
            options.explanation_dir.mkdir(parents=True, exist_ok=True)
    except (BadArtifact, UnsupportedRequest, enrolment.EnrolmentError, ImageError, OSError) as error:
        print(f"python -m predictor.offline: {error}", file=sys.stderr)
        return 1
    if not files:
        print("python -m predictor.offline: no image in these folders", file=sys.stderr)
        return 1
    parameters = _make_parameters(options)
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    def answer(number: int, path: Path) -> dict[str, Any]:
        overlay_path = options.explanation_dir and options.explanation_dir / f"{number:03d}-{path.stem}.png"
        return _answer_file(artifact, path, get_references, parameters, overlay_path)

    try:
        rows = pool.map(answer, range(1, len(files) + 1), files)
        error_count = _WRITERS[options.format](rows, artifact.decision)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as ``| head``, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's flush at exit prints an error
        error_count = 0
    finally:
        pool.shutdown(cancel_futures=True)
    return 1 if error_count else 0


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m predictor.offline", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image file, or folder of image files")
    parser.add_argument(
        "--artifact",
        default="",
        metavar="PATH",
        help="the artefact: a folder, a gs:// prefix or ready:NAME "
        f"(default: {ready.DEFAULT}; {ready.VERIFIER} for references and embeddings)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="table, csv or jsonl (default: table)")
    group = parser.add_argument_group("for verifiers")
    reference_help = "genuine signature to compare with; may be repeated"
    group.add_argument("--reference", action="append", default=[], type=Path, metavar="FILE", help=reference_help)
    group.add_argument(
        "--enrolled",
        type=Path,
        metavar="FILE",
        help="embeddings of writers' references, a file that trainer.enrol made",
    )
    group.add_argument("--writer", metavar="NAME", help="the writer of --enrolled that all images claim")
    threshold = group.add_mutually_exclusive_group()
    threshold.add_argument("--far", type=float, metavar="RATE", help="decide by this false acceptance rate")
    threshold.add_argument("--threshold", type=float, metavar="SCORE", help="accept from this score upwards")
    group.add_argument("--return-embedding", action="store_true", help="print the embedding, too (jsonl)")
    group.add_argument(
        "--explanation-dir",
        type=Path,
        metavar="FOLDER",
        help="folder for pictures of what lowers the score of each image",
    )
    old: dict[str, Any] = {"action": OldFlag, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    group.add_argument("--embedding", dest="return_embedding", const="--return-embedding", nargs=0, **old)
    group.add_argument("--explain", dest="explanation_dir", const="--explanation-dir", type=Path, **old)
    options = parser.parse_args(arguments)
    if not options.artifact and _is_artifact(options.paths[0]):  # the form of the release before
        options.artifact = options.paths.pop(0)
        if not options.paths:
            parser.error(f"{options.artifact!r} is an artefact; give image files or folders, too")
        LOG.warning("an artefact as the first PATH is now --artifact PATH; the next release takes it for images")
    options.paths = [Path(path) for path in options.paths]
    return options


def _find_ready_artifact(options: argparse.Namespace) -> str:
    """Return the ready artefact that answers where none is named, as a server without settings selects it."""
    needs_verifier = options.reference or options.enrolled or options.return_embedding
    return ready.VERIFIER if needs_verifier else ready.DEFAULT


def _is_artifact(path: str) -> bool:
    return path.startswith(storage.REMOTE) or (Path(path) / manifest.FILE).is_file()


def _make_reference_lookup(artifact: Artifact, options: argparse.Namespace) -> Callable[[Path], References]:
    """Make the function from a questioned file to its references.

    Raises ``UnsupportedRequest`` for options that do not fit the model, and ``EnrolmentError``.
    """
    takes_references = artifact.decision.takes_references
    has_references = options.reference or options.enrolled
    if has_references and not takes_references:
        raise UnsupportedRequest("this model judges single images; it takes neither --reference nor --enrolled")
    references = [artifact.encode(path.read_bytes()) for path in options.reference]
    for path, encoded in zip(options.reference, references, strict=True):
        if encoded.rejection:
            raise UnsupportedRequest(f"--reference {str(path)!r} is not a signature: {encoded.rejection['code']}")
    needs_references = options.far is not None or options.threshold is not None or options.explanation_dir
    if takes_references and needs_references and not has_references:
        raise UnsupportedRequest("--far, --threshold and --explanation-dir need --reference or --enrolled")
    if takes_references and not has_references and options.format != "jsonl":
        raise UnsupportedRequest(
            "nothing to compare with: give --reference or --enrolled (or enrol: python -m trainer.enrol)"
        )
    if options.writer and not options.enrolled:
        raise UnsupportedRequest("--writer names a writer of --enrolled, which is not given")
    _check_parameters(artifact, _make_parameters(options))
    if not options.enrolled:
        return lambda path: references
    enrolments = enrolment.read(options.enrolled, artifact.encoder)
    if options.writer:
        enrolments.embeddings_of(options.writer)
    return lambda path: [
        *references,
        *enrolments.embeddings_of(options.writer or _get_claimed_writer(path, enrolments)),
    ]


def _get_claimed_writer(path: Path, enrolments: enrolment.Enrolments) -> str:
    """Return the writer that a file claims: the name of its folder, in a form that enrolment gives to writers."""
    folder = path.absolute().parent
    names = (folder.name, f"{folder.parent.name}/{folder.name}", folder.name.lstrip("0"))
    return next((name for name in names if name in enrolments.writers), folder.name)


def _make_parameters(options: argparse.Namespace) -> DecisionParameters:
    return DecisionParameters(options.far, options.return_embedding, threshold=options.threshold)


def _check_parameters(artifact: Artifact, parameters: DecisionParameters) -> None:
    """Raise ``UnsupportedRequest`` when the artefact has no such threshold, before any file is read."""
    vector = np.eye(1, artifact.manifest.vector_size, dtype=np.float32)[0]
    artifact.decision.answer(vector, [vector] if artifact.decision.takes_references else [], parameters)


def _find_files(paths: list[Path]) -> Iterator[Path]:
    """Yield the image files among paths and in folders. Raises ``FileNotFoundError``."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in FILE_SUFFIXES and p.is_file())
        elif path.is_file():
            yield path
        else:
            raise FileNotFoundError(f"no file or folder {str(path)!r}")


def _answer_file(
    artifact: Artifact,
    path: Path,
    get_references: Callable[[Path], References],
    parameters: DecisionParameters,
    overlay_path: Path | None,
) -> dict[str, Any]:
    """Answer a file as a row, which has an error when the file cannot be used."""
    try:
        encoded, references = artifact.encode(path.read_bytes()), get_references(path)
        answer = artifact.decide(encoded, references, parameters)
        if overlay_path and "distance" in answer:
            overlay_path.write_bytes(explain.draw_overlay(artifact.explain(encoded, references)))
            answer["explanation"] = str(overlay_path)
        return {"file": str(path), **answer}
    except (ImageError, enrolment.EnrolmentError) as error:
        code = error.code if isinstance(error, ImageError) else "not_enrolled"
        return {"file": str(path), "error": {"code": code, "message": str(error)}}
    except OSError as error:
        return {"file": str(path), "error": {"code": "unreadable_file", "message": str(error)}}


def _write_jsonl(rows: Iterable[dict[str, Any]], _: Decision) -> int:
    """Print JSON lines; return the number of errors."""
    error_count = 0
    for row in rows:
        error_count += "error" in row
        print(json.dumps(row, default=np.ndarray.tolist))
    return error_count


def _write_csv(rows: Iterable[dict[str, Any]], decision: Decision) -> int:
    """Print CSV; return the number of errors."""
    error_count = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *decision.columns, "warnings", "error"])
    for row in rows:
        if error := row.get("error"):
            error_count += 1
            writer.writerow([row["file"], *([""] * len(decision.columns)), "", error["code"]])
        else:
            warnings = " ".join(warning["code"] for warning in row["warnings"])
            writer.writerow([row["file"], *decision.to_row(row), warnings, ""])
    return error_count


def _write_table(rows: Iterable[dict[str, Any]], decision: Decision) -> int:
    """Print a table; return the number of errors."""
    error_count = 0
    columns = decision.columns[:2]
    table = Table("file", *columns, "remarks")
    for row in rows:
        file = Text(row["file"])  # plain text: a file name may look like markup
        if error := row.get("error"):
            error_count += 1
            table.add_row(file, *([""] * len(columns)), Text(error["message"], "red"))
        else:
            remarks = ", ".join(f"{w['code']} ({w['value']:.3g}, limit {w['limit']:.3g})" for w in row["warnings"])
            reasons = ", ".join(f"{reason['image']}: {reason['code']}" for reason in row.get("reasons", ()))
            table.add_row(file, *decision.to_row(row)[: len(columns)], reasons or remarks)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return error_count


_WRITERS = {"table": _write_table, "csv": _write_csv, "jsonl": _write_jsonl}


def run() -> int:
    """Run ``python -m predictor.offline``, or ``countersign-predict``; return its exit status."""
    return main()


if __name__ == "__main__":
    raise SystemExit(run())
