"""``python -m tests.bench.verification [--data FOLDER] [RUN ...]``: how good is the verifier on writers it never saw?

Trains four times with the public command and the problem's own defaults, on public sets that lie in one folder:
``a`` sets writers of every set aside; ``b-NAME`` leaves a whole set out and tests on it. Prints equal error rates from
the exported artefacts, from raw files. About an hour on 2 cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SETS = ("cedar", "sigcomp2011", "svc2004")  # what is tested on
MORE = ("sigcomp2009_nisdcc", "sigcomp2009_nfi")  # what is only learnt from
RUNS = ("a", *(f"b-{name}" for name in SETS))
TEST_FRACTION, VALIDATION_FRACTION = 0.3, 0.2


def main() -> None:
    """Run what is asked for, then the table of everything there is."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("runs", nargs="*", default=list(RUNS), metavar="RUN", help=f"of {', '.join(RUNS)}; all of them")
    flags.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the sets (%(default)s)")
    flags.add_argument("--out", type=Path, default=Path("runs/verification"), help="job dirs go there (%(default)s)")
    flags.add_argument("--flags", default="", help="more flags of trainer.task, in one word")
    options = flags.parse_args()
    for run in options.runs:
        began = time.monotonic()
        subprocess.run(_command(run, options), check=True)
        print(f"{run}: {(time.monotonic() - began) / 60:.1f} min", flush=True)
    every = dict.fromkeys([*RUNS, *options.runs])  # other sets, too: b-NAME of any folder of --data
    _table({run: options.out / run / "report" / "report.json" for run in every})


def _command(run: str, options) -> list[str]:
    left_out = run.removeprefix("b-") if run != "a" else None
    learnt = [name for name in (*SETS, *MORE) if name != left_out]
    command = [sys.executable, "-m", "trainer.task", "--problem", "same_writer", "--job-dir", str(options.out / run)]
    command += [word for name in learnt for word in ("--train-dir", str(options.data / name))]
    command += ["--test-dir", str(options.data / left_out)] if left_out else ["--test-fraction", str(TEST_FRACTION)]
    return [*command, "--validation-fraction", str(VALIDATION_FRACTION), *options.flags.split()]


def _table(reports: dict[str, Path]) -> None:
    """One line for each set and the mean of (a) and of (b), by number of references."""
    print(f"\n{'':22}" + "".join(f"{count:>7} ref. skilled  random" for count in (1, 5, 10)))
    found = {run: json.loads(path.read_text())["verification"] for run, path in reports.items() if path.is_file()}
    rows = {}
    for run, numbers in found.items():
        for name in SETS if run.startswith("a") else (run.removeprefix("b-"),):
            rows[f"({run[0]}) {name}"] = numbers["by_source"][name]
    for kind in "ab":
        each = {name: rates for name, rates in rows.items() if name.startswith(f"({kind})")}
        for name, rates in each.items():
            _line(name, {count: (_rate(of["eer_skilled"]), _rate(of["eer_random"])) for count, of in rates.items()})
        if len(each) >= len(SETS):
            counts = [count for count in ("1", "5", "10") if all(count in rates for rates in each.values())]
            both = ("eer_skilled", "eer_random")
            means = {n: tuple(statistics.mean(_rate(r[n][key]) for r in each.values()) for key in both) for n in counts}
            _line(f"({kind}) mean", means)
    print(f"\n{'':22}   ECE   FAR at 1 %: skilled  random   FRR   parameters")
    for run, numbers in found.items():
        at = list(numbers["references"].values())[-1]["thresholds"]["0.01"]
        manifest = json.loads((reports[run].parent.parent / "model" / "manifest.json").read_text())
        ece = numbers["calibration"]["ece"] if numbers["calibration"] else float("nan")
        rates = [float("nan") if at[name] is None else at[name] for name in ("far_skilled", "far_random", "frr")]
        parameters = manifest["training"]["parameters"]
        print(f"{run:22} {ece:.3f}  {rates[0]:18.2f} {rates[1]:7.2f} {rates[2]:5.1f}   {parameters:,}")
    print(f"{os.cpu_count()} cores; EER in %, one threshold a set, mean of 5 draws of references")


def _rate(value: float | None) -> float:
    return float("nan") if value is None else value


def _line(name: str, rates: dict[str, tuple[float, float]]) -> None:
    print(f"{name:22}" + "".join(f"{rates[n][0]:20.2f} {rates[n][1]:7.2f}" if n in rates else " " * 28 for n in rates))


if __name__ == "__main__":
    main()
