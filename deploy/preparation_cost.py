"""What a preparation on Dataflow will cost: measured work of an image, times images, times list prices.

Unknown where images cannot be counted or a price is missing. The start of workers, storage, requests and discounts are
not included. Independent of the SDK. Next: ``measured.toml`` and ``prices.toml`` hold the numbers, ``cost.py`` is the
same for endpoints, ``scale.py`` adds training and answers.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from deploy import cost, measurements
from deploy.machine_types import parse_machine_type
from deploy.spec import Environment, PreparationSettings
from trainer.imaging.formats import FILE_SUFFIXES
from trainer.storage import StorageError, remote_files

TIMES_SHUFFLED = 2  # data is billed when it is written and when it is read


class ImageCount(NamedTuple):
    """A number of images; ``None`` where it is unknown for the ``reason``."""

    number: int | None
    reason: str = ""


class Work(NamedTuple):
    """Hours of one core, hours with all workers, and gigabytes that are shuffled."""

    core_hours: float
    hours: float | None
    shuffle_gb: float


@dataclasses.dataclass(frozen=True)
class PreparationCost:
    """The lines of an estimate: images, work, and US dollars; ``None`` where a number is unknown for the ``reason``."""

    images: ImageCount
    work: Work | None
    workers: str
    dollars: float | None
    reason: str

    def __str__(self):
        if self.images.number is None or self.work is None:
            return f"images: unknown; {self.images.reason}\ncost: unknown without their number; or give --images COUNT"
        measured = measurements.read("preparation")
        milliseconds = measured["core_milliseconds_per_image"]
        minutes = "" if self.work.hours is None else f", at least {_format(self.work.hours * 60)} minutes"
        dollars = "unknown" if self.dollars is None else f"about ${self.dollars:,.2f}"
        return (
            f"images: {self.images.number:,}\n"
            f"work: {_format(self.work.core_hours)} core-hours{minutes} on {self.workers} ({milliseconds} ms of a core "
            f"for each image, measured on {measured['date']} on {measured['machine']}), and the start of workers\n"
            f"cost: {dollars}; {self.reason}"
        )


def count_images(paths: Sequence[str]) -> ImageCount:
    """Count the images below ``gs://`` paths by listing them; nothing is downloaded."""
    count = 0
    for path in paths:
        try:
            names = [name for name, _ in remote_files.list_objects(path)]
        except (StorageError, OSError) as error:  # the account of the job may read what this machine may not
            return ImageCount(None, f"{path!r} cannot be listed from here: {error}")
        images = sum(PurePosixPath(name).suffix.lower() in FILE_SUFFIXES for name in names)
        if not images:
            return ImageCount(None, f"there is no image below {path!r}")
        count += images
    return ImageCount(count)


def estimate(environment: Environment, images: ImageCount) -> PreparationCost:
    """Estimate time and cost of an environment's preparation, with as many workers as are allowed."""
    return estimate_preparation(environment.preparation, environment.location.region, images)


def estimate_preparation(settings: PreparationSettings, region: str, images: ImageCount) -> PreparationCost:
    """Estimate time and cost on these machines in this region."""
    workers = f"{settings.max_workers} x {settings.worker_machine_type}"
    if images.number is None:
        return PreparationCost(images, None, workers, None, "")
    measured, worker = measurements.read("preparation"), parse_machine_type(settings.worker_machine_type)
    core_hours = images.number * measured["core_milliseconds_per_image"] / 3_600_000
    shuffle_gb = images.number * measured["shuffle_kilobytes_per_image"] * TIMES_SHUFFLED / 1e6
    if worker is None:
        work, reason = Work(core_hours, None, shuffle_gb), f"cores of a {settings.worker_machine_type} are not known"
        return PreparationCost(images, work, workers, None, reason)
    machine_hours = core_hours / worker.vcpus
    work = Work(core_hours, machine_hours / settings.max_workers, shuffle_gb)
    tables = cost.read_prices()
    prices, driver_prices = tables["dataflow"].get(region), tables["custom_job"].get(region, {})
    if prices is None:
        reason = f"no price of Dataflow in {region} in the table of {tables['dataflow']['date']}"
        return PreparationCost(images, work, workers, None, reason)
    if settings.driver_machine_type not in driver_prices:
        date = tables["custom_job"]["date"]
        reason = f"no price of {settings.driver_machine_type} for a job in {region} in the table of {date}"
        return PreparationCost(images, work, workers, None, reason)
    dollars = {
        "workers": core_hours * prices["vcpu_hour"]
        + machine_hours * worker.memory_gb * prices["memory_gb_hour"]
        + machine_hours * settings.worker_disk_gb * prices["disk_gb_hour"],
        "shuffle": shuffle_gb * prices["shuffle_gb"],
        "driver": machine_hours / settings.max_workers * driver_prices[settings.driver_machine_type],
    }
    parts = ", ".join(f"{part} {value:,.2f}" for part, value in dollars.items())
    price_list = "list prices of {date}, {status}: {source}".format_map(tables["dataflow"])
    return PreparationCost(images, work, workers, sum(dollars.values()), f"{parts}; {price_list}")


def _format(number: float) -> str:
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"
