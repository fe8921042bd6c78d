"""``python -m predictor.request a.png b.jpg > request.json``: the JSON body that asks about image files.

With ``--send URL`` it is sent, and the answers are printed; a server that is still starting is waited for.
"""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from predictor import wire
from trainer.artifact import enrolment
from trainer.artifact.enrolment import NotEnrolled
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the body or the answers to standard output. The files are sent as they are; the server judges them."""
    flags = Parser(prog="python -m predictor.request", description=__doc__)
    flags.add_argument("files", nargs="+", type=Path, metavar="FILE", help="image file")
    flags.add_argument("--send", metavar="URL", help="predict route of a server, such as http://127.0.0.1:8080/predict")
    flags.add_argument(
        "--reference", action="append", default=[], type=Path, metavar="FILE",
        help="genuine signature that every FILE is compared with; may be given several times",
    )  # fmt: skip
    flags.add_argument("--enrolled", type=Path, metavar="FILE", help="people's references, as trainer.enrol wrote them")
    flags.add_argument("--writer", metavar="NAME", help="the person of --enrolled to compare with")
    flags.add_argument("--far", type=float, metavar="RATE", help="decide by this stored false acceptance rate")
    flags.add_argument("--return-embedding", action="store_true", help="ask for the embedding as well")
    flags.add_argument("--explain", action="store_true", help="ask for a picture of what speaks against each image")
    flags.add_argument(
        "--wait",
        type=float,
        default=30,
        metavar="SECONDS",
        help="how long to wait for a server that is starting (default: 30)",
    )
    options = flags.parse_args(arguments)
    try:
        body = _body(options)
        print(_answers(options.send, body, options.wait) if options.send else body)
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")
        print(f"python -m predictor.request: the server answered {error.code}: {reason}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print("python -m predictor.request: the answer is none of a prediction server", file=sys.stderr)
        return 1
    except (OSError, ValueError, http.client.HTTPException, NotEnrolled) as error:
        print(f"python -m predictor.request: {error}", file=sys.stderr)
        return 1
    return 0


def _body(options) -> str:
    """The body for files and references. Raises ``NotEnrolled`` or ``ValueError``."""
    if bool(options.enrolled) != bool(options.writer):
        raise ValueError("--enrolled and --writer go together: which of the enrolled people is it?")
    images, references = ([path.read_bytes() for path in paths] for paths in (options.files, options.reference))
    people = enrolment.read(options.enrolled) if options.enrolled else None
    embeddings = people.of(options.writer) if people else None
    chosen = {"far": options.far, "return_embedding": options.return_embedding, "explain": options.explain}
    chosen["encoder"] = people.encoder if people else None
    parameters = {name: value for name, value in chosen.items() if value not in (None, False)}
    return wire.request(images, references, embeddings, **parameters)


def _answers(url: str, body: str, wait: float) -> str:
    """The response, one line for each prediction."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"--send {url!r} is no http:// or https:// address")
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    give_up = time.monotonic() + wait
    while True:
        try:
            with urllib.request.urlopen(request, timeout=max(wait, 1)) as response:  # noqa: S310
                return "\n".join(json.dumps(answer) for answer in json.load(response)["predictions"])
        except urllib.error.URLError as error:
            refused = isinstance(error.reason, ConnectionRefusedError)  # nobody listens yet
            starting = _is_starting(error) if isinstance(error, urllib.error.HTTPError) else refused
            if not starting or time.monotonic() > give_up:
                raise
        time.sleep(0.1)


def _is_starting(error: urllib.error.HTTPError) -> bool:
    """Whether a server will answer by itself in a while: not one that waits for somebody to train a model."""
    if error.code != 503:
        return False
    body = error.read()
    error.read = lambda *_: body  # type: ignore[method-assign]  # it is shown when nothing else helps
    return b'"no_model"' not in body


if __name__ == "__main__":
    raise SystemExit(main())
