"""``python -m predictor.offline MODEL PATH...``: answers for files and folders, without a server.

The same model, imaging and decision as the server's. An image that cannot be used has its error in its row. A model
that compares hands takes --reference files, or --enrolled people: then a file is of the person whose folder it is in.
"""

import concurrent.futures
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import storage
from trainer.artifact import enrolment, explain
from trainer.artifact.artifact import Look, Model
from trainer.artifact.decision import BadQuestion, Parameters
from trainer.artifact.manifest import BadArtifact
from trainer.console.progress import fetching
from trainer.imaging import ImageError
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings.flags import Parser

FORMATS = ("table", "csv", "jsonl")
References = Sequence[Look | np.ndarray]


def main(arguments: list[str] | None = None) -> int:
    """Print one row for each image; 1 when the model cannot be opened or an image could not be answered."""
    options = _options(arguments)
    try:
        model = Model(storage.fetch(options.model, progress=fetching))
        model.prove()
        files = list(_files(options.paths))
        compared = _compared(model, options)
        if options.explain:
            options.explain.mkdir(parents=True, exist_ok=True)
    except (BadArtifact, BadQuestion, enrolment.NotEnrolled, ImageError, OSError) as error:
        print(f"python -m predictor.offline: {error}", file=sys.stderr)
        return 1
    if not files:
        print("python -m predictor.offline: no image below the given folders", file=sys.stderr)
        return 1
    parameters = Parameters(options.far, options.embedding)
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        pictures = [options.explain and options.explain / f"{n:03d}-{path.stem}.png" for n, path in enumerate(files, 1)]
        rows = pool.map(lambda path, picture: _row(model, path, compared, parameters, picture), files, pictures)
        failed = _WRITERS[options.format](rows, model.decision)
        sys.stdout.flush()
    except BrokenPipeError:  # as ``| head`` does: the reader has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        failed = 0
    finally:
        pool.shutdown(cancel_futures=True)
    return 1 if failed else 0


def _options(arguments: list[str] | None):
    flags = Parser(prog="python -m predictor.offline", description=__doc__)
    flags.add_argument("model", metavar="MODEL", help="the artefact's folder, may be gs://")
    flags.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image file, or folder of image files")
    flags.add_argument("--format", choices=FORMATS, default="table", help="table, csv or jsonl (default: table)")
    hands = flags.add_argument_group("for models that compare hands")
    hands.add_argument(
        "--reference", action="append", default=[], type=Path, metavar="FILE",
        help="genuine signature to compare with; may be given several times",
    )  # fmt: skip
    hands.add_argument("--enrolled", type=Path, metavar="FILE", help="people's references, as trainer.enrol wrote them")
    hands.add_argument("--writer", metavar="NAME", help="the person of --enrolled that all images claim to be")
    hands.add_argument("--far", type=float, metavar="RATE", help="decide by this stored false acceptance rate")
    hands.add_argument("--embedding", action="store_true", help="answer the embedding as well (jsonl)")
    hands.add_argument(
        "--explain", type=Path, metavar="FOLDER", help="write a picture of what speaks against each image there"
    )
    return flags.parse_args(arguments)


def _compared(model: Model, options) -> Callable[[Path], References]:
    """What a questioned file is compared with. Raises ``BadQuestion`` for what the model cannot answer."""
    if (options.reference or options.enrolled) and not model.decision.compares:
        raise BadQuestion("this model judges single images; it takes neither --reference nor --enrolled")
    looks = [model.look(path.read_bytes()) for path in options.reference]
    for path, look in zip(options.reference, looks, strict=True):
        if look.no_signature:
            raise BadQuestion(f"--reference {str(path)!r} is not a signature: {look.no_signature['code']}")
    if model.decision.compares and not options.reference and not options.enrolled and options.format != "jsonl":
        raise BadQuestion("nothing to compare with: give --reference or --enrolled (or enrol: python -m trainer.enrol)")
    if options.writer and not options.enrolled:
        raise BadQuestion("--writer names a person of --enrolled, which is not given")
    if options.far is not None:
        model.decision.answer(*_probe(model, options.far))
    if not options.enrolled:
        return lambda path: looks
    people = enrolment.read(options.enrolled, model.encoder)
    if options.writer:
        people.of(options.writer)
    return lambda path: [*looks, *people.of(options.writer or _claimed(path, people))]


def _claimed(path: Path, people: enrolment.Enrolled) -> str:
    """Who a file claims to be of: its folder's name, as enrolment calls people of one source or of several."""
    folder = path.absolute().parent
    names = (folder.name, f"{folder.parent.name}/{folder.name}", folder.name.lstrip("0"))
    return next((name for name in names if name in people.writers), folder.name)


def _probe(model: Model, far: float):
    """A question that fails when there is no such threshold, before any file is looked at."""
    vector = np.eye(1, model.manifest.vector_size, dtype=np.float32)[0]
    return vector, [vector] if model.decision.compares else [], Parameters(far)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in FILE_SUFFIXES and p.is_file())
        elif path.is_file():
            yield path
        else:
            raise FileNotFoundError(f"no file or folder {str(path)!r}")


def _row(
    model: Model, path: Path, compared: Callable[[Path], References], parameters: Parameters, picture: Path | None
) -> dict[str, Any]:
    try:
        look, references = model.look(path.read_bytes()), compared(path)
        answer = model.decide(look, references, parameters)
        if picture and "distance" in answer:
            picture.write_bytes(explain.overlay(explain.against_nearest(model.engine, look, references)))
            answer["explanation"] = str(picture)
        return {"file": str(path), **answer}
    except (ImageError, enrolment.NotEnrolled) as error:
        code = error.code if isinstance(error, ImageError) else "not_enrolled"
        return {"file": str(path), "error": {"code": code, "message": str(error)}}
    except OSError as error:
        return {"file": str(path), "error": {"code": "unreadable_file", "message": str(error)}}


def _jsonl(rows, _) -> int:
    failed = 0
    for row in rows:
        failed += "error" in row
        print(json.dumps(row, default=np.ndarray.tolist))
    return failed


def _csv(rows, decision) -> int:
    failed = 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *decision.columns, "warnings", "error"])
    for row in rows:
        if error := row.get("error"):
            failed += 1
            writer.writerow([row["file"], *([""] * len(decision.columns)), "", error["code"]])
        else:
            warnings = " ".join(warning["code"] for warning in row["warnings"])
            writer.writerow([row["file"], *decision.row(row), warnings, ""])
    return failed


def _table(rows, decision) -> int:
    failed = 0
    shown = decision.columns[:2]
    table = Table("file", *shown, "remarks")
    for row in rows:
        file = Text(row["file"])  # plain text: a file name may look like markup
        if error := row.get("error"):
            failed += 1
            table.add_row(file, *([""] * len(shown)), Text(error["message"], "red"))
        else:
            remarks = ", ".join(f"{w['code']} ({w['value']:.3g}, limit {w['limit']:.3g})" for w in row["warnings"])
            because = ", ".join(f"{reason['image']}: {reason['code']}" for reason in row.get("because", ()))
            table.add_row(file, *decision.row(row)[: len(shown)], because or remarks)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return failed


_WRITERS = {"table": _table, "csv": _csv, "jsonl": _jsonl}

if __name__ == "__main__":
    raise SystemExit(main())
