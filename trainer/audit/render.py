"""Render the content of an audit as tables and sentences, for reports, terminals and the HTML page.

Next: ``html_report.py``, which adds images; ``evaluation/report.py``, which adds the text to a report.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

_PLURALS = {"split": "splits", "label": "labels", "writer": "writers", "corpus": "corpora"}


class Table(NamedTuple):
    """``rows`` of texts, as many in each as there are ``columns``; ``note`` explains how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


def build_tables(content: dict[str, Any]) -> list[Table]:
    """Return the tables of corpora, labels and leaks that have rows."""
    tables = [
        _tabulate_corpora(content["sources"]),
        _tabulate_labels(content["labels"]),
        _tabulate_leaks(content["leak"]),
    ]
    return [table for table in tables if table.rows]


def render_markdown(content: dict[str, Any]) -> Iterator[str]:
    """Yield lines of Markdown."""
    for table in build_tables(content):
        yield from (table.note, "") if table.note else ()
        yield f"| {' | '.join(table.columns)} |"
        yield "|" + "---|" * len(table.columns)
        yield from (f"| {' | '.join(row)} |" for row in table.rows)
        yield ""
    duplicates = content["duplicates"]
    across = ", ".join(f"{count} across {_PLURALS[field]}" for field, count in duplicates["across"].items())
    counts = f"{duplicates['exact']} exact, {duplicates['near']} near"
    yield from (f"Duplicates: {counts}; images with duplicates: {across}.", "")
    for finding in content["findings"]:
        yield f"- **{finding['severity']}** `{finding['code']}`: {finding['message']}"
    if not content["findings"]:
        yield "Nothing was found that would make numbers untrue."


def _tabulate_corpora(corpora: list[dict[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            corpus["corpus_id"],
            corpus["layout"],
            str(corpus["images"]),
            _format_counts(corpus["labels"]),
            str(corpus["writers"]),
        )
        for corpus in corpora
    ]
    return Table("Corpora", ("corpus", "layout", "images", "labels", "writers"), rows)


def _tabulate_labels(labels: dict[str, Any]) -> Table:
    columns = ("label", "images", "refused", "writers", "images of a writer", "width", "height")
    rows = [
        (
            label,
            *(str(entry[name]) for name in ("images", "refused", "writers")),
            *(_format_range(entry[name]) for name in ("images_per_writer", "width", "height")),
            *(_format_counts(entry[name]) for name in ("file_formats", "warnings")),
        )
        for label, entry in labels.items()
    ]
    return Table("Labels", (*columns, "file formats", "warnings"), rows)


def _tabulate_leaks(leaks: list[dict[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = [
        (leak["corpus_id"], ", ".join(leak["labels"]), _format_probe(leak["raw"]), _format_probe(leak["canonical"]))
        for leak in leaks
    ]
    note = (
        "How well trivial features separate the labels of unseen writers: area under the ROC curve with its 95 % "
        "interval (0.5 is chance, 1 is perfect):"
    )
    return Table("Leaks", ("corpus", "labels", "raw files", "after imaging"), rows, note)


def _format_probe(result: dict[str, Any] | None) -> str:
    if result is None:
        return "too few writers"
    interval = f"{result['auc']:.3f} ({result['low']:.3f} to {result['high']:.3f}), {result['verdict']}"
    return f"{interval}: {result['dominant_feature']}" if result["verdict"] == "leak" else interval


def _format_range(spread: dict[str, int] | None) -> str:
    return f"{spread['min']} to {spread['max']}, median {spread['median']}" if spread else "unknown"


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
