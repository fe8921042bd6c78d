"""``python -m tests.bench.embedding [MODEL]``: what does the server add to the work itself?

One image through HTTP to its embedding, against the bare engine call plus ink in this process, in turns, one
request at a time. Wanted: at most 1.2 times. Without MODEL, an untrained ``same_writer`` of the default shape.

The client is a bare socket: Python's own HTTP client takes 0.3 to 0.9 ms of its own, which no server can save.
"""

import contextlib
import io
import json
import re
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from predictor import wire
from tests.bench.artefacts import untrained
from tests.conftest import serving
from trainer.artifact.artifact import Model
from trainer.samples import generator

IMAGES, ROUNDS = 12, 40


def main() -> None:
    """Print both medians and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        artefact = Path(sys.argv[1]) if len(sys.argv) > 1 else untrained(Path(folder) / "model")
        images = [generator.image(5, writer, "genuine", 0)[0] for writer in range(1, IMAGES + 1)]
        bodies = [wire.request([image]).encode() for image in images]
        model = Model(artefact)
        silence = contextlib.redirect_stdout(io.StringIO())  # of the server's log, which ``serving`` prints
        with silence, serving("--model", str(artefact)) as address, _connected(address) as client:
            pairs = [
                (_served(client, body), _bare(model, image))
                for _ in range(ROUNDS)
                for image, body in zip(images, bodies, strict=True)
            ][IMAGES:]  # the first of each warm up
    served, bare = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = statistics.quantiles([one / other for one, other in pairs], n=20)
    print(f"through the server   {served:6.2f} ms")
    print(f"engine call and ink  {bare:6.2f} ms")
    spread = f"5th percentile {ratios[0]:.2f}, 95th {ratios[-1]:.2f}"
    print(f"ratio                {served / bare:6.2f}  ({spread}; wanted 1.2)")


def _connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _served(client: socket.socket, body: bytes) -> float:
    began = time.perf_counter()
    client.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head, content, wanted = b"", b"", 0
    while not head or len(content) < wanted:
        content += client.recv(1 << 20)
        if not head and b"\r\n\r\n" in content:
            head, _, content = content.partition(b"\r\n\r\n")
            wanted = int(re.search(rb"content-length: *(\d+)", head.lower())[1])
    seconds = time.perf_counter() - began
    if "embedding" not in json.loads(content)["predictions"][0]:
        raise RuntimeError(content[:200])
    return seconds


def _bare(model: Model, image: bytes) -> float:
    began = time.perf_counter()
    model.vector(model.see(image).image)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
