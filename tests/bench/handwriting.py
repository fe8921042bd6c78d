"""``python -m tests.bench.handwriting [--data FOLDER] [--count N]``: is generated handwriting like that of people?

Prints what differs most between real and generated signatures and words, then quantiles of every feature by source, as
Markdown. Pen movement is measured where recordings exist. Two minutes on 2 cores. ``GENERATED`` holds what is
measured of the generator. Next: ``handwriting_features.py`` and ``handwriting_movement.py``, the features.
"""

import argparse
import concurrent.futures
import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from tests.bench import handwriting_features, handwriting_movement
from trainer.generators.signatures import generate_image
from trainer.imaging import ImageError

SEED = 20260
QUANTILES = (5, 25, 50, 75, 95)
SUFFIXES = (".png", ".jpg", ".tif")
REAL_SIGNATURES = ("cedar", "sigcomp2011", "svc2004", "sigcomp2009_nisdcc", "sigcomp2009_nfi", "kaggle_names")
REAL_TEXT = ("receipts", "arabic_handwriting", "english_handwriting", "german_handwriting")
FORGED_NAME = re.compile(r"(?:NFI-)?(\d{3})(?:\d\d)?(\d{3})(?:_\d+)?")  # by whom, of whom
Images = Iterator[tuple[str, bytes]]  # the writer and the file
Features = dict[str, np.ndarray]  # values of all images or recordings of a source, by feature


@dataclasses.dataclass(frozen=True)
class Source:
    """Images of one origin; sources of one ``group`` are pooled, an empty group is printed only."""

    name: str
    group: str
    read: Callable[[int], Images]


@dataclasses.dataclass(frozen=True)
class Measured:
    """The features of the images of a source, and who wrote them."""

    name: str
    group: str
    writers: np.ndarray
    features: Features


@dataclasses.dataclass(frozen=True)
class Files:
    """The images below a folder, genuine or forged, in a fixed random order."""

    folder: Path
    is_forged: bool = False

    def __call__(self, count: int) -> Images:
        """Read up to ``count`` images."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.suffix in SUFFIXES]
        paths = [path for path in paths if _is_forged(path) == self.is_forged]
        for index in np.random.default_rng(SEED).permutation(len(paths))[:count]:
            name = FORGED_NAME.fullmatch(paths[index].stem)
            yield name[2] if name else paths[index].parent.name, paths[index].read_bytes()


@dataclasses.dataclass(frozen=True)
class Generated:
    """Images of the generator of one kind, two by each writer."""

    kind: str

    def __call__(self, count: int) -> Images:
        """Generate ``count`` images."""
        for index in range(count):
            writer, number = divmod(index, 2)
            yield str(writer), generate_image(SEED, writer, self.kind, number)[0]


# By name: the group, and how to make images. Add a kind of the generator or another generator here.
GENERATED: dict[str, tuple[str, Callable[[int], Images]]] = {
    "generated genuine": ("generated signature", Generated("genuine")),
    "generated forged": ("generated forgery", Generated("forged")),
    "generated text": ("generated text", Generated("text")),
}


def main() -> None:
    """Measure all sources and print the tables."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora (%(default)s)")
    flags.add_argument("--count", type=int, default=150, help="images of each source (%(default)s)")
    options = flags.parse_args()
    sources = find_sources(options.data)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        measured = list(pool.map(measure, sources, itertools.repeat(options.count)))
    print(f"# Handwriting: {sum(len(each.writers) for each in measured)} images\n")
    _print_image_distances(measured)
    _print_quantiles("Images", {each.name: each.features for each in measured})
    _print_movement(options.data / "trajectories", options.count)


def find_sources(data: Path) -> list[Source]:
    """Find the sources: real ones below ``data``, and ``GENERATED``."""
    sources = [Source(name, "real signature", Files(data / name)) for name in REAL_SIGNATURES]
    sources += [Source(name, "real text", Files(data / "text" / name)) for name in REAL_TEXT]
    sources += [Source(name, "", Files(data / name)) for name in ("chinese_names", "gpds_synthetic")]
    for name in (*REAL_SIGNATURES, "gpds_synthetic"):
        group = "real forgery" if name in REAL_SIGNATURES else ""
        sources.append(Source(f"{name} forged", group, Files(data / name, is_forged=True)))
    sources = [source for source in sources if next(source.read(1), None)]
    return sources + [Source(name, group, images) for name, (group, images) in GENERATED.items()]


def measure(source: Source, count: int) -> Measured:
    """Measure up to ``count`` images of a source; images without ink are left out."""
    writers, rows = [], []
    for writer, data in source.read(count):
        try:
            rows.append(handwriting_features.compute_features(data))
        except ImageError:
            continue
        writers.append(writer)
    return Measured(source.name, source.group, np.array(writers), _to_columns(rows))


def compute_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Kolmogorov-Smirnov statistic: the largest difference of the two shares below a value, 0 to 1."""
    a, b = (np.sort(values[np.isfinite(values)]) for values in (first, second))
    if not (len(a) and len(b)):
        return float("nan")
    at = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


def compute_shift(first: np.ndarray, second: np.ndarray) -> float:
    """Compute how much more often a value of ``second`` is larger than smaller: Cliff's delta, -1 to 1."""
    return float(np.nanmean(np.sign(second[None] - first[:, None])))


def compute_own_share(values: np.ndarray, writers: np.ndarray) -> float:
    """Compute the variance of the ranks of values around those of their writer, as a share of their variance."""
    known = np.isfinite(values)
    ranks = stats.rankdata(values[known])
    own = [ranks[writers[known] == writer] for writer in np.unique(writers[known])]
    own = [each for each in own if len(each) > 1]
    if not own or ranks.std() == 0:
        return float("nan")
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in own) / sum(len(each) - 1 for each in own)
    return within / float(ranks.var())


def _is_forged(path: Path) -> bool:
    name = FORGED_NAME.fullmatch(path.stem)
    return path.parent.name.endswith("_forg") or (name is not None and name[1] != name[2])


def _to_columns(rows: Sequence[Mapping[str, float]]) -> Features:
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def _pool(features: Sequence[Features]) -> Features:
    return {name: np.concatenate([each[name] for each in features]) for name in features[0]}


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _print_image_distances(measured: list[Measured]) -> None:
    """Print the distances between groups, largest first, the variation of a writer, and what forgeries change."""
    groups: dict[str, dict[str, Features]] = {}
    for each in measured:
        groups.setdefault(each.group, {})[each.name] = each.features
    for first, second in (
        ("real signature", "generated signature"),
        ("real text", "generated text"),
        ("real signature", "real text"),
        ("generated signature", "generated text"),
    ):
        if first in groups and second in groups:
            _print_distances(first, second, groups)
    pairs = [
        (groups["real signature"][n.removesuffix(" forged")], f) for n, f in groups.get("real forgery", {}).items()
    ]
    if pairs and {"generated signature", "generated forgery"} <= set(groups):
        generated = (_pool([*groups[group].values()]) for group in ("generated signature", "generated forgery"))
        _print_variation(measured)
        _print_forgeries(pairs, *generated)


def _print_distances(first: str, second: str, groups: Mapping[str, Mapping[str, Features]]) -> None:
    a, b = (_pool([*groups[group].values()]) for group in (first, second))
    print(f"## {first} and {second}\n")
    print(f"`among` is the median distance of one source of {first} to the others.\n")
    print(f"| feature | distance | among | {first} 5 / 50 / 95 % | {second} 5 / 50 / 95 % |\n|---|---|---|---|---|")
    rows = []
    for name in a:
        among = [
            compute_distance(values[name], np.concatenate([f[name] for s, f in groups[first].items() if s != source]))
            for source, values in groups[first].items()
            if len(groups[first]) > 1
        ]
        rows.append((compute_distance(a[name], b[name]), _median(among), name))
    for distance, among_sources, name in sorted(rows, reverse=True):
        cells = (" / ".join(_format(np.nanpercentile(f[name], q)) for q in (5, 50, 95)) for f in (a, b))
        print(f"| {name} | {distance:.2f} | {among_sources:.2f} | {' | '.join(cells)} |")
    print()


def _print_variation(measured: list[Measured]) -> None:
    """Print the share of a feature's variance that is within writers: the median of real sources, and generated."""
    print("## one writer\n\nVariance within writers as a share of that of the source; real is the median of sources.\n")
    print("| feature | real | real, by source | generated |\n|---|---|---|---|")
    real = [each for each in measured if each.group == "real signature"]
    generated = [each for each in measured if each.group == "generated signature"]
    rows = []
    for name in real[0].features:
        shares = [compute_own_share(each.features[name], each.writers) for each in real]
        made = _median([compute_own_share(each.features[name], each.writers) for each in generated])
        rows.append((_median(shares), shares, made, name))
    for median, shares, made, name in sorted(rows, key=lambda row: -abs(row[0] - row[2])):
        print(f"| {name} | {median:.2f} | {' '.join(f'{share:.2f}' for share in shares)} | {made:.2f} |")
    print()


def _print_forgeries(
    pairs: Sequence[tuple[Features, Features]], generated_genuine: Features, generated_forged: Features
) -> None:
    """Print the shift from genuine signatures to forgeries: within each real source, and of the generator."""
    print("## genuine and forged\n\nShift (Cliff's delta, -1 to 1) from genuine to forged: mean of real sources.\n")
    print("| feature | real, mean | real, by source | generated |\n|---|---|---|---|")
    rows = []
    for name in generated_genuine:
        shifts = [compute_shift(genuine[name], forged[name]) for genuine, forged in pairs]
        rows.append((float(np.mean(shifts)), shifts, name))
    for mean, shifts, name in sorted(rows, key=lambda row: -abs(row[0])):
        shift = compute_shift(generated_genuine[name], generated_forged[name])
        print(f"| {name} | {mean:+.2f} | {' '.join(f'{s:+.2f}' for s in shifts)} | {shift:+.2f} |")
    print()


def _print_quantiles(title: str, by_source: Mapping[str, Features]) -> None:
    """Print the quantiles of every feature, a line for each source."""
    header = f"| | {' | '.join(f'{q} %' for q in QUANTILES)} |\n|---|{'---|' * len(QUANTILES)}"
    print(f"## {title}\n")
    for name in next(iter(by_source.values())):
        print(f"### {name}\n\n{header}")
        for source, features in by_source.items():
            values = features[name][np.isfinite(features[name])]
            if len(values):
                print(f"| {source} | {' | '.join(map(_format, np.percentile(values, QUANTILES)))} |")
        print()


def _format(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _print_movement(folder: Path, count: int) -> None:
    """Print features of pen movement, the variation of a writer, and forgeries relative to their writer."""
    sets = {
        **handwriting_movement.read_recordings(folder, count),
        "generated": handwriting_movement.generate_recordings(max(4, count // 5), SEED),
    }
    features: dict[str, Features] = {}
    ratios: dict[str, Features] = {}
    pairs: dict[str, Features] = {}
    for name, writers in sets.items():
        for kind in ("genuine", "forged"):
            rows, relative, compared = [], [], []
            for genuine, forged in writers:
                own = [handwriting_movement.compute_features(recording) for recording in genuine]
                typical = {key: _median([row[key] for row in own]) for key in own[0]}
                these = own if kind == "genuine" else [handwriting_movement.compute_features(each) for each in forged]
                rows += these
                relative += [{key: row[key] / value for key, value in typical.items()} for row in these]
                others = genuine[1:] if kind == "genuine" else forged
                compared += [handwriting_movement.compare(a, b) for a, b in zip(genuine, others, strict=False)]
            if rows:
                features[f"{name} {kind}"] = _to_columns(rows)
                ratios[f"{name} {kind}"] = _to_columns(relative)
                pairs[f"{name} {kind}"] = _to_columns(compared)
    _print_quantiles("Movement", features)
    _print_quantiles("Movement, relative to the median of the writer's genuine signatures", ratios)
    _print_quantiles("Two signatures: genuine and genuine, or genuine and forged", pairs)


if __name__ == "__main__":
    main()
