"""``python -m predictor.request a.png b.jpg > request.json``: write the JSON body of a request about image files.

With ``--send URL``, send it and print the predictions; wait for a server that is still starting. Next: ``schema.py``,
which parses the body.
"""

import argparse
import contextlib
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pybase64

from trainer.enrolment import sealing
from trainer.enrolment.errors import EnrolmentError
from trainer.enrolment.store import EnrolmentStore
from trainer.settings.flags import OldFlag, Parser


def main(arguments: list[str] | None = None) -> int:
    """Print the body or the predictions. The files are sent unchanged; the server validates them."""
    options = _parse_arguments(arguments)
    try:
        body = _build_body(options)
        print(_send(options.send, body, options.wait) if options.send else body)
    except urllib.error.HTTPError as error:
        message = error.read().decode(errors="replace")
        print(f"python -m predictor.request: the server answered {error.code}: {message}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print("python -m predictor.request: the response is not that of a prediction server", file=sys.stderr)
        return 1
    except (OSError, ValueError, http.client.HTTPException, EnrolmentError) as error:
        print(f"python -m predictor.request: {error}", file=sys.stderr)
        return 1
    return 0


def build_body(
    images: Sequence[bytes],
    references: Sequence[bytes] = (),
    embeddings: np.ndarray | None = None,
    writer: str | None = None,
    identify: bool = False,
    **parameters: Any,
) -> str:
    """Make the JSON body of a request about these images, each compared with the same references.

    ``references`` are image files, ``embeddings`` is ``float32 [N, D]``. ``writer`` is on file at the server; with
    ``identify`` it is searched there.
    """
    reference_fields: dict[str, Any] = {"identify": True} if identify else {}
    if writer is not None:
        reference_fields["writer"] = writer
    if references:
        reference_fields["references"] = [_to_base64(image) for image in references]
    if embeddings is not None:
        reference_fields["reference_embeddings"] = np.ascontiguousarray(embeddings, np.float32)
    body: dict[str, Any] = {"instances": [{"image": _to_base64(image), **reference_fields} for image in images]}
    content = {**body, "parameters": parameters} if parameters else body
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()  # the shortest numbers for a float32


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m predictor.request", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="image file")
    parser.add_argument(
        "--send", metavar="URL", help="predict route of a server, such as http://127.0.0.1:8080/predict"
    )
    reference_help = "genuine signature that every FILE is compared with; may be repeated"
    parser.add_argument("--reference", action="append", default=[], type=Path, metavar="FILE", help=reference_help)
    parser.add_argument(
        "--people",
        metavar="FILE",
        help="writers on file here, made by trainer.enrol: send the embeddings of --writer instead of the name",
    )
    parser.add_argument("--people-key", metavar="FILE", help="the key that --people is encrypted with")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--writer", metavar="NAME", help="the writer to compare with, on file at the server")
    chosen.add_argument("--identify", action="store_true", help="search the writer among those on file at the server")
    parser.add_argument("--fpir", type=float, metavar="RATE", help="with --identify: this rate of strangers at most")
    parser.add_argument("--enrolled", dest="people", action=OldFlag, const="--people", help=argparse.SUPPRESS)
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--far", type=float, metavar="RATE", help="decide by this false acceptance rate")
    threshold.add_argument("--threshold", type=float, metavar="SCORE", help="accept from this score upwards")
    parser.add_argument("--return-embedding", action="store_true", help="request the embedding, too")
    parser.add_argument(
        "--explain", action="store_true", help="request a picture of what lowers the score of each image"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        metavar="SECONDS",
        help="how long to wait for a server that is starting (default: 30)",
    )
    return parser.parse_args(arguments)


def _build_body(options: argparse.Namespace) -> str:
    """Make the body for the files and references. Raises ``EnrolmentError``, ``ValueError`` or ``OSError``."""
    if options.people and not options.writer:
        raise ValueError("--people needs --writer, the name of one of its writers")
    images, references = ([path.read_bytes() for path in paths] for paths in (options.files, options.reference))
    values = {name: getattr(options, name) for name in ("far", "threshold", "fpir", "return_embedding", "explain")}
    embeddings, writer = None, options.writer
    if options.people:
        embeddings, values["encoder"] = _read_writer(options)
        writer = None
    parameters = {name: value for name, value in values.items() if value is not None and value is not False}
    return build_body(images, references, embeddings, writer, options.identify, **parameters)


def _read_writer(options: argparse.Namespace) -> tuple[np.ndarray, str]:
    """Read the embeddings ``float32 [n, D]`` of the writer on file here, and their encoder."""
    key = sealing.read_key(Path(options.people_key)) if options.people_key else None
    with contextlib.closing(EnrolmentStore(Path(options.people), key)) as store:
        return np.stack([reference.vector for reference in store.read_references(options.writer)]), store.encoder


def _to_base64(image: bytes) -> dict[str, str]:
    return {"b64": pybase64.b64encode(image).decode()}


def _send(url: str, body: str, wait: float) -> str:
    """Send the body, for at most ``wait`` seconds; return one line for each prediction.

    Raises ``ValueError``, ``urllib.error.URLError`` or ``http.client.HTTPException``.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--send {url!r} is no http:// or https:// address")
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    expires_at = time.monotonic() + wait
    while True:
        try:
            with urllib.request.urlopen(request, timeout=max(wait, 1)) as response:  # noqa: S310
                return "\n".join(json.dumps(answer) for answer in json.load(response)["predictions"])
        except urllib.error.URLError as error:
            is_refused = isinstance(error.reason, ConnectionRefusedError)  # the server does not listen yet
            is_starting = _is_starting(error) if isinstance(error, urllib.error.HTTPError) else is_refused
            if not is_starting or time.monotonic() > expires_at:
                raise
        time.sleep(0.1)


def _is_starting(error: urllib.error.HTTPError) -> bool:
    """Return whether the server is loading; one without a model would wait until somebody trains it."""
    if error.code != 503:
        return False
    body = error.read()
    error.read = lambda *_: body  # type: ignore[method-assign]  # the caller may print it
    return b'"no_model"' not in body


if __name__ == "__main__":
    raise SystemExit(main())
