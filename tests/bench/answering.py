"""``python -m tests.bench.answering [ARTIFACT [VERIFIER]]``: the processor time of one answer beside Pillow's decoding.

In turns within one run, on generated scans of 700 x 400 pixels with the noise of a scanner, as PNG in colour. Processor
time of all threads of the process, without a server. Without ARTIFACT the ready one answers. Goal: 6 ms where Pillow
takes 2. Then what a verifier adds: its network, and the comparison with ten stored references. Goals: 2.5 ms, and 10 ms
for a whole answer where Pillow takes 2. Next: ``trainer/artifact/artifact.py``, whose answers are measured;
``embedding.py`` measures the server.
"""

import functools
import io
import statistics
import sys
import time
from collections.abc import Callable

from predictor.blas_threads import limit_blas_threads

limit_blas_threads()  # as the server does, before NumPy is imported

from PIL import Image

from tests.bench.bodies import make_images, make_png
from trainer import ready
from trainer.artifact.artifact import Artifact

ROUNDS = 12
REFERENCES = 10


def main(classifier: str = ready.CLASSIFIER, verifier: str = ready.VERIFIER) -> None:
    """Print medians and the ratios."""
    images = make_images(make_png)
    print(f"700 x 400 PNG, {len(images[0]) // 1000} kB, processor time")
    opened = Artifact(ready.fetch_artifact(classifier))
    times = _measure_in_turns(images, {"Pillow decodes": _decode, "one answer": opened.answer})
    _print_ratio(times, "one answer", goal=3)
    opened = Artifact(ready.fetch_artifact(verifier))
    encoded = {data: opened.encode(data) for data in images}
    references = [image.vector for image in list(encoded.values())[:REFERENCES]]
    references += references[:1] * (REFERENCES - len(references))
    measured = {
        "Pillow decodes": _decode,
        "network": lambda data: opened.compute_vector(encoded[data].canonical.image),
        f"comparison with {REFERENCES} references": lambda data: opened.decide(encoded[data], references),
        "whole answer": lambda data: opened.decide(opened.encode(data), references),
    }
    times = _measure_in_turns(images, measured)
    _print_ratio(times, "whole answer", goal=5)


def _measure_in_turns(images: list[bytes], measured: dict[str, Callable[[bytes], object]]) -> dict[str, list[float]]:
    """Return the milliseconds of each function for every image, by name; the first round warms up."""
    rows = [
        [_measure_milliseconds(functools.partial(work, data)) for work in measured.values()]
        for _ in range(ROUNDS)
        for data in images
    ][len(images) :]
    return dict(zip(measured, map(list, zip(*rows, strict=True)), strict=True))


def _print_ratio(times: dict[str, list[float]], name: str, goal: int) -> None:
    """Print the medians, and the ratio of the one to Pillow's decoding in the same turn."""
    for each, milliseconds in times.items():
        print(f"{each:32} {statistics.median(milliseconds):6.2f} ms")
    ratios = [slow / fast for fast, slow in zip(times["Pillow decodes"], times[name], strict=True)]
    bounds = statistics.quantiles(ratios, n=20)
    median = statistics.median(ratios)
    print(f"{'ratio':32} {median:6.2f}  (5th percentile {bounds[0]:.2f}, 95th {bounds[-1]:.2f}; goal {goal})")


def _decode(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def _measure_milliseconds(work: Callable[[], object]) -> float:
    started_at = time.process_time()
    work()
    return 1000 * (time.process_time() - started_at)


if __name__ == "__main__":
    main(*sys.argv[1:])
