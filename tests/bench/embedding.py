"""``python -m tests.bench.embedding [ARTIFACT]``: measure what the server adds to the time of an embedding.

One image through HTTP to its embedding, against imaging and engine alone in this process, in turns, one request at a
time. Goal: at most 1.2 times. Without ARTIFACT, an untrained ``same_writer`` of the default shape.

The client is a bare socket: Python's own HTTP client takes 0.3 to 0.9 ms, which no server can save.
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

from predictor.request import build_body
from tests.bench.artifacts import export_untrained
from tests.conftest import serving
from trainer.artifact.artifact import Artifact
from trainer.generators import signatures as generator

IMAGES, ROUNDS = 12, 40


def main() -> None:
    """Print both medians and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        artifact_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else export_untrained(Path(folder) / "model")
        images = [generator.generate_image(5, writer, "genuine", 0)[0] for writer in range(1, IMAGES + 1)]
        bodies = [build_body([image]).encode() for image in images]
        artifact = Artifact(artifact_dir)
        silence = contextlib.redirect_stdout(io.StringIO())  # of the server's log, which ``serving`` prints
        with silence, serving("--artifact", str(artifact_dir)) as address, _connect(address) as client:
            pairs = [
                (_time_request(client, body), _time_encoding(artifact, image))
                for _ in range(ROUNDS)
                for image, body in zip(images, bodies, strict=True)
            ][IMAGES:]  # the first round warms up
    request_ms, encoding_ms = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = statistics.quantiles([request / encoding for request, encoding in pairs], n=20)
    print(f"through the server   {request_ms:6.2f} ms")
    print(f"imaging and engine   {encoding_ms:6.2f} ms")
    spread = f"5th percentile {ratios[0]:.2f}, 95th {ratios[-1]:.2f}"
    print(f"ratio                {request_ms / encoding_ms:6.2f}  ({spread}; goal 1.2)")


def _connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _time_request(client: socket.socket, body: bytes) -> float:
    """Return the seconds from sending a request to its complete answer."""
    started_at = time.perf_counter()
    client.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head, content, length = b"", b"", 0
    while not head or len(content) < length:
        content += client.recv(1 << 20)
        if not head and b"\r\n\r\n" in content:
            head, _, content = content.partition(b"\r\n\r\n")
            length = int(re.search(rb"content-length: *(\d+)", head.lower())[1])
    seconds = time.perf_counter() - started_at
    if "embedding" not in json.loads(content)["predictions"][0]:
        raise RuntimeError(content[:200])
    return seconds


def _time_encoding(artifact: Artifact, image: bytes) -> float:
    started_at = time.perf_counter()
    artifact.compute_vector(artifact.canonicalise(image).image)
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
