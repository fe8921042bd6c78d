"""``python docs/calculator.py``: write unit costs and prices into ``calculator.html``, and tables into ``scale.md``.

Both come from ``deploy/measured.toml`` and ``deploy/prices.toml``; run it again after a change of these. A test fails
where a page is not what this file writes. Next: ``deploy/scale.py`` computes the tables; ``calculator.html`` computes
the same in JavaScript, with the texts of the functions below.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from deploy import cost, measurements, preparation_cost, scale
from deploy.machine_types import GB_PER_VCPU
from deploy.scale import ScaleRow, Workload
from deploy.spec import PreparationSettings

DOCS_DIR = Path(__file__).parent
MEASUREMENTS = ("preparation", "training", "offline", "serving")
PRICES = ("dataflow", "custom_job", "hour")
FACTS = ("date", "source", "status")


def main() -> None:
    """Write both pages."""
    for name, write in {"calculator.html": write_calculator, "scale.md": write_scale}.items():
        page = DOCS_DIR / name
        page.write_text(write(page.read_text()))


def write_calculator(page: str) -> str:
    """Replace the data of the calculator."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in collect_data().items())
    data = f"{{\n{lines}\n}}"
    return re.sub(r'(id="data">).*?(</script>)', lambda match: f"{match[1]}\n{data}\n{match[2]}", page, flags=re.DOTALL)


def write_scale(page: str) -> str:
    """Replace the tables between the comments ``NAME: written by ...`` and ``end``."""
    for name, table in {"example": make_example(), "units": make_units(), "prices": make_prices()}.items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)"
        text = "".join(f"{line}\n" for line in table)
        page, count = re.subn(pattern, lambda match, text=text: f"{match[1]}{text}{match[2]}", page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the page has {count} places for {name}, not 1")
    return page


def collect_data() -> dict[str, Any]:
    """Collect what ``calculator.html`` computes from."""
    return {
        "measured": {name: measurements.read(name) for name in MEASUREMENTS},
        "prices": {name: _split_table(name) for name in PRICES},
        "gbPerVcpu": GB_PER_VCPU,
        "ranges": {name: allowed._asdict() for name, allowed in scale.RANGES.items()},
        "choices": scale.CHOICES,
        "epochs": scale.DEFAULT_EPOCHS,
        "defaults": dataclasses.asdict(Workload()),
        "preparation": {
            "driver_machine_type": PreparationSettings().driver_machine_type,
            "worker_disk_gb": PreparationSettings().worker_disk_gb,
        },
        "hoursPerMonth": cost.HOURS_PER_MONTH,
        "timesShuffled": preparation_cost.TIMES_SHUFFLED,
        "rounding": scale.ROUNDING,
    }


def _split_table(name: str) -> dict[str, Any]:
    """Return date, source and status of a table of prices, and its prices by region."""
    tables = cost.read_prices()
    facts = tables if name == "hour" else tables[name]  # those of endpoints stand at the top of the file
    regions = {region: prices for region, prices in tables[name].items() if isinstance(prices, dict)}
    return {**{fact: facts[fact] for fact in FACTS}, "regions": regions}


def make_example() -> Iterator[str]:
    """Yield the rows of the worked example, of each problem and each task."""
    example = Workload()
    yield from _make_header("step", "work", "machines", "time", "cost, US dollars", "prices, or what is unknown")
    yield _make_line(format_row(scale.estimate_preparation(example)))
    for problem, epochs in scale.DEFAULT_EPOCHS.items():
        row = scale.estimate_training(dataclasses.replace(example, problem=problem, epochs=epochs))
        yield _make_line(format_row(row, f"`{problem}`, {epochs} epochs"))
    for estimate in (scale.estimate_offline, scale.estimate_endpoint):
        for task in scale.CHOICES["task"]:
            row = estimate(dataclasses.replace(example, task=task))
            yield _make_line(format_row(row, f"{task}, {example.references} references" if task == "verify" else task))


def make_units() -> Iterator[str]:
    """Yield the rows of the unit costs, with date, machine and command."""
    yield from _make_header("of one image", "work of a core", "date", "machine", "command")
    measured = measurements.read("preparation")
    milliseconds, kilobytes = measured["core_milliseconds_per_image"], measured["shuffle_kilobytes_per_image"]
    yield _make_unit("prepare", f"{milliseconds} ms, and {kilobytes} kB are shuffled", measured)
    measured = measurements.read("training")
    for problem, rate in measured["images_per_second"].items():
        speed = f"{rate} images a second on {measured['cores']} cores, {measured['dtype_policy']}"
        yield _make_unit(f"train, an epoch (`{problem}`)", speed, measured)
    for table_name, step in {"offline": "answer offline", "serving": "serve"}.items():
        for task, unit in measurements.read(table_name).items():
            references = unit.get("milliseconds_per_reference")
            work = f"{unit['milliseconds']} ms" + (f" and {references} ms for each reference" if references else "")
            yield _make_unit(f"{step} ({task})", work, unit)


def make_prices() -> Iterator[str]:
    """Yield the rows of the tables of prices."""
    yield from _make_header("prices", "date", "status", "source")
    for name, title in zip(
        PRICES, ("Dataflow, batch", "machines of custom jobs", "replicas of endpoints"), strict=True
    ):
        table = _split_table(name)
        yield _make_line([title, table["date"], table["status"], table["source"]])


def format_row(row: ScaleRow, detail: str = "") -> list[str]:
    """Return step, work, machines, time and cost as texts, and the prices without their source, or what is unknown."""
    work = "unknown" if row.work is None else f"{format_number(row.work)} {_name_work(row)}"
    machines = row.machine_type if row.machines is None else f"{row.machines:,} x {row.machine_type}"
    step, reason = f"{row.step} ({detail})" if detail else row.step, row.reason.partition(": ")[0]
    return [step, work, machines, format_time(row), format_cost(row), reason]


def format_time(row: ScaleRow) -> str:
    """Return the time with all machines, in minutes, hours or days."""
    if row.step == "serve":
        return "all the time"
    if row.hours is None:
        return "unknown"
    if row.hours < 1:
        return f"{format_number(row.hours * 60)} minutes"
    return f"{format_number(row.hours)} hours" if row.hours < 48 else f"{format_number(row.hours / 24)} days"


def format_cost(row: ScaleRow) -> str:
    """Return the dollars of a row, for an endpoint a month."""
    if row.dollars is None:
        return "unknown"
    amount = "less than $0.01" if row.dollars < 0.005 else f"${_round(row.dollars, 2 if row.dollars < 100 else 0):,}"
    return amount + (" a month" if row.step == "serve" else "")


def format_number(number: float) -> str:
    """Return a number with one decimal below 100 and with none above."""
    return "less than 0.1" if number < 0.05 else f"{_round(number, 1 if number < 100 else 0):,}"


def _round(number: float, digits: int) -> Decimal:
    return Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)  # as toFixed of JavaScript rounds


def _name_work(row: ScaleRow) -> str:
    return "busy cores" if row.step == "serve" else "core-hours"


def _make_unit(title: str, work: str, measured: dict[str, Any]) -> str:
    return _make_line([title, work, measured["date"], measured["machine"], f"`{measured['how']}`"])


def _make_header(*columns: str) -> Iterator[str]:
    yield _make_line(columns)
    yield "|" + "---|" * len(columns)


def _make_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
