"""``python -m tests.bench.generating``: how many canonical images does a core generate in a second, and in what memory?

Seconds of CPU, in one process, after warming up; goal: 100 images a second. Next: ``trainer/data/stream.py``, which
generates beside a training.
"""

import resource
import time

from trainer.generators import signatures
from trainer.imaging import Imaging

CANVAS = Imaging(64, 128)
WARM_UP, IMAGES = 1500, 600
SEED = 1


def main() -> None:
    """Print images a second of each label, and of a stream with the shares of the labels."""
    rates = {label: measure_rate(label) for label in signatures.GENERATOR.labels}
    for label, rate in rates.items():
        print(f"{label:10} {rate:6.0f} images a second of CPU")
    seconds = 3 / rates["signature"] + 3 / rates["text"] + 1 / rates["other"]
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'stream':10} {7 / seconds:6.0f} images a second of CPU; {megabytes:.0f} MB at most")


def measure_rate(label: str) -> float:
    """Measure canonical images for a second of CPU."""
    for position in range(WARM_UP):
        signatures.generate_canonical(label, SEED, position, CANVAS)
    start = time.process_time()
    for position in range(WARM_UP, WARM_UP + IMAGES):
        signatures.generate_canonical(label, SEED, position, CANVAS)
    return IMAGES / (time.process_time() - start)


if __name__ == "__main__":
    main()
