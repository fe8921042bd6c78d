"""Send single requests to a live endpoint, and count which deployment answered and what failed.

``predict`` goes where the traffic split sends it; a request cannot name a deployed model. (``explain`` can, but needs
an explanation; so can ``invoke``, but only of a container that is registered without a predict route.) An answer names
the deployment that gave it, an error names none. Knows requests, not golden answers.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from deploy.live import Endpoint
from deploy.vertex import CloudError, NotAllowed

Ask = Callable[[list[Any], dict[str, Any]], tuple[str, list[Any]]]
FAILURES = 5  # failed requests after which ``health`` asks no more
UNSEEN = 1e-3  # chance that ``health`` misses a deployment that answers
LONGEST = 300  # characters of an error message that are shown


@dataclasses.dataclass
class Tally:
    """Requests so far: ``answers`` by the id of the deployment, ``errors`` by kind, with the first message of each."""

    answers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Requests that were not answered."""
        return self.errors.total()

    @property
    def requests(self) -> int:
        """All requests."""
        return self.answers.total() + self.failed

    def send(self, ask: Ask, instances: list[Any], parameters: dict[str, Any]) -> tuple[str, list[Any]] | None:
        """Send one request, once; its answer with the id that gave it, or None. Raises ``NotAllowed``."""
        try:
            id, predictions = ask(instances, parameters)
        except NotAllowed:  # a matter of the account, not of a deployment
            raise
        except CloudError as error:
            self.count(error)
            return None
        self.answers[id] += 1
        return id, predictions

    def count(self, error: CloudError) -> None:
        """Count a failed request."""
        kind = str(error.status or "no reply")
        self.errors[kind] += 1
        self.first.setdefault(kind, _shown(str(error)))

    def __str__(self):
        by = "".join(f", {count} answered by {id}" for id, count in self.answers.most_common())
        kinds = "".join(f"\n  {self.errors[kind]} x {kind}: {text}" for kind, text in self.first.items())
        return f"{self.requests} requests{by}, {self.failed} failed{kinds}"


def tries(share: int, chance: float) -> int:
    """Requests after which a deployment with ``share`` percent of the traffic was asked, but for a ``chance``."""
    return 1 if share >= 100 else math.ceil(math.log(chance) / math.log(1 - share / 100))


def health(ask: Ask, traffic: Mapping[str, int], instance: Any) -> Tally:
    """Send ``instance`` until each deployment with traffic has answered, or too many requests have failed."""
    tally, waited_for = Tally(), {id for id, share in traffic.items() if share}
    most = tries(min(traffic[id] for id in waited_for), UNSEEN) if waited_for else 0
    while not waited_for <= set(tally.answers) and tally.answers.total() < most and tally.failed < FAILURES:
        try:
            tally.send(ask, [instance], {})
        except NotAllowed as error:
            tally.count(error)
            break
    return tally


def answers(endpoint: Endpoint, tally: Tally) -> str:
    """Say of an endpoint whether it answers."""
    if not endpoint.traffic:
        return "takes no requests"
    if not tally.failed:
        return "answers"
    return f"{'fails sometimes' if tally.answers else 'does not answer'}: {tally}"


def answered(endpoint: Endpoint, id: str, tally: Tally) -> str:
    """Say of one deployment whether it answers; empty where it has no traffic, so that nothing reaches it."""
    if not endpoint.share(id):
        return ""
    return ", answers" if tally.answers[id] else f", did not answer any of {tally.requests} requests"


def _shown(message: str) -> str:
    """An error message as it may be printed: bounded, and without what could be an image in base64."""
    return re.sub(r"[A-Za-z0-9+/=_-]{80,}", "...", message)[:LONGEST]
