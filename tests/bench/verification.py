"""``python -m tests.bench.verification [--data FOLDER] [RUN ...]``: how good is the verifier on unseen writers?

Trains four times with the public command and the problem's defaults, on public corpora in one folder: run ``a`` sets
aside writers of every corpus; ``b-NAME`` leaves a whole corpus out and tests on it. Prints equal error rates of the
exported artefacts, from the original image files. About an hour on 2 cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TEST_CORPORA = ("cedar", "sigcomp2011", "svc2004")
TRAINING_CORPORA = ("sigcomp2009_nisdcc", "sigcomp2009_nfi")  # not tested on
RUNS = ("a", *(f"b-{name}" for name in TEST_CORPORA))
TEST_FRACTION, VALIDATION_FRACTION = 0.3, 0.2
COUNTS = ("1", "5", "10")  # of references


def main() -> None:
    """Train the requested runs, then print the table of all runs that are complete."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("runs", nargs="*", default=list(RUNS), metavar="RUN", help=f"of {', '.join(RUNS)}; all of them")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora (%(default)s)")
    flags.add_argument("--out", type=Path, default=Path("runs/verification"), help="folder of job dirs (%(default)s)")
    flags.add_argument("--flags", default="", help="more flags of trainer.task, in one word")
    options = flags.parse_args()
    for run in options.runs:
        start = time.monotonic()
        subprocess.run(_make_command(run, options), check=True)
        print(f"{run}: {(time.monotonic() - start) / 60:.1f} min", flush=True)
    runs = dict.fromkeys([*RUNS, *options.runs])  # b-NAME may name any folder of --data
    _print_tables({run: options.out / run / "report" / "report.json" for run in runs})


def _make_command(run: str, options: argparse.Namespace) -> list[str]:
    left_out = run.removeprefix("b-") if run != "a" else None
    trained_on = [name for name in (*TEST_CORPORA, *TRAINING_CORPORA) if name != left_out]
    command = [sys.executable, "-m", "trainer.task", "--problem", "same_writer", "--job-dir", str(options.out / run)]
    command += [word for name in trained_on for word in ("--train-dir", str(options.data / name))]
    command += ["--test-dir", str(options.data / left_out)] if left_out else ["--test-fraction", str(TEST_FRACTION)]
    return [*command, "--validation-fraction", str(VALIDATION_FRACTION), *options.flags.split()]


def _print_tables(reports: dict[str, Path]) -> None:
    reports = {run: path for run, path in reports.items() if path.is_file()}
    metrics = {run: json.loads(path.read_text())["verification"] for run, path in reports.items()}
    _print_error_rates(metrics)
    print(f"\n{'':22}   ECE   FAR at 1 %: skilled  random   FRR   parameters")
    for run, row in metrics.items():
        rates = list(row["references"].values())[-1]["thresholds"]["0.01"]
        manifest = json.loads((reports[run].parent.parent / "model" / "manifest.json").read_text())
        ece = row["calibration"]["ece"] if row["calibration"] else float("nan")
        skilled, random, frr = (_to_float(rates[name]) for name in ("far_skilled", "far_random", "frr"))
        parameters = manifest["training"]["parameters"]
        print(f"{run:22} {ece:.3f}  {skilled:18.2f} {random:7.2f} {frr:5.1f}   {parameters:,}")
    print(f"{os.cpu_count()} cores; EER in %, one threshold a corpus, mean of 5 draws of references")


def _print_error_rates(metrics: dict[str, dict[str, Any]]) -> None:
    """Print one line for each corpus and the means of (a) and of (b), by number of references."""
    print(f"\n{'':22}" + "".join(f"{count:>7} ref. skilled  random" for count in COUNTS))
    rows = {}
    for run, row in metrics.items():
        for name in TEST_CORPORA if run.startswith("a") else (run.removeprefix("b-"),):
            by_count = row["by_corpus"][name].items()
            rows[f"({run[0]}) {name}"] = {
                count: (_to_float(rates["eer_skilled"]), _to_float(rates["eer_random"])) for count, rates in by_count
            }
    for run in "ab":
        run_rows = {name: rates for name, rates in rows.items() if name.startswith(f"({run})")}
        for name, rates in run_rows.items():
            _print_line(name, rates)
        if len(run_rows) >= len(TEST_CORPORA):
            counts = [count for count in COUNTS if all(count in rates for rates in run_rows.values())]
            columns = {count: [rates[count] for rates in run_rows.values()] for count in counts}
            _print_line(
                f"({run}) mean", {n: tuple(map(statistics.mean, zip(*c, strict=True))) for n, c in columns.items()}
            )


def _to_float(value: float | None) -> float:
    return float("nan") if value is None else value


def _print_line(name: str, rates: dict[str, tuple[float, ...]]) -> None:
    cells = [f"{rates[n][0]:20.2f} {rates[n][1]:7.2f}" if n in rates else " " * 28 for n in COUNTS]
    print(f"{name:22}" + "".join(cells))


if __name__ == "__main__":
    main()
