"""``python -m tests.bench.drift [--images N]``: do ten planted shifts move a report, and do ten clean weeks not?

A real server of the ready verifier and the ready classifier answers generated images over HTTP; each week is the
difference of two dumps of its metrics, as ``python -m deploy drift --metrics`` reads them. A clean week has other
writers than the baseline and the other weeks, by the same pens and scanners; a shifted week has one change. Next:
``deploy/drift.py``.
"""

import argparse
import concurrent.futures
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from deploy import drift, observed
from predictor.request import build_body
from tests.conftest import serving
from trainer.generators import signatures as generator

WEEKS = 10
REFERENCES = 3
TEXT, FORGED = 0.3, 0.03  # shares of a usual week: words among crops, forgeries among questioned signatures
BASELINE_SEED, SHIFT_SEED = 70_000, 80_000
MODELS = ("signature_vs_text", "same_writer")


def change(function: Callable[[Image.Image], Image.Image]) -> Callable[[bytes], bytes]:
    """Make a change of image files of a change of pictures."""

    def apply(data: bytes) -> bytes:
        buffer = io.BytesIO()
        function(Image.open(io.BytesIO(data)).convert("L")).save(buffer, "PNG")
        return buffer.getvalue()

    return apply


def _shrink(image: Image.Image) -> Image.Image:
    return image.resize((max(8, image.width // 4), max(8, image.height // 4)), Image.Resampling.BOX)


def _fade(image: Image.Image) -> Image.Image:
    paper = float(np.median(np.asarray(image)))
    return Image.fromarray((paper + 0.3 * (np.asarray(image, np.float32) - paper)).clip(0, 255).astype(np.uint8))


def _stack(image: Image.Image) -> Image.Image:
    stacked = Image.new("L", (image.width, 3 * image.height))
    for row in range(3):
        stacked.paste(image, (0, row * image.height))
    return stacked


def _widen(image: Image.Image) -> Image.Image:
    border = image.width
    return ImageOps.expand(image, border, int(np.median(np.asarray(image))))


SHIFTS: dict[str, dict] = {
    "blurred by the scanner": {"change": change(lambda image: image.filter(ImageFilter.GaussianBlur(4)))},
    "a quarter of the resolution": {"change": change(_shrink)},
    "faint pens": {"change": change(_fade)},
    "bold pens": {"change": change(lambda image: image.filter(ImageFilter.MinFilter(7)))},
    "cut off on the left": {
        "change": change(lambda image: image.crop((image.width // 3, 0, image.width, image.height)))
    },
    "crops with wide margins": {"change": change(_widen)},
    "several lines in a crop": {"change": change(_stack)},
    "mostly words": {"text": 0.8},
    "many forgeries": {"forged": 0.5},
    "references of another person": {"others": 0.4},
}


def main(arguments: list[str] | None = None) -> None:
    """Print what moved in each week, and how many were found."""
    flags = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__.partition("\n")[0])
    flags.add_argument("--images", type=int, default=400, help="crops, and questioned signatures, of a week (400)")
    count = flags.parse_args(arguments).images
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--artifact", "ready:signature_vs_text", "--verifier", "ready:same_writer") as address,
    ):
        weeks = Weeks(address, Path(folder), count)
        baseline = weeks.watch(BASELINE_SEED)
        print(f"{count} crops and {count} comparisons a week; the baseline has as many")
        silent = sum(not _report(f"clean week {week}", baseline, weeks.watch(week)) for week in range(1, WEEKS + 1))
        found = sum(
            bool(_report(name, baseline, weeks.watch(SHIFT_SEED + number, **options)))
            for number, (name, options) in enumerate(SHIFTS.items())
        )
    print(f"{silent} of {WEEKS} clean weeks silent, {found} of {len(SHIFTS)} shifts found")


def _report(name: str, baseline: observed.Observed, live: observed.Observed) -> list[str]:
    """Compare a week for each model; print and return what moved."""
    moved = []
    for model in MODELS:
        before, after = (next(each for (key, _), each in week.items() if key == model) for week in (baseline, live))
        moved += [f"{model} {text}" for text in drift.compare(before, after).list_moved()]
    print(f"{name}: {'; '.join(moved) or 'nothing'}", flush=True)
    return moved


class Weeks:
    """Sends the images of weeks to a server, and reads what it observed."""

    def __init__(self, address: str, folder: Path, count: int):
        self._address, self._folder, self._count = address, folder, count

    def watch(
        self,
        seed: int,
        change: Callable[[bytes], bytes] = lambda data: data,
        text: float = TEXT,
        forged: float = FORGED,
        others: float = 0.0,
    ) -> observed.Observed:
        """Send a week of generated images: crops to the classifier, questioned signatures to the verifier."""
        before = self._read_metrics("before")
        draws = np.random.default_rng(seed).random((self._count, 3))

        def send(writer: int) -> None:
            is_text, is_forged, is_other = draws[writer] < (text, forged, others)
            crop = change(_generate(seed, writer, "text" if is_text else "genuine", 0))
            questioned = change(_generate(seed, writer, "forged" if is_forged else "genuine", REFERENCES))
            owner = writer + self._count if is_other else writer
            references = [_generate(seed, owner, "genuine", number) for number in range(REFERENCES)]
            for body in (build_body([crop]), build_body([questioned], references)):
                httpx.post(f"{self._address}/predict", content=body, timeout=60)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(self._count)))
        return observed.subtract(self._read_metrics("after"), before, "a week")

    def _read_metrics(self, name: str) -> observed.Observed:
        path = self._folder / name
        path.write_text(httpx.get(f"{self._address}/metrics").text)
        try:
            return observed.read_metrics(path)
        except observed.NothingObserved:
            return {}


def _generate(seed: int, writer: int, kind: str, number: int) -> bytes:
    return generator.generate_image(seed, writer, kind, number)[0]


if __name__ == "__main__":
    main()
