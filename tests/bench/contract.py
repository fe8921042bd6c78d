"""What reading a request costs, validation by ``predictor.schema`` included: ``python -m tests.bench.contract``.

Beside it, in the same run, JSON that is decoded by orjson without looking at what it says, and the base64 alone.
"""

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import orjson
import pybase64

from predictor import wire

ROUNDS, CALLS = 15, 200
IMAGE = np.random.default_rng(1).bytes(33_000)  # the size of a PNG of tests/bench/serving.py


def main() -> None:
    """Print microseconds of CPU a request, the median of several rounds, and ratios."""
    embeddings = np.full((10, 512), 512**-0.5)
    print(f"{platform.machine()}, Python {platform.python_version()}; microseconds of CPU a request")
    for name, body in (
        ("image", wire.request([IMAGE])),
        ("image, ten embeddings", wire.request([IMAGE], (), embeddings)),
    ):
        data, text = body.encode(), pybase64.b64encode(IMAGE).decode()
        ours = _microseconds(lambda data=data: wire.parse(data, 256))
        plain = _microseconds(lambda data=data: orjson.loads(data))
        base64 = _microseconds(lambda text=text: pybase64.b64decode(text, validate=True))
        print(
            f"{name}: read and validated {ours:.0f}; orjson alone {plain:.0f}, base64 alone {base64:.0f}; "
            f"validation adds {ours - plain - base64:.0f}, ratio {ours / (plain + base64):.2f}"
        )


def _microseconds(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.thread_time()
        for _ in range(CALLS):
            work()
        return 1e6 * (time.thread_time() - began) / CALLS

    return statistics.median(once() for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
