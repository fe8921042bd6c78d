"""Fonts of 25 scripts, in print and in many hands, and text rendered with them.

``make fonts`` downloads them into the cache folder; without them, only the fonts of matplotlib and of the system are
used. ``COUNTERSIGN_FONTS=bundled`` selects those of matplotlib alone. A downloaded file holds one Unicode range, so a
face is a file and its companions of the same family. Next: ``font_list.py``, the list of the files.
"""

import dataclasses
import enum
import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.console.messages import LOG
from trainer.samples import font_list
from trainer.samples.font_list import FontSelection

if TYPE_CHECKING:
    import numpy as np

SCRIPTS = tuple(
    "latin greek cyrillic arabic hebrew devanagari bengali tamil telugu gujarati gurmukhi kannada malayalam sinhala "
    "thai khmer lao burmese tibetan chinese japanese korean georgian armenian ethiopic".split()
)
UNSHAPED = {"latin", "greek", "cyrillic", "chinese", "japanese", "korean", "georgian", "armenian", "ethiopic"}
RIGHT_TO_LEFT = {"arabic", "hebrew"}
MARGIN = 2  # pixels around the ink
SIZE_STEP = 4  # pixels between two font sizes, so that few fonts are open
GAP = 0.28  # width of a space that a font lacks, in font sizes
MAX_OPEN = 1536  # fonts; opening one takes milliseconds, because a file is compressed
UNASSIGNED = ("\U0010fffd", "\uffff")  # code points for which every font draws .notdef
PROBE_SIZE = 36  # pixels: a size at which texts are rendered, so that a file is opened once for both
MACHINE_NAMES = re.compile(r"mono|courier|consol|typewriter|cmtt|fixed|terminal|ocr", re.IGNORECASE)
HAND_NAMES = re.compile(r"hand|script|comic|chalk|inkfree|chancery|noteworthy|snell|brush|segoe(pr|sc)", re.IGNORECASE)


class FontStyle(str, enum.Enum):
    """How the letters of a font were made, or look as if they were."""

    PRINT = "print"
    HAND = "hand"
    BRUSH = "brush"
    BLACKLETTER = "blackletter"  # and other old hands: fraktur, uncial
    MACHINE = "machine"  # typewriters, dot matrices, displays, receipts
    BARCODE = "barcode"


class MissingGlyph(ValueError):
    """A face has no glyph for a character of the text."""


@dataclasses.dataclass(frozen=True)
class FontFace:
    """One weight of one family, for one script.

    Characters that ``path`` lacks are drawn from ``companions``, files of the same family with other Unicode ranges.
    ``is_shaped`` is whether Raqm may shape its text, which needs a library of the system and moves Latin letters, too.
    """

    family: str
    script: str
    style: FontStyle
    path: Path
    companions: tuple[Path, ...] = ()
    is_shaped: bool = True


@dataclasses.dataclass(frozen=True, eq=False)  # compared by identity, so that caching does not hash all faces
class FontCatalogue:
    """The faces that render their script on this machine."""

    faces: tuple[FontFace, ...]

    def scripts(self) -> tuple[str, ...]:
        """Return the scripts that at least one face renders, in the order of ``SCRIPTS``."""
        present = {face.script for face in self.faces}
        return tuple(script for script in SCRIPTS if script in present)

    def missing_scripts(self) -> tuple[str, ...]:
        """Return the scripts that no face renders, in the order of ``SCRIPTS``."""
        present = self.scripts()
        return tuple(script for script in SCRIPTS if script not in present)

    @functools.lru_cache(maxsize=256)  # noqa: B019  # a catalogue lives as long as its process
    def select(self, script: str, *styles: FontStyle) -> tuple[FontFace, ...]:
        """Return the faces of a script in one of the styles, or in any, sorted by family and file name."""
        return tuple(face for face in self.faces if face.script == script and (not styles or face.style in styles))

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def digest(self) -> str:
        """Return the digest of names, versions and files, on which generated data depends; not of their folder."""
        lines = sorted(
            f"{face.family}|{face.script}|{face.style.value}|{_identify(path)}"
            for face in self.faces
            for path in (face.path, *face.companions)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _identify(path: Path) -> str:
    """Return what identifies a file on every machine: folder (which has the version), name and size in bytes."""
    return f"{path.parent.name}/{path.name}:{path.stat().st_size}"


def load_catalogue() -> FontCatalogue:
    """Return the fonts that ``COUNTERSIGN_FONTS`` selects.

    ``all`` are the downloaded ones and those of matplotlib, and those of the system if some are not downloaded.
    ``bundled`` are those of matplotlib, for the scripts in ``UNSHAPED``. Raises ``FontError`` for another value.
    """
    return _load_catalogue(font_list.get_font_dir(), font_list.get_selection())


@functools.lru_cache(maxsize=4)
def _load_catalogue(folder: Path, selection: FontSelection) -> FontCatalogue:
    is_bundled = selection is FontSelection.BUNDLED
    packages = () if is_bundled else font_list.load_packages()  # none is missing, so no font of the system is used
    complete = [package for package in packages if font_list.is_complete(package, folder)]
    faces = [face for package in complete for face in _list_package_faces(package, folder / package.folder_name)]
    installed = font_list.list_installed_files(with_system=len(complete) < len(packages))
    faces += [face for path in installed for face in _probe_file(path, is_shaped=not is_bundled)]
    if is_bundled or not _has_raqm():
        faces = [face for face in faces if face.script in UNSHAPED]
    if not is_bundled and not _has_raqm():
        shaped = [script for script in SCRIPTS if script not in UNSHAPED]
        LOG.warning("Pillow has no Raqm (it needs libfribidi0), so these scripts are not drawn: %s", ", ".join(shaped))
    return FontCatalogue(tuple(sorted(faces, key=lambda face: (face.script, face.family, face.path.name))))


def _list_package_faces(package: font_list.FontPackage, folder: Path) -> Iterator[FontFace]:
    for script, subsets in package.subsets.items():
        for variant in package.variants:
            first, *others = (folder / package.format_file_name(subset, variant) for subset in subsets)
            yield FontFace(package.family, script, FontStyle(package.style), first, tuple(others))


def _probe_file(path: Path, is_shaped: bool) -> Iterator[FontFace]:
    """Yield a face for every script whose sample the file renders; none if it is damaged."""
    try:
        family = _open_font(path, PROBE_SIZE, False).getname()[0] or path.stem
        style = FontStyle.MACHINE if MACHINE_NAMES.search(path.stem) else FontStyle.PRINT
        style = FontStyle.HAND if HAND_NAMES.search(path.stem) else style
        for script, sample in font_list.load_samples().items():
            if all(_has_glyph(path, character, is_shaped) for character in sample):
                yield FontFace(family, script, style, path, is_shaped=is_shaped)
    except OSError as error:
        LOG.debug("the font %s is not used: %s", path, error)


def describe_missing(catalogue: FontCatalogue | None = None) -> str:
    """Say which scripts are missing, by default on this machine, and how to get them; an empty text if none is."""
    missing = (catalogue or load_catalogue()).missing_scripts()
    if not missing:
        return ""
    names = ", ".join(missing)
    if font_list.get_selection() is FontSelection.BUNDLED:
        return f"COUNTERSIGN_FONTS=bundled leaves out {len(missing)} of {len(SCRIPTS)} scripts ({names})."
    return f"There are no fonts for {len(missing)} of {len(SCRIPTS)} scripts ({names}); `make fonts` downloads them."


def can_render(face: FontFace, text: str) -> bool:
    """Return whether the face, with its companions, has a glyph for every character; a space or joiner needs none."""
    return all(_find_file(face, character) is not None or _needs_no_glyph(character) for character in text)


def render_text(face: FontFace, text: str, size: int) -> "np.ndarray":
    """Render one line: ``uint8 [h, w]``, 0 no ink to 255 full ink, cropped to the ink with a margin.

    ``size`` is the font size in pixels, rounded to a multiple of ``SIZE_STEP``. Raises ``MissingGlyph``, also for a
    text without ink.
    """
    import numpy as np

    size = max(SIZE_STEP, round(size / SIZE_STEP) * SIZE_STEP)
    runs = _split_runs(face, text)
    parts: list[tuple[np.ndarray, int, int]] = []  # ink, and the position of its left upper corner from the origin
    position = 0.0
    for path, run in reversed(runs) if face.script in RIGHT_TO_LEFT else runs:
        if path is None:
            position += GAP * size * len(run)
            continue
        font = _open_font(path, size, face.is_shaped)
        try:
            mask, (left, top) = font.getmask2(run, "L", anchor="ls")
        except OSError as error:
            raise MissingGlyph(f"FreeType cannot draw a text in {face.family} ({path.name}): {error}") from error
        parts.append((_to_array(mask), round(position) + left, top))
        if len(runs) > 1:
            position += font.getlength(run)
    ink = parts[0][0] if len(parts) == 1 else _compose(parts)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise MissingGlyph(f"{face.family} draws nothing for a text of {len(text)} characters")
    return np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], MARGIN)


def _split_runs(face: FontFace, text: str) -> list[tuple[Path | None, str]]:
    """Divide a text into runs, each with the file that renders it; ``None`` is for spaces that no file has."""
    runs: list[tuple[Path | None, str]] = []
    for character in text:
        current = runs[-1][0] if runs else face.path
        category = unicodedata.category(character)
        if category == "Cf" or (category[0] == "M" and current and _has_glyph(current, character, face.is_shaped)):
            path = current  # a joiner or mark changes the shapes of its run
        else:
            path = _find_file(face, character)
        if path is None and not _needs_no_glyph(character):
            raise MissingGlyph(f"{face.family} ({face.path.name}) has no glyph for U+{ord(character):04X}")
        if runs and runs[-1][0] == path:
            runs[-1] = (path, runs[-1][1] + character)
        else:
            runs.append((path, character))
    return runs


def _find_file(face: FontFace, character: str) -> Path | None:
    """Return the first file of the face that has a glyph for the character."""
    return next((path for path in (face.path, *face.companions) if _has_glyph(path, character, face.is_shaped)), None)


def _needs_no_glyph(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


@functools.lru_cache(maxsize=2**17)
def _has_glyph(path: Path, character: str, is_shaped: bool) -> bool:
    """Return whether a file has a glyph for a character: one that differs from that of unassigned code points.

    Pillow does not show the table of characters, so drawings are compared, each of one character and without shaping.
    Where unassigned code points draw nothing, a mark or space differs from them by its width. A letter without ink must
    have some with shaping, which is how fonts of Nastaliq compose letters, if ``is_shaped`` allows it.
    """
    try:
        drawing = _draw_alone(path, character)
        if drawing in _draw_unassigned(path):
            return False
        if any(drawing[0]) or character.isspace() or unicodedata.category(character)[0] in "MC":
            return True
        return is_shaped and any(_draw_alone(path, character, shaped=True)[0])
    except OSError:  # FreeType cannot execute the hints of this glyph
        return False


@functools.lru_cache(maxsize=4096)
def _draw_unassigned(path: Path) -> tuple[tuple[bytes, float], ...]:
    return tuple(_draw_alone(path, character) for character in UNASSIGNED)


def _draw_alone(path: Path, character: str, shaped: bool = False) -> tuple[bytes, float]:
    """Return the pixels and the width of one character."""
    font = _open_font(path, PROBE_SIZE, shaped)
    return _to_array(font.getmask(character, "L")).tobytes(), font.getlength(character)


@functools.lru_cache(maxsize=MAX_OPEN)
def _open_font(path: Path, size: int, shaped: bool) -> Any:
    """Open a font of Pillow; ``shaped`` uses Raqm where Pillow has it, otherwise glyphs are set side by side."""
    from PIL import ImageFont

    layout = ImageFont.Layout.RAQM if shaped and _has_raqm() else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(path), size, layout_engine=layout)


@functools.cache
def _has_raqm() -> bool:
    from PIL import features

    return bool(features.check("raqm"))


def _to_array(mask: Any) -> "np.ndarray":
    """Convert the mask of a text, an image of Pillow's core, to ``uint8 [h, w]``, which can be empty."""
    import numpy as np
    from PIL import Image

    if 0 in mask.size:
        return np.zeros((0, 0), np.uint8)
    image = Image.new("L", mask.size)
    image.im.paste(mask, (0, 0, *mask.size))
    return np.asarray(image)


def _compose(parts: "list[tuple[np.ndarray, int, int]]") -> "np.ndarray":
    """Draw the inks of several runs, each at its position, on one baseline."""
    import numpy as np

    left, top = min((x for _, x, _ in parts), default=0), min((y for _, _, y in parts), default=0)
    right = max((x + ink.shape[1] for ink, x, _ in parts), default=0)
    bottom = max((y + ink.shape[0] for ink, _, y in parts), default=0)
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    for ink, x, y in parts:
        area = canvas[y - top : y - top + ink.shape[0], x - left : x - left + ink.shape[1]]
        np.maximum(area, ink, out=area)
    return canvas
