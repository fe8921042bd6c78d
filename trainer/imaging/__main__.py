"""``python -m trainer.imaging IN OUT``: see what models see. Every image of a folder as ink on white paper.

Writes PNG files below OUT, which has to be new: originals are never written over. The same step as in training and
serving; scanning apps call it a scan effect.
"""

import concurrent.futures
import os
import sys
from pathlib import Path

from trainer.flags import Parser
from trainer.imaging import FILE_SUFFIXES, INKS, ImageError, Imaging, as_png, canonicalise
from trainer.progress import Progress


def main(arguments: list[str] | None = None) -> int:
    """1 when an image could not be used; its reason is printed and all others are written."""
    flags = Parser(prog="python -m trainer.imaging", description=__doc__)
    flags.add_argument("source", type=Path, metavar="IN", help="image file, or folder of images")
    flags.add_argument("out", type=Path, metavar="OUT", help="folder to create")
    flags.add_argument("--height", type=int, default=96, metavar="PIXELS", help="of the canvas (%(default)s)")
    flags.add_argument("--width", type=int, default=192, metavar="PIXELS", help="of the canvas (%(default)s)")
    flags.add_argument("--ink", choices=INKS, default=INKS[0], help="black and white, or with its own greys")
    options = flags.parse_args(arguments)
    source, out = options.source, options.out
    try:
        imaging = Imaging(options.height, options.width, ink=options.ink)
        files = _files(source)
        inside = source.resolve() in (out.resolve(), *out.resolve().parents)
        if inside or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise FileExistsError(f"{str(out)!r} holds or is among the originals; OUT has to be new, and outside IN")
    except (OSError, ValueError) as error:
        flags.error(str(error))
    if not files:
        flags.error(f"{str(source)!r} holds no image that can be read ({', '.join(sorted(FILE_SUFFIXES))})")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        flags.error(str(error))
    failed = 0
    with Progress("imaging", len(files)) as progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, told in progress.counted(pool.map(lambda f: (f, _show(f, source, out, imaging)), files)):
            failed += told is None
            if told:
                print(f"{file}: {told}")
    return 1 if failed else 0


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"no file or folder {str(source)!r}")
    return sorted(p for p in source.rglob("*") if p.suffix.lower() in FILE_SUFFIXES and p.is_file())


def _show(file: Path, source: Path, out: Path, imaging: Imaging) -> str | None:
    """Write one image; returns its warnings, or ``None`` with the reason printed when it cannot be used."""
    # The suffix stays in the name: a.jpg and a.png are two images.
    target = out / file.relative_to(source if source.is_dir() else source.parent).with_name(file.name + ".png")
    try:
        seen = canonicalise(file.read_bytes(), imaging)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(as_png(seen.image))
    except (ImageError, OSError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return None
    return ", ".join(f"{w.code} ({w.value:.3g}, limit {w.limit:.3g})" for w in seen.warnings)


if __name__ == "__main__":
    raise SystemExit(main())
