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
from trainer.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the body or the answers to standard output. The files are sent as they are; the server judges them."""
    flags = Parser(prog="python -m predictor.request", description=__doc__)
    flags.add_argument("files", nargs="+", type=Path, metavar="FILE", help="image file")
    flags.add_argument("--send", metavar="URL", help="predict route of a server, such as http://127.0.0.1:8080/predict")
    flags.add_argument(
        "--wait",
        type=float,
        default=30,
        metavar="SECONDS",
        help="how long to wait for a server that is starting (default: 30)",
    )
    options = flags.parse_args(arguments)
    try:
        body = wire.request([path.read_bytes() for path in options.files])
        print(_answers(options.send, body, options.wait) if options.send else body)
    except urllib.error.HTTPError as error:
        reason = error.read().decode(errors="replace")
        print(f"python -m predictor.request: the server answered {error.code}: {reason}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print("python -m predictor.request: the answer is none of a prediction server", file=sys.stderr)
        return 1
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"python -m predictor.request: {error}", file=sys.stderr)
        return 1
    return 0


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
            starting = error.code == 503 if isinstance(error, urllib.error.HTTPError) else refused
            if not starting or time.monotonic() > give_up:
                raise
        time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(main())
