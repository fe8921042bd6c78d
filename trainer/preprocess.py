"""``python -m trainer.preprocess IN OUT``: see what models see. Every image of a folder as ink on white paper.

Writes PNG files of the same names below OUT, which has to be new: originals are never written over. Whatever layout IN
has, OUT has it too, and an index of labels names the new files; only a folder that is itself called by its label has to
be called so again. The same step as in training and serving; scanning apps call it a scan effect.
"""

import collections
import concurrent.futures
import os
import sys
from pathlib import Path

from trainer import corpora
from trainer.console.progress import Progress
from trainer.imaging import INKS, ImageError, Imaging, as_png, canonicalise
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.settings import plugins
from trainer.settings.flags import Parser


def main(arguments: list[str] | None = None) -> int:
    """1 when an image could not be used; its reason is printed and all others are written."""
    flags = Parser(prog="python -m trainer.preprocess", description=__doc__)
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
    targets = {file: _target(file, source, out) for file in files}
    if clash := _first_clash(targets):
        flags.error(f"{' and '.join(map(repr, map(str, clash)))} would be one file, {clash[0].stem}.png; rename one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        flags.error(str(error))
    failed: set[Path] = set()
    with Progress("imaging", len(files)) as progress, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, told in progress.counted(pool.map(lambda f: (f, _show(f, targets[f], imaging)), files)):
            if told is None:
                failed.add(file)
            elif told:
                print(f"{file}: {told}")
    if source.is_dir():
        _write_indexes(source, out, {file: target for file, target in targets.items() if file not in failed})
    return 1 if failed else 0


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"no file or folder {str(source)!r}")
    return [source / name for name in corpora.image_files(source)]


def _target(file: Path, source: Path, out: Path) -> Path:
    """The PNG of the same folder and stem: layouts read labels and writers from both."""
    stem = file.stem if file.suffix.lower() in FILE_SUFFIXES else file.name
    return out / file.relative_to(source if source.is_dir() else source.parent).with_name(f"{stem}.png")


def _first_clash(targets: dict[Path, Path]) -> list[Path]:
    """Originals that would be written to one file; none if there are no such."""
    originals = collections.defaultdict(list)
    for file, target in targets.items():
        originals[target].append(file)
    return next((files for files in originals.values() if len(files) > 1), [])


def _show(file: Path, target: Path, imaging: Imaging) -> str | None:
    """Write one image; returns its warnings, or ``None`` with the reason printed when it cannot be used."""
    try:
        seen = canonicalise(file.read_bytes(), imaging)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(as_png(seen.image))
    except (ImageError, OSError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return None
    return ", ".join(f"{w.code} ({w.value:.3g}, limit {w.limit:.3g})" for w in seen.warnings)


def _write_indexes(source: Path, out: Path, written: dict[Path, Path]) -> None:
    """Where the layout has an index file, the same for the new files; images that could not be used are not in it."""
    try:
        reading = corpora.read(source)
    except corpora.UnknownLayout:
        return  # images without labels may be looked at, too
    corpus = plugins.load("corpora", reading.layout)
    samples = [sample for sample in reading.samples if sample.path in written]
    if corpus.index and samples:
        root = out / samples[0].root.relative_to(source)
        rows = [(written[s.path].relative_to(root).as_posix(), s.label, s.writer or "") for s in samples]
        for name, text in corpus.index(rows).items():
            (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
