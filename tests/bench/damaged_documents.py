"""``python -m tests.bench.damaged_documents [--count N] [--first SEED]``: read the pages of damaged documents.

Makes PDF, TIFF and image files by seed and damages them: flipped bits, cut ends, swapped and repeated blocks, changed
numbers, streams in streams, parts of other files. Prints the outcomes, the longest time and the most memory. Fails
for anything but pages or an ``ImageError``; ``--first SEED --count 1`` reads the document of that seed again. A
thousand documents take about two minutes on 2 cores. Next: ``trainer/documents``, the measured code.
"""

import argparse
import collections
import contextlib
import io
import os
import random
import re
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench.processes import measure_peak_memory
from tests.trainer.documents import pdf_files
from trainer.documents import read_pages
from trainer.imaging import ImageError
from trainer.imaging.decode import decode

SIDE = 1000  # pixels of the longest side of pages
SAMPLING_SECONDS = 0.005
NUMBERS = (0, 1, -1, 7, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**30)
NUMBER = re.compile(rb"\d+")
STREAM = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)


def main(count: int, first: int) -> int:
    """Read documents of so many seeds; return 1 after an error that is not an ``ImageError``."""
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, faults = (0.0, 0), 0
    with _without_messages_of_libraries(), ChildMemory() as memory:
        for seed in range(first, first + count):
            kind, data = make_damaged(random.Random(seed))
            started_at = time.perf_counter()
            try:
                outcome = f"{_read(data)} pages"
            except ImageError as error:
                outcome = error.code
            except Exception:  # noqa: BLE001 - the fault that is looked for
                traceback.print_exc(file=sys.stdout)
                print(f"seed {seed}: a {kind} of {len(data):,} bytes", flush=True)
                outcome, faults = "FAULT", faults + 1
            slowest = max(slowest, (time.perf_counter() - started_at, seed))
            outcomes[f"{kind:5} {outcome}"] += 1
    for outcome, number in sorted(outcomes.items()):
        print(f"{number:6,} x {outcome}")
    print(f"slowest {slowest[0]:.2f} s (seed {slowest[1]})")
    print(f"peak memory: {memory.peak:.0f} MB of a process, {measure_peak_memory(os.getpid()):.0f} MB of its parent")
    return 1 if faults else 0


@contextlib.contextmanager
def _without_messages_of_libraries() -> Iterator[None]:
    """Discard what libtiff writes to the descriptor of standard error about every damaged row."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _read(data: bytes) -> int:
    """Read and decode all pages; return their number."""
    number = 0
    with contextlib.closing(read_pages(data, SIDE)) as pages:
        for page in pages:
            number += bool(decode(page.image, side=SIDE, frame=page.frame).grey.size)
    return number


class ChildMemory:
    """Samples the peak memory of the processes that render, in MB; Linux only."""

    def __init__(self):
        self.peak = 0.0
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "ChildMemory":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_done.wait(SAMPLING_SECONDS):
            # A process may have ended meanwhile; before it runs its own program, it shows the memory of its parent.
            with contextlib.suppress(OSError, StopIteration):
                for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                    if b"render.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        self.peak = max(self.peak, measure_peak_memory(int(pid)))


def make_damaged(rng: random.Random) -> tuple[str, bytes]:
    """Return the kind of a document and its bytes, damaged in up to three ways."""
    kind = rng.choice(("PDF", "PDF", "PDF", "TIFF", "image"))
    data = DOCUMENTS[kind](rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        data = rng.choice(DAMAGES)(data, rng)
    return kind, data


def _make_picture(rng: random.Random) -> Image.Image:
    size = rng.randint(1, 300), rng.randint(1, 300)
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1), np.uint8)
    return Image.fromarray(noise).resize(size).convert(rng.choice(("1", "L", "RGB")))


def _save(pictures: list[Image.Image], format: str, **options) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(buffer, format, **options, **({"append_images": pictures[1:]} if len(pictures) > 1 else {}))
    return buffer.getvalue()


def _make_pdf(rng: random.Random) -> bytes:
    text = " ".join(f"BT /F {rng.randint(1, 40)} Tf {rng.randint(0, 99)} {y} Td (Sign here) Tj ET" for y in range(9))
    image = pdf_files.stream(
        zlib.compress(rng.randbytes(3000)),
        "/Type /XObject /Subtype /Image /Width 50 /Height 20 /BitsPerComponent 8 /ColorSpace /DeviceRGB "
        "/Filter /FlateDecode",
    )
    field = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (b) /DA (/F 9 Tf) /Rect [9 9 90 40] /P 3 0 R >>"
    form = "/AcroForm << /Fields [7 0 R] /DR << /Font << /F 5 0 R >> >> /NeedAppearances true >>"
    pages = [f"0 0 {rng.randint(1, 900)} {rng.randint(1, 900)}" for _ in range(rng.randint(1, 5))]
    writers: tuple[Callable[[], bytes], ...] = (
        lambda: pdf_files.one_page(text),
        lambda: pdf_files.one_page(pdf_files.stream(zlib.compress(text.encode()), "/Filter /FlateDecode")),
        lambda: pdf_files.one_page("90 0 0 50 9 9 cm /X6 Do", "0 0 99 99", "/Annots [7 0 R]", form, (image, field)),
        lambda: pdf_files.pages(*pages, content="0 0 50 50 re f 1 0 0 RG 9 9 m 90 10 80 70 60 30 c S"),
        lambda: pdf_files.encrypted(rng.choice((b"", b"secret"))),
        lambda: pdf_files.nested_forms(rng.randint(1, 4), rng.randint(1, 8)),
        lambda: pdf_files.write_compressed(
            [
                "<< /Type /Catalog /Pages 2 0 R >>",
                "<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>",
                f"<< /Type /Page /Parent 2 0 R /MediaBox [{pages[0]}] /Rotate {rng.randint(0, 3) * 90} >>",
            ]
        ),
        lambda: _save([_make_picture(rng) for _ in pages], "PDF", save_all=True),  # CCITT and JPEG
        lambda: _save([_make_picture(rng).convert("RGBA")], "PDF"),  # JPEG 2000
    )
    return rng.choice(writers)()


def _make_tiff(rng: random.Random) -> bytes:
    compression = rng.choice((None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"))
    mode = "1" if compression == "group4" else "L"
    pictures = [_make_picture(rng).convert(mode) for _ in range(rng.randint(1, 4))]
    return _save(pictures, "TIFF", save_all=True, compression=compression, big_tiff=rng.random() < 0.2)


def _make_image(rng: random.Random) -> bytes:
    picture = _make_picture(rng).convert("RGB")
    return _save([picture], rng.choice(("PNG", "JPEG", "BMP", "GIF", "WEBP")))


DOCUMENTS: dict[str, Callable[[random.Random], bytes]] = {"PDF": _make_pdf, "TIFF": _make_tiff, "image": _make_image}


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 5, 50)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _move_block(data: bytes, rng: random.Random) -> bytes:
    """Swap two neighbouring blocks, repeat a block, or leave a block out."""
    a, b, c = sorted(rng.randint(0, len(data)) for _ in range(3))
    return data[:a] + rng.choice((data[b:c] + data[a:b], data[a:b] * rng.choice((2, 50)), b"")) + data[c:]


def _change_numbers(data: bytes, rng: random.Random) -> bytes:
    """Change decimal numbers, as in a PDF, or binary ones, as in the directory of a TIFF."""
    number = rng.choice(NUMBERS)
    if matches := list(NUMBER.finditer(data)) if data.startswith(b"%PDF") else []:
        start, end = rng.choice(matches).span()
        return data[:start] + str(number).encode() + data[end:]
    position = rng.randint(0, min(len(data), 200))
    return data[:position] + (number % 2**32).to_bytes(4, rng.choice(("little", "big"))) + data[position + 4 :]


def _nest_stream(data: bytes, rng: random.Random) -> bytes:
    """Replace the content of a stream of a PDF by one that unpacks to much more, or by another stream."""
    streams = list(STREAM.finditer(data))
    if not streams:
        return _flip_bits(data, rng)
    start, end = rng.choice(streams).span(1)
    zeros = pdf_files.zeros(rng.choice((1, 64, 2000)) * 2**20)
    content, filters = rng.choice(
        (
            (zeros, b"/Filter /FlateDecode"),
            (zlib.compress(zeros), b"/Filter [/FlateDecode /FlateDecode]"),
            (data[start:end], b"/Filter [/ASCIIHexDecode /LZWDecode /RunLengthDecode]"),
            (data, b""),
            (b"q " * 10**5, b""),
        )
    )
    before, _, entries = data[:start].rpartition(b"/Length ")
    entries = b"/Length %d %b" % (len(content), filters) + entries.lstrip(b"0123456789")
    return before + entries + content + data[end:]


def _join(data: bytes, rng: random.Random) -> bytes:
    """Put a part of another document into this."""
    other, position = DOCUMENTS[rng.choice(("PDF", "TIFF", "image"))](rng), rng.randint(0, len(data))
    return data[:position] + other[rng.randint(0, len(other)) :] + data[position:]


DAMAGES = (_flip_bits, _cut, _move_block, _change_numbers, _nest_stream, _join)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read the pages of damaged documents.")
    parser.add_argument("--count", type=int, default=5000, help="documents (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first document (default: %(default)s)")
    arguments = parser.parse_args()
    raise SystemExit(main(arguments.count, arguments.first))
