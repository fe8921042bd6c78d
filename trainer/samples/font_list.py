"""The list of fonts, ``fonts.json``: families, scripts, licences and files, and which of them this machine has.

Next: ``font_download.py``, which downloads them, and ``fonts.py``, which draws text with them.
"""

import dataclasses
import enum
import functools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.console.errors import UserError
from trainer.storage.cache import get_cache_dir

LIST_PATH = Path(__file__).with_name("fonts.json")
LICENSES = ("OFL-1.1", "Apache-2.0")
SCOPE = "@fontsource"
NO_TEXT = re.compile(  # names of fonts without letters, or with the same box for all
    r"^cm(b|ex|mi|sy)|STIX(Non|Siz)|Display|symbol|dings|emoji|icon|awesome|math|LastResort|Blank", re.IGNORECASE
)


class FontError(UserError):
    """A package of fonts cannot be downloaded or must not be used, or ``COUNTERSIGN_FONTS`` has no such value."""


class FontSelection(str, enum.Enum):
    """Which fonts generated images are made with: a value of ``COUNTERSIGN_FONTS``."""

    ALL = "all"  # downloaded ones, those of matplotlib, and those of the system if some are not downloaded
    BUNDLED = "bundled"  # those of matplotlib, for scripts that need no shaping: the same on every machine


@dataclasses.dataclass(frozen=True)
class FontPackage:
    """One package of the list.

    ``subsets`` are the names of its files for each script, the most important one first: a font is divided by Unicode
    ranges, and digits are often in ``latin`` alone. ``variants`` are weight and slope, as ``400-normal``.
    """

    name: str
    family: str
    style: str
    version: str
    license: str
    integrity: str  # ``sha512-`` and the digest of the tarball in base64
    variants: tuple[str, ...]
    subsets: Mapping[str, tuple[str, ...]]

    @property
    def folder_name(self) -> str:
        """Return the name of its folder in the cache, which holds exactly this version."""
        return f"{self.name}-{self.version}"

    @property
    def requirement(self) -> str:
        """Return name and version as npm takes them."""
        return f"{SCOPE}/{self.name}@{self.version}"

    @property
    def tarball_name(self) -> str:
        """Return the file name that ``npm pack`` gives the package."""
        return f"{SCOPE.removeprefix('@')}-{self.name}-{self.version}.tgz"

    def format_file_name(self, subset: str, variant: str) -> str:
        """Return the name of a file, which is the same in the tarball and in the cache."""
        return f"{self.name}-{subset}-{variant}.woff2"

    def list_file_names(self) -> list[str]:
        """Return the names of all files that the list needs, sorted."""
        subsets = {subset for names in self.subsets.values() for subset in names}
        return sorted(self.format_file_name(subset, variant) for subset in subsets for variant in self.variants)


def get_font_dir() -> Path:
    """Return the folder of the downloaded fonts, which need not exist."""
    return get_cache_dir() / "fonts"


def get_selection() -> FontSelection:
    """Return the fonts that ``COUNTERSIGN_FONTS`` selects. Raises ``FontError`` if it is no ``FontSelection``."""
    value = os.environ.get("COUNTERSIGN_FONTS") or FontSelection.ALL.value
    if value not in [selection.value for selection in FontSelection]:
        choices = " or ".join(f"'{selection.value}'" for selection in FontSelection)
        raise FontError(f"COUNTERSIGN_FONTS is {value!r}; it has to be {choices}")
    return FontSelection(value)


@functools.lru_cache(maxsize=4)
def load_packages(path: Path = LIST_PATH) -> tuple[FontPackage, ...]:
    """Read the list. Raises ``FontError`` for a licence that is not in ``LICENSES``."""
    entries = json.loads(path.read_text(encoding="utf-8"))["packages"]
    packages = tuple(_parse_package(entry) for entry in entries)
    for package in packages:
        check_license(package, package.license)
    return packages


@functools.cache
def load_samples() -> dict[str, str]:
    """Return for every script the characters that a face of it must have."""
    return json.loads(LIST_PATH.read_text(encoding="utf-8"))["samples"]


def _parse_package(entry: dict[str, Any]) -> FontPackage:
    subsets = {script: tuple(names) for script, names in entry["subsets"].items()}
    return FontPackage(**{**entry, "variants": tuple(entry["variants"]), "subsets": subsets})


def list_installed_files(with_system: bool) -> list[Path]:
    """List the font files of matplotlib, and of the system's folders, except fonts of symbols; each name once."""
    import matplotlib

    folders = [Path(matplotlib.get_data_path()) / "fonts" / "ttf"]
    if with_system:
        windows = Path(os.environ.get("WINDIR", "C:\\Windows")) / "Fonts"
        system = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "/System/Library/Fonts")
        folders += [*map(Path, system), Path.home() / ".local/share/fonts", Path.home() / "Library/Fonts", windows]
    files: dict[str, Path] = {}  # by name: a system often has the fonts of matplotlib, too
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.suffix.lower() in (".ttf", ".otf", ".ttc") and not NO_TEXT.search(path.stem):
                files.setdefault(path.stem.lower(), path)
    return list(files.values())


def is_complete(package: FontPackage, folder: Path) -> bool:
    """Return whether every needed file of this version is in the cache; a folder gets its name when it is whole."""
    return all((folder / package.folder_name / name).is_file() for name in package.list_file_names())


def check_license(package: FontPackage, license: object) -> None:
    """Raise ``FontError`` for a licence that is not in ``LICENSES``."""
    if license not in LICENSES:
        raise FontError(
            f"{package.requirement} is under the licence {license!r}; only fonts under {' or '.join(LICENSES)} are used"
        )
