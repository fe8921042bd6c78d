"""The monthly cost of an endpoint's replicas, by a dated table of list prices; unknown where a price is missing.

Requests, logs, storage and discounts are not included. Independent of the SDK.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

from deploy.live_state import Endpoint
from trainer.settings import toml

PRICES_FILE = Path(__file__).parent / "prices.toml"
HOURS_PER_MONTH = 730


@dataclasses.dataclass(frozen=True)
class Cost:
    """US dollars a month with the fewest and with the most replicas; None where a price is unknown.

    ``reason`` says which price is unknown, or what the cost includes.
    """

    minimum: float | None
    maximum: float | None
    reason: str

    def __str__(self):
        if self.minimum is None or self.maximum is None:
            return f"cost: unknown; {self.reason}"
        amount = f"about ${self.minimum:,.0f}" + (f" to ${self.maximum:,.0f}" if self.maximum > self.minimum else "")
        return f"cost: {amount} a month for what stays up ({self.reason})"


@functools.cache
def read_prices() -> dict[str, Any]:
    """Read the table: ``date``, ``source``, and dollars an hour by region and machine type."""
    return toml.loads(PRICES_FILE.read_text())


def monthly_cost(endpoint: Endpoint | None, region: str) -> Cost:
    """Return the cost of all deployed models of an endpoint."""
    table = read_prices()
    prices = table["hour"].get(region, {})
    minimum = maximum = 0.0
    for model in endpoint.deployed_models if endpoint else ():
        config = model.serving_config
        price = prices.get(config.machine_type)
        if price is None:
            return Cost(None, None, f"no price of {config.machine_type} in {region} in the table of {table['date']}")
        minimum += price * config.min_replicas * HOURS_PER_MONTH
        maximum += price * config.max_replicas * HOURS_PER_MONTH
    return Cost(minimum, maximum, f"list prices of {table['date']}, replicas only")
