"""An audit's content as tables and sentences, for reports, terminals and the page."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Table(NamedTuple):
    """``rows`` of texts, as many in each as there are ``columns``; ``note`` says how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


def tables(content: dict[str, Any]) -> list[Table]:
    """What was read, each label, and what shortcuts there are; empty ones left out."""
    found = [_sources(content["sources"]), _labels(content["labels"]), _leaks(content["leak"])]
    return [table for table in found if table.rows]


def markdown(content: dict[str, Any]) -> Iterator[str]:
    """Lines of Markdown."""
    for table in tables(content):
        yield from (table.note, "") if table.note else ()
        yield f"| {' | '.join(table.columns)} |"
        yield "|" + "---|" * len(table.columns)
        yield from (f"| {' | '.join(row)} |" for row in table.rows)
        yield ""
    found = content["duplicates"]
    crossing = ", ".join(f"{count} across {what}s" for what, count in found["across"].items())
    yield from (f"Copies: {found['exact']} exact, {found['near']} near; images with copies: {crossing}.", "")
    for finding in content["findings"]:
        yield f"- **{finding['severity']}** `{finding['code']}`: {finding['message']}"
    if not content["findings"]:
        yield "Nothing was found that would make numbers untrue."


def _sources(sources: list[dict[str, Any]]) -> Table:
    columns = ("source", "layout", "images", "labels", "writers")
    return Table(
        "What was read",
        columns,
        [(e["of"], e["layout"], str(e["images"]), _counts(e["labels"]), str(e["writers"])) for e in sources],
    )


def _labels(labels: dict[str, Any]) -> Table:
    columns = ("label", "images", "refused", "writers", "of a writer", "width", "height", "kinds of files", "warnings")
    rows = [
        (
            label,
            *(str(entry[name]) for name in ("images", "refused", "writers")),
            *(_spread(entry[name]) for name in ("per_writer", "width", "height")),
            *(_counts(entry[name]) for name in ("kinds", "warnings")),
        )
        for label, entry in labels.items()
    ]
    return Table("Each label", columns, rows)


def _leaks(leaks: list[dict[str, Any]]) -> Table:
    return Table(
        "What trivial features tell",
        ("of", "labels", "raw files", "after imaging"),
        [(e["of"], ", ".join(e["labels"]), _probe(e["before"]), _probe(e["after"])) for e in leaks],
        "What trivial features tell about the labels of unseen writers, as area under the ROC curve with its 95 % "
        "interval (0.5 is nothing, 1 is everything):",
    )


def _probe(probed: dict[str, Any] | None) -> str:
    if probed is None:
        return "too few writers"
    interval = f"{probed['auc']:.3f} ({probed['low']:.3f} to {probed['high']:.3f}), {probed['verdict']}"
    return f"{interval}: {probed['culprit']}" if probed["verdict"] == "leak" else interval


def _spread(spread: dict[str, int] | None) -> str:
    return f"{spread['least']} to {spread['most']}, median {spread['median']}" if spread else "unknown"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
