"""``python -m tests.bench.answering [ARTIFACT]``: measure the processor time of one answer beside Pillow's decoding.

In turns within one run, on generated scans of 700 x 400 pixels with the noise of a scanner, as PNG in colour. Processor
time of all threads of the process, without a server. Without ARTIFACT the ready one answers. Goal: 6 ms where Pillow
takes 2. Next: ``trainer/artifact/artifact.py``, whose answers are measured; ``embedding.py`` measures the server.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable

from PIL import Image

from tests.bench.bodies import make_images, make_png
from trainer import ready
from trainer.artifact.artifact import Artifact

ROUNDS = 12


def main(artifact: str) -> None:
    """Print medians and the ratio."""
    opened, images = Artifact(ready.fetch_artifact(artifact)), make_images(make_png)
    pairs = [
        (
            _measure_milliseconds(lambda data=data: _decode(data)),
            _measure_milliseconds(lambda data=data: opened.answer(data)),
        )
        for _ in range(ROUNDS)
        for data in images
    ][len(images) :]  # the first round warms up
    decoding, answer = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = statistics.quantiles([slow / fast for fast, slow in pairs], n=20)
    print(f"700 x 400 PNG, {len(images[0]) // 1000} kB, processor time")
    print(f"Pillow decodes   {decoding:6.2f} ms")
    print(f"one answer       {answer:6.2f} ms")
    print(f"ratio            {answer / decoding:6.2f}  (5th percentile {ratios[0]:.2f}, 95th {ratios[-1]:.2f}; goal 3)")


def _decode(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def _measure_milliseconds(work: Callable[[], object]) -> float:
    started_at = time.process_time()
    work()
    return 1000 * (time.process_time() - started_at)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ready.DEFAULT)
