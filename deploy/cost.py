"""What stays up costs: the order of a month's bill, from a table of prices with its date, or "unknown".

Replicas only; requests, logs, storage and discounts are not in it. Knows what is deployed, not the SDK.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from deploy.live import Endpoint
from trainer.settings import toml

TABLE = Path(__file__).parent / "prices.toml"
HOURS = 730  # of a month


@dataclasses.dataclass(frozen=True)
class Cost:
    """US dollars a month with the fewest and the most replicas; None where a price is unknown, ``why`` says which."""

    least: float | None
    most: float | None
    why: str

    def __str__(self):
        if self.least is None or self.most is None:
            return f"cost: unknown; {self.why}"
        between = f"about ${self.least:,.0f}" + (f" to ${self.most:,.0f}" if self.most > self.least else "")
        return f"cost: {between} a month for what stays up ({self.why})"


@functools.cache
def prices() -> dict[str, Any]:
    """The table: ``date``, ``source``, and by region the dollars of an hour of each machine type."""
    return toml.loads(TABLE.read_text())


def monthly(endpoint: Endpoint | None, region: str) -> Cost:
    """Of everything that is deployed at an endpoint."""
    table = prices()
    known = table["hour"].get(region, {})
    least = most = 0.0
    for one in endpoint.deployed if endpoint else ():
        price = known.get(one.serving.machine)
        if price is None:
            return Cost(None, None, f"no price of {one.serving.machine} in {region} in the table of {table['date']}")
        least += price * one.serving.min_replicas * HOURS
        most += price * one.serving.max_replicas * HOURS
    return Cost(least, most, f"list prices of {table['date']}, replicas only")
