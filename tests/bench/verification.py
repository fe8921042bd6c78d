"""``python -m tests.bench.verification [--data FOLDER] [RUN ...]``: how good is the verifier on unseen writers?

Trains with the public command and the problem's defaults, on public corpora in one folder: run ``a`` sets aside writers
of every corpus; ``b-NAME`` leaves a whole corpus out and tests on it; ``all`` sets 5 % aside for a rough check and is
what ``ready:same_writer`` is. Copies of handwriting of other people are trained on as well. Prints equal error rates of
the exported artefacts, from the original image files, as means over the seeds, and what a stored false acceptance rate
of 1 % is on these writers. ``--measurements`` writes the numbers for a model card. Complete runs are not trained again.
About a quarter of an hour for each training on two idle cores. Next: ``trainer/ready/recipes/same_writer.toml``.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.artifact.card import Measurement

TEST_CORPORA = ("cedar", "sigcomp2011", "svc2004")
TRAINING_CORPORA = ("sigcomp2009_nisdcc", "sigcomp2009_nfi")  # not tested on
HANDWRITING = ("chinese_names", "text/arabic_handwriting", "text/english_handwriting", "text/german_handwriting")
ALL = "all"
RUNS = ("a", *(f"b-{name}" for name in TEST_CORPORA))
RECIPE = Path("trainer/ready/recipes/same_writer.toml")
TEST_FRACTION = 0.3
COUNTS = ("1", "5", "10")  # of references
STORED_RATE = "0.01"
RELATIONS = {"a": "other writers of a training source", "b": "none"}  # of what is measured to the training, by run

Reports = dict[str, list[dict[str, Any]]]  # by run: the ``verification`` of the report of each seed


def main() -> None:
    """Train the requested runs, then print the table of all runs that are complete."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument(
        "runs",
        nargs="*",
        default=list(RUNS),
        metavar="RUN",
        help=f"of {', '.join(RUNS)}, {ALL}; by default all but the last",
    )
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora (%(default)s)")
    flags.add_argument("--out", type=Path, default=Path("runs/verification"), help="folder of job dirs (%(default)s)")
    flags.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9], help="of the trainings (%(default)s)")
    flags.add_argument("--flags", default="", help="more flags of trainer.task, in one word")
    flags.add_argument("--measurements", type=Path, help="write the rates to this file, for python -m trainer.ready")
    options = flags.parse_args()
    for seed in options.seeds:
        for run in options.runs:
            start = time.monotonic()
            subprocess.run(_make_command(run, seed, options), check=True)
            print(f"{run}, seed {seed}: {(time.monotonic() - start) / 60:.1f} min", flush=True)
    runs = [run for run in dict.fromkeys([*RUNS, *options.runs]) if run != ALL]  # b-NAME may name any folder of --data
    job_dirs = {run: [options.out / f"{run}-{seed}" for seed in options.seeds] for run in runs}
    job_dirs = {run: list(filter(_is_complete, folders)) for run, folders in job_dirs.items()}
    reports = {run: [_read_report(folder) for folder in folders] for run, folders in job_dirs.items() if folders}
    _print_error_rates(reports)
    _print_stored_rates(reports)
    _print_facts(reports, job_dirs)
    if options.measurements:
        rows = [dataclasses.asdict(row) for run, each in reports.items() for row in _describe_rates(run, each)]
        options.measurements.write_text(json.dumps(rows, indent=1) + "\n")


def _make_command(run: str, seed: int, options: argparse.Namespace) -> list[str]:
    left_out = run.removeprefix("b-") if run.startswith("b-") else None
    trained_on = [name for name in (*TEST_CORPORA, *TRAINING_CORPORA) if name != left_out]
    job_dir = str(options.out / f"{run}-{seed}")
    command = [sys.executable, "-m", "trainer.task", "--config", str(RECIPE), "--job-dir", job_dir, "--seed", str(seed)]
    command += [word for name in trained_on for word in ("--train-dir", str(options.data / name))]
    command += [word for name in HANDWRITING if name != left_out for word in ("--copies-dir", str(options.data / name))]
    if left_out:
        command += ["--test-dir", str(options.data / left_out)]
    elif run != ALL:
        command += ["--test-fraction", str(TEST_FRACTION)]
    return [*command, *options.flags.split()]


def _is_complete(job_dir: Path) -> bool:
    return all((job_dir / name).is_file() for name in ("report/report.json", "model/manifest.json"))


def _read_report(job_dir: Path) -> dict[str, Any]:
    return json.loads((job_dir / "report" / "report.json").read_text())["verification"]


def _print_stored_rates(reports: Reports) -> None:
    """Print what a stored false acceptance rate of 1 % is on these writers, by number of references."""
    print(f"\nwith the stored threshold of 1 %, by references {', '.join(COUNTS)}, in %:")
    for run, rows in reports.items():
        for name, rate in (("FAR skilled", "far_skilled"), ("FAR random", "far_random"), ("FRR", "frr")):
            rates = [_mean(row["references"][n]["thresholds"][STORED_RATE][rate] for row in rows) for n in COUNTS]
            print(f"{run:22} {name:12}" + "".join(f"{value:8.2f}" for value in rates))


def _print_facts(reports: Reports, job_dirs: dict[str, list[Path]]) -> None:
    """Print other numbers of each run; the increase by int8 is the largest of the seeds."""
    print()
    for run, rows in reports.items():
        ece = _mean(row["calibration"]["ece"] for row in rows if row["calibration"])
        pairs = _mean(row["pairs"]["eer"] for row in rows)
        manifests = [json.loads((folder / "model" / "manifest.json").read_text()) for folder in job_dirs[run]]
        increase = max(map(_measure_increase, manifests))
        parameters = manifests[0]["training"]["parameters"]
        print(
            f"{run:22} {len(rows)} seeds; EER of pairs {pairs:.2f}, ECE {ece:.3f}, int8 {increase:+.2f} points of EER, "
            f"{parameters:,} parameters"
        )
    print(f"{os.cpu_count()} cores; EER in %, one threshold a corpus, mean of 5 draws of references and of the seeds")


def _measure_increase(manifest: dict[str, Any]) -> float:
    """Return by how many points int8 raises an equal error rate on the validation split, at most."""
    errors = {name: variant["errors"] for name, variant in manifest["variants"].items()}
    return max(errors["int8"][name] - rate for name, rate in errors["float32"].items())


def _print_error_rates(reports: Reports) -> None:
    """Print one line for each corpus and the means of (a) and of (b), by number of references."""
    print(f"\n{'':22}" + "".join(f"{count:>7} ref. skilled  random" for count in COUNTS))
    lines: dict[str, dict[str, tuple[float, float]]] = {}
    for run, rows in reports.items():
        for name in TEST_CORPORA if run == "a" else (run.removeprefix("b-"),):
            lines[f"({run[0]}) {name}"] = {
                count: (
                    _mean(row["by_corpus"][name][count]["eer_skilled"] for row in rows),
                    _mean(row["by_corpus"][name][count]["eer_random"] for row in rows),
                )
                for count in COUNTS
                if all(count in row["by_corpus"][name] for row in rows)
            }
    for letter in "ab":
        run_lines = {name: rates for name, rates in lines.items() if name.startswith(f"({letter})")}
        for name, rates in run_lines.items():
            _print_line(name, rates)
        if len(run_lines) >= len(TEST_CORPORA):
            counts = [count for count in COUNTS if all(count in rates for rates in run_lines.values())]
            means = {
                n: tuple(map(statistics.mean, zip(*(r[n] for r in run_lines.values()), strict=True))) for n in counts
            }
            _print_line(f"({letter}) mean", means)


def _describe_rates(run: str, reports: list[dict[str, Any]]) -> Iterator[Measurement]:
    """Describe the error rates of a run for a model card, as means over the seeds."""
    source = "writers set aside, all sources" if run == "a" else run.removeprefix("b-")
    for count in COUNTS:
        rows = [report["references"][count] for report in reports]
        for forgery in ("skilled", "random"):
            interval = [_mean(row[f"eer_{forgery}_interval"][edge] for row in rows) for edge in (0, 1)]
            yield Measurement(
                source,
                RELATIONS[run[0]],
                f"EER, {forgery} forgeries, {count} reference{'s' if count != '1' else ''}",
                round(_mean(row[f"eer_{forgery}"] for row in rows), 2),
                reports[0]["images"],
                [round(edge, 2) for edge in interval],
            )
        rates = [row["thresholds"][STORED_RATE] for row in rows]
        name = f"with {count} reference{'s' if count != '1' else ''} at the stored 1 %"
        for metric, rate in (("FAR, skilled forgeries,", "far_skilled"), ("FRR", "frr")):
            value = round(_mean(row[rate] for row in rates), 2)
            yield Measurement(source, RELATIONS[run[0]], f"{metric} {name}", value, reports[0]["images"])


def _mean(values: Iterator[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else float("nan")


def _print_line(name: str, rates: dict[str, tuple[float, ...]]) -> None:
    cells = [f"{rates[n][0]:20.2f} {rates[n][1]:7.2f}" if n in rates else " " * 28 for n in COUNTS]
    print(f"{name:22}" + "".join(cells))


if __name__ == "__main__":
    main()
