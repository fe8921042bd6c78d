"""An audit as one HTML page: findings, tables, and contact sheets of duplicates, refused images and warnings.

The page contains images of the data, so it is written only where the caller asks for it. It needs no network. Next:
``report.html``, the template.
"""

import base64
import functools
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import jinja2
import numpy as np
from PIL import Image

from trainer.audit import render
from trainer.corpora import Sample
from trainer.data.image_index import ImageIndex
from trainer.imaging import ImageError, decode

THUMBNAIL_SIZE = (220, 110)  # width and height in pixels at most
MAX_FIGURES = 60  # in a section


class Picture(NamedTuple):
    """A thumbnail: its alternative text, and the bytes of a PNG file as base64."""

    name: str
    base64: str


class Figure(NamedTuple):
    """Pictures with one caption."""

    pictures: list[Picture]
    caption: str


class Section(NamedTuple):
    """A contact sheet: ``total`` images or pairs in all, of which ``figures`` are shown."""

    title: str
    total: int
    figures: Iterator[Figure]


def render_html(index: ImageIndex, content: dict[str, Any]) -> str:
    """Return the whole page for the index and the content of its audit."""
    return _load_template().render(
        content=content,
        tables=render.build_tables(content),
        sections=[section for section in _build_sections(index, content) if section.total],
        max_figures=MAX_FIGURES,
    )


@functools.lru_cache(maxsize=1)
def _load_template() -> jinja2.Template:
    # File names, labels and messages come from the data: everything is escaped.
    loader = jinja2.PackageLoader("trainer.audit", "")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("report.html")


def _build_sections(index: ImageIndex, content: dict[str, Any]) -> Iterator[Section]:
    duplicates = content["duplicates"]
    pairs = (_build_pair_figure(index, pair) for pair in duplicates["pairs"][:MAX_FIGURES])
    yield Section("Duplicates", duplicates["exact"] + duplicates["near"], pairs)
    rejected = index.list_rejected()
    refused = (_build_figure(index.samples[number], None, reason) for number, reason in rejected[:MAX_FIGURES])
    yield Section("Refused", len(rejected), refused)
    properties = index.properties
    quality = np.where([not reason for reason in properties.rejection_reasons], properties.quality, 1)
    worst_first = [int(number) for number in np.argsort(quality, kind="stable") if quality[number] < 1]
    odd = (
        _build_figure(index.samples[n], index.read_comparison_image(n), properties.warnings[n].replace(" ", ", "))
        for n in worst_first[:MAX_FIGURES]
    )
    yield Section("Odd", len(worst_first), odd)


def _build_pair_figure(index: ImageIndex, pair: dict[str, Any]) -> Figure:
    pictures = [
        picture
        for number, name in zip(pair["indices"], pair["images"], strict=True)
        for picture in _build_pictures(_read_grey(index.samples[number]), name)
    ]
    differences = f", across {' and '.join(pair['differs_in'])}" if pair["differs_in"] else ""
    return Figure(pictures, f"{' and '.join(pair['images'])}: {pair['correlation']:.3f}{differences}")


def _build_figure(sample: Sample, ink: np.ndarray | None, remark: str) -> Figure:
    """A figure of a file and, if any, of its ink ``uint8 [h, w]``."""
    name = f"{sample.corpus_id}/{sample.name}"
    pictures = _build_pictures(_read_grey(sample), name)
    pictures += _build_pictures(None if ink is None else 255 - ink, f"the ink of {name}")
    return Figure(pictures, f"{name}: {remark}")


def _read_grey(sample: Sample) -> np.ndarray | None:
    """Read the grey levels of a file, ``uint8 [h, w]``; ``None`` if it cannot be decoded."""
    try:
        return decode(sample.path.read_bytes()).grey
    except (ImageError, OSError):
        return None


def _build_pictures(grey: np.ndarray | None, name: str) -> list[Picture]:
    """The thumbnail of an image ``uint8 [h, w]``, or no picture without an image."""
    if grey is None:
        return []
    thumbnail = Image.fromarray(grey)
    thumbnail.thumbnail(THUMBNAIL_SIZE)
    buffer = io.BytesIO()
    thumbnail.save(buffer, "PNG")
    return [Picture(name, base64.b64encode(buffer.getvalue()).decode())]
