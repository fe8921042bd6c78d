"""``python -m tests.bench.request_parsing``: measure the CPU time to parse and validate a request.

In the same run, orjson decodes the same JSON without validation, and pybase64 decodes the base64 alone. Next:
``predictor/schema.py``, the measured code.
"""

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import orjson
import pybase64

from predictor.request import build_body
from predictor.schema import parse_json
from trainer import ready
from trainer.artifact.artifact import Artifact

ROUNDS, CALLS = 15, 200
IMAGE = np.random.default_rng(1).bytes(33_000)  # the size of a PNG of tests/bench/serving.py


def main() -> None:
    """Print the median of several rounds, in microseconds of CPU for each request, and ratios."""
    verifier = Artifact(ready.fetch_artifact(ready.VERIFIER)).manifest
    grid = verifier.decision["similarity"]
    embeddings = _make_embeddings(verifier.vector_size, grid["rows"] * grid["columns"])
    print(f"{platform.machine()}, Python {platform.python_version()}; microseconds of CPU for each request")
    for name, body in (
        ("image", build_body([IMAGE])),
        ("image, ten embeddings", build_body([IMAGE], (), embeddings)),
    ):
        data, text = body.encode(), pybase64.b64encode(IMAGE).decode()
        parsing = _measure_microseconds(lambda data=data: parse_json(data, 256))
        json_only = _measure_microseconds(lambda data=data: orjson.loads(data))
        base64_only = _measure_microseconds(lambda text=text: pybase64.b64decode(text, validate=True))
        print(
            f"{name}: parsed and validated {parsing:.0f}; orjson alone {json_only:.0f}, base64 alone "
            f"{base64_only:.0f}; validation adds {parsing - json_only - base64_only:.0f}, ratio "
            f"{parsing / (json_only + base64_only):.2f}"
        )


def _make_embeddings(size: int, places: int) -> np.ndarray:
    """Return ten embeddings, ``float32 [10, size]``: a third of the places has ink, the descriptors of others are 0."""
    random = np.random.default_rng(2)
    descriptors = random.normal(size=(10, places, size // places))
    descriptors[random.random((10, places)) > 1 / 3] = 0
    vectors = descriptors.reshape(10, size)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _measure_microseconds(work: Callable[[], object]) -> float:
    def measure_round() -> float:
        started_at = time.thread_time()
        for _ in range(CALLS):
            work()
        return 1e6 * (time.thread_time() - started_at) / CALLS

    return statistics.median(measure_round() for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
