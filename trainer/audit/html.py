"""An audit as one HTML page for people: findings, tables, and contact sheets of what is copied, refused or odd.

The page holds pictures of the data itself, so it goes only where its maker puts it. Works offline, light and dark.
"""

import base64
import html
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from trainer.audit import render
from trainer.audit.finding import DOUBTFUL, NOTE, UNTRUE
from trainer.corpora import Sample
from trainer.data.image_index import Survey
from trainer.imaging import ImageError, decode

THUMB = (220, 110)  # pixels at most
MOST = 60  # pictures of a kind
MARKS = {UNTRUE: "makes numbers untrue", DOUBTFUL: "doubtful", NOTE: "worth knowing"}
STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.finding { border-left: .4rem solid var(--line); padding: .1rem 1rem; margin: .8rem 0; }
.untrue { border-color: #d33; } .doubtful { border-color: #d90; } .note { border-color: #39c; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .4rem; padding: .5rem; overflow-wrap: anywhere; }
figure img { display: block; max-width: 100%; background: #fff; margin-bottom: .3rem; }
figcaption { font-size: .85rem; }
"""


def write(look: Survey, content: dict[str, Any]) -> str:
    """The whole page."""
    body = "\n".join([*_findings(content), *_tables(content), *_sheets(look, content)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Audit of {content['images']} images</title><style>{STYLE}</style></head>\n"
        f"<body><h1>Audit of {content['images']:,} images</h1>\n{body}\n</body></html>\n"
    )


def _findings(content: dict[str, Any]) -> Iterator[str]:
    if not content["findings"]:
        yield "<p>Nothing was found that would make numbers untrue.</p>"
    for finding in content["findings"]:
        mark = f"<strong>{MARKS[finding['severity']]}</strong> <code>{finding['code']}</code>"
        yield f'<div class="finding {finding["severity"]}">{mark}<br>{html.escape(finding["message"])}</div>'


def _tables(content: dict[str, Any]) -> Iterator[str]:
    for table in render.tables(content):
        head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
        lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in table.rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        rows = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
        yield f'<h2>{table.title}</h2>{note}<div class="wide">{rows}</div>'


def _sheets(look: Survey, content: dict[str, Any]) -> Iterator[str]:
    copies = content["duplicates"]
    yield from _sheet("Copies", copies["exact"] + copies["near"], (_pair(look, p) for p in copies["pairs"][:MOST]))
    refused = look.refused()
    yield from _sheet("Refused", len(refused), (_one(look.samples[n], None, why) for n, why in refused[:MOST]))
    quality = np.where([not reason for reason in look.facts.refused], look.facts.quality, 1)
    odd = [int(number) for number in np.argsort(quality, kind="stable") if quality[number] < 1]
    shown = (_one(look.samples[n], look.compared(n), look.facts.warnings[n].replace(" ", ", ")) for n in odd[:MOST])
    yield from _sheet("Odd", len(odd), shown)


def _sheet(title: str, count: int, figures: Iterator[str]) -> Iterator[str]:
    if count:
        shown = f"{count:,} in all" + (f", {MOST} shown" if count > MOST else "")
        yield f'<h2>{title}</h2><p>{shown}</p><div class="sheet">{"".join(figures)}</div>'


def _pair(look: Survey, pair: dict[str, Any]) -> str:
    pictures = "".join(_picture(_file(look.samples[number]), name) for number, name in _named(pair))
    crosses = f", across {' and '.join(pair['crosses'])}" if pair["crosses"] else ""
    caption = f"{' and '.join(pair['images'])}: {pair['likeness']:.3f}{crosses}"
    return f"<figure>{pictures}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _named(pair: dict[str, Any]) -> Iterator[tuple[int, str]]:
    return zip(pair["numbers"], pair["images"], strict=True)


def _one(sample: Sample, ink: np.ndarray | None, remark: str) -> str:
    name = f"{sample.origin}/{sample.name}"
    pictures = _picture(_file(sample), name) + (_picture(255 - ink, f"the ink of {name}") if ink is not None else "")
    return f"<figure>{pictures}<figcaption>{html.escape(f'{name}: {remark}')}</figcaption></figure>"


def _file(sample: Sample) -> np.ndarray | None:
    """The image as it is in its file, in grey, or nothing when it cannot be decoded."""
    try:
        return decode(sample.path.read_bytes()).grey
    except (ImageError, OSError):
        return None


def _picture(grey: np.ndarray | None, name: str) -> str:
    if grey is None:
        return ""
    small = Image.fromarray(grey)
    small.thumbnail(THUMB)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
