"""What many images and many requests take and cost: measured unit costs, times their number, times list prices.

Preparation on Dataflow, training and offline answers on machines of custom jobs, and the replicas of an endpoint. Time
is divided by cores and by machines as if nothing were lost. Storage, network, requests, logs, the start of machines and
discounts are not included. Independent of the SDK. Next: ``docs/calculator.html`` computes the same in a browser,
``docs/scale.md`` explains it; ``measured.toml`` and ``prices.toml`` hold the numbers.
"""

import dataclasses
import math
from typing import Any, NamedTuple

from deploy import cost, formats, measurements, preparation_cost
from deploy.machine_types import parse_machine_type
from deploy.preparation_cost import ImageCount
from deploy.spec import PreparationSettings
from trainer.console.errors import UserError
from trainer.settings.flags import BadSetting

DEFAULT_EPOCHS = {"same_writer": 60, "signature_vs_text": 15}  # of trainer/problems, which deploy does not import
CHOICES = {"problem": tuple(DEFAULT_EPOCHS), "task": ("classify", "embed", "verify", "find")}
ROUNDING = 1e-9  # of a replica: 6 cores at a target of 60 % are ten replicas, whatever the last digit of 6 / 0.6
MACHINE_TYPES = ("worker_machine_type", "training_machine_type", "offline_machine_type", "endpoint_machine_type")
FORMATS = {"region": formats.REGION, **dict.fromkeys(MACHINE_TYPES, formats.MACHINE_TYPE)}


class Range(NamedTuple):
    """What a number of a workload may be."""

    minimum: float
    maximum: float
    is_whole: bool = True


RANGES = {
    "images": Range(1, 10**12),
    "max_workers": Range(1, 1000),
    "epochs": Range(1, 10_000),
    "training_machines": Range(1, 64),
    "references": Range(1, 1000),
    "offline_machines": Range(1, 10_000),
    "requests_per_second": Range(0.001, 10**7, is_whole=False),
    "target_cpu": Range(10, 90),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is to be done, and on which machines; the defaults are the example of ``docs/scale.md``."""

    region: str = "us-central1"
    images: int = 100_000_000
    worker_machine_type: str = "n1-standard-4"
    max_workers: int = 40
    problem: str = "same_writer"
    epochs: int = DEFAULT_EPOCHS["same_writer"]
    training_machine_type: str = "n1-standard-8"
    training_machines: int = 1
    task: str = "classify"
    references: int = 10  # with which an image is compared, for the task verify
    offline_machine_type: str = "n1-standard-8"
    offline_machines: int = 10
    requests_per_second: float = 10_000  # with one image each
    endpoint_machine_type: str = "n1-standard-4"
    target_cpu: int = 60  # percent; the rest is headroom

    def __post_init__(self):
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if not allowed.minimum <= value <= allowed.maximum or (allowed.is_whole and value != int(value)):
                kind = "a whole number" if allowed.is_whole else "a number"
                raise UserError(f"{name}: {value!r} is not {kind} from {allowed.minimum:,} to {allowed.maximum:,}")
        for name, parse in FORMATS.items():
            try:
                parse(getattr(self, name))
            except BadSetting as error:
                raise UserError(f"{name}: {error}") from None
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name}: {getattr(self, name)!r} is none of {', '.join(choices)}")


class ScaleRow(NamedTuple):
    """A step of the work; ``None`` where a number is unknown, for the ``reason``, which else says what prices are."""

    step: str  # prepare, train, answer offline, serve
    work: float | None  # core-hours; for an endpoint, cores that are busy all the time
    machines: int | None  # that work at the same time, or replicas
    machine_type: str
    hours: float | None  # with all machines; None for an endpoint, which stays up
    dollars: float | None  # for an endpoint, a month
    reason: str


def estimate(workload: Workload) -> tuple[ScaleRow, ...]:
    """Return the rows of preparation, training, offline answers and endpoint."""
    return (
        estimate_preparation(workload),
        estimate_training(workload),
        estimate_offline(workload),
        estimate_endpoint(workload),
    )


def estimate_preparation(workload: Workload) -> ScaleRow:
    """Return the row of the preparation on Dataflow, with the driver of the default environment."""
    settings = PreparationSettings(worker_machine_type=workload.worker_machine_type, max_workers=workload.max_workers)
    estimated = preparation_cost.estimate_preparation(settings, workload.region, ImageCount(workload.images))
    work = estimated.work
    reason = estimated.reason if estimated.dollars is None else describe_prices(cost.read_prices()["dataflow"])
    return ScaleRow(
        "prepare",
        work.core_hours if work else None,
        workload.max_workers,
        workload.worker_machine_type,
        work.hours if work else None,
        estimated.dollars,
        reason,
    )


def estimate_training(workload: Workload) -> ScaleRow:
    """Return the row of a training of all images on processors; a GPU was not measured."""
    measured = measurements.read("training")
    rate = measured["images_per_second"][workload.problem] / measured["cores"]
    core_hours = workload.images * workload.epochs / rate / 3600
    machine_type, machines = workload.training_machine_type, workload.training_machines
    return _estimate_job("train", core_hours, machine_type, machines, workload.region)


def estimate_offline(workload: Workload) -> ScaleRow:
    """Return the row of an answer about each image without a server, on machines of a custom job."""
    milliseconds = compute_milliseconds("offline", workload)
    machine_type, machines = workload.offline_machine_type, workload.offline_machines
    if milliseconds is None:
        reason = f"the work of {workload.task} without a server was not measured"
        return ScaleRow("answer offline", None, machines, machine_type, None, None, reason)
    core_hours = workload.images * milliseconds / 3_600_000
    return _estimate_job("answer offline", core_hours, machine_type, machines, workload.region)


def estimate_endpoint(workload: Workload) -> ScaleRow:
    """Return the row of an endpoint: as many replicas as keep the processors below the target."""
    milliseconds, machine_type = compute_milliseconds("serving", workload), workload.endpoint_machine_type
    if milliseconds is None:
        reason = f"the work of {workload.task} on a server was not measured"
        return ScaleRow("serve", None, None, machine_type, None, None, reason)
    busy_cores = workload.requests_per_second * milliseconds / 1000
    machine = parse_machine_type(machine_type)
    if machine is None:
        return ScaleRow("serve", busy_cores, None, machine_type, None, None, _describe_unknown_cores(machine_type))
    replicas = math.ceil(busy_cores / machine.vcpus / (workload.target_cpu / 100) - ROUNDING)
    replicas = max(replicas, 1)
    table = cost.read_prices()
    price = table["hour"].get(workload.region, {}).get(machine_type)
    if price is None:
        reason = f"no price of {machine_type} in {workload.region} in the table of {table['date']}"
        return ScaleRow("serve", busy_cores, replicas, machine_type, None, None, reason)
    dollars = replicas * price * cost.HOURS_PER_MONTH
    return ScaleRow("serve", busy_cores, replicas, machine_type, None, dollars, describe_prices(table))


def compute_milliseconds(table_name: str, workload: Workload) -> float | None:
    """Return the milliseconds of one core for each image, ``offline`` or in ``serving``; ``None`` if not measured."""
    measured = measurements.read(table_name).get(workload.task)
    if measured is None:
        return None
    return measured["milliseconds"] + workload.references * measured.get("milliseconds_per_reference", 0)


def describe_prices(table: dict[str, Any]) -> str:
    """Return date, status and source of a table of prices."""
    return "list prices of {date}, {status}: {source}".format_map(table)


def _estimate_job(step: str, core_hours: float, machine_type: str, machines: int, region: str) -> ScaleRow:
    machine, table = parse_machine_type(machine_type), cost.read_prices()["custom_job"]
    if machine is None:
        reason = _describe_unknown_cores(machine_type)
        return ScaleRow(step, core_hours, machines, machine_type, None, None, reason)
    machine_hours = core_hours / machine.vcpus
    hours = machine_hours / machines
    price = table.get(region, {}).get(machine_type)
    if price is None:
        reason = f"no price of {machine_type} for a job in {region} in the table of {table['date']}"
        return ScaleRow(step, core_hours, machines, machine_type, hours, None, reason)
    return ScaleRow(step, core_hours, machines, machine_type, hours, machine_hours * price, describe_prices(table))


def _describe_unknown_cores(machine_type: str) -> str:
    return f"cores of a {machine_type} are not known"
