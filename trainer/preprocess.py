"""``python -m trainer.preprocess IN OUT``: write the canonical images of a folder, as training and serving see them.

Writes PNG files of the same names below OUT, which has to be a new folder: originals are never overwritten. OUT has the
layout of IN, and an index of labels lists the new files. If the name of IN is its label, OUT needs the same name.
Next: ``imaging/``, which makes canonical images.
"""

import collections
import concurrent.futures
import os
import sys
from pathlib import Path

from trainer import corpora
from trainer.console.progress import Progress
from trainer.imaging import INKS, ImageError, Imaging, canonicalise, encode_png
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings import plugins
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """Write the canonical images. Return the exit status: 1 if an image could not be used; the others are written."""
    flags = Parser(prog="python -m trainer.preprocess", description=__doc__)
    flags.add_argument("source", type=Path, metavar="IN", help="image file, or folder of images")
    flags.add_argument("out", type=Path, metavar="OUT", help="folder to create")
    flags.add_argument("--height", type=int, default=96, metavar="PIXELS", help="height of the canvas (default: 96)")
    flags.add_argument("--width", type=int, default=192, metavar="PIXELS", help="width of the canvas (default: 192)")
    flags.add_argument(
        "--ink", choices=INKS, default=INKS[0], help="ink of the canonical images (default: soft-binary)"
    )
    options = flags.parse_args(arguments)
    source, out = options.source, options.out
    try:
        imaging = Imaging(options.height, options.width, ink=options.ink)
        files = _list_files(source)
        is_inside = source.resolve() in (out.resolve(), *out.resolve().parents)
        if is_inside or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise FileExistsError(f"{str(out)!r} is in use or inside IN; OUT has to be a new folder outside IN")
    except (OSError, ValueError) as error:
        flags.error(str(error))
    if not files:
        flags.error(f"{str(source)!r} holds no image that can be read ({', '.join(sorted(FILE_SUFFIXES))})")
    targets = {file: _target_path(file, source, out) for file in files}
    if clash := _first_clash(targets):
        flags.error(f"{' and '.join(map(repr, map(str, clash)))} would be one file, {clash[0].stem}.png; rename one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        flags.error(str(error))
    failed: set[Path] = set()
    with Progress("imaging", len(files)) as progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, warnings in progress.track(pool.map(lambda f: (f, _write_canonical(f, targets[f], imaging)), files)):
            if warnings is None:
                failed.add(file)
            elif warnings:
                print(f"{file}: {warnings}")
    if source.is_dir():
        _write_indexes(source, out, {file: target for file, target in targets.items() if file not in failed})
    return 1 if failed else 0


def _list_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"no file or folder {str(source)!r}")
    return [source / name for name in corpora.list_image_files(source)]


def _target_path(file: Path, source: Path, out: Path) -> Path:
    """Return the path of the PNG, in the same folder with the same stem: layouts read labels and writers from both."""
    stem = file.stem if file.suffix.lower() in FILE_SUFFIXES else file.name
    return out / file.relative_to(source if source.is_dir() else source.parent).with_name(f"{stem}.png")


def _first_clash(targets: dict[Path, Path]) -> list[Path]:
    """Return the first originals that would be written to one file, or an empty list."""
    originals = collections.defaultdict(list)
    for file, target in targets.items():
        originals[target].append(file)
    return next((files for files in originals.values() if len(files) > 1), [])


def _write_canonical(file: Path, target: Path, imaging: Imaging) -> str | None:
    """Write one image. Return its warnings as text, or print the reason and return ``None`` if it cannot be used."""
    try:
        canonical = canonicalise(file.read_bytes(), imaging)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_png(canonical.image))
    except (ImageError, OSError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return None
    return ", ".join(
        f"{warning.code} ({warning.value:.3g}, limit {warning.limit:.3g})" for warning in canonical.warnings
    )


def _write_indexes(source: Path, out: Path, written: dict[Path, Path]) -> None:
    """Write the index files of the layout, if it has any, for the images in ``written``: new paths by original."""
    try:
        reading = corpora.read(source)
    except corpora.UnknownLayout:
        return  # images without labels have no index
    corpus = plugins.load("corpora", reading.layout)
    new_paths = [(written.get(Path(str(sample.path))), sample) for sample in reading.samples]
    samples = [sample for path, sample in new_paths if path]
    if corpus.format_csv_files and samples:
        root = out / Path(str(samples[0].root)).relative_to(source)
        rows = [(path.relative_to(root).as_posix(), s.label, s.writer or "") for path, s in new_paths if path]
        for name, text in corpus.format_csv_files(rows).items():
            (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
