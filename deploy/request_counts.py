"""Send single requests to a live endpoint, and count which deployed model answered and which errors came.

The traffic split decides which deployed model a request of ``predict`` reaches; the request cannot name one.
(``explain`` can, but needs an explanation; so can ``invoke``, but only of a container that is registered without a
predict route.) An answer names the deployed model that gave it, an error names none. Next: ``smoke.py`` and
``healthcheck.py`` send requests.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from deploy.errors import CloudError, PermissionDenied

MAX_MESSAGE_LENGTH = 300  # characters of an error message that are shown

Instance = dict[str, Any]  # an image of a request, in JSON
Prediction = dict[str, Any]  # the answer about an instance, in JSON
Parameters = dict[str, Any]  # the parameters of a request, in JSON


class Reply(NamedTuple):
    """The predictions of a request and the deployed model that gave them."""

    deployed_model_id: str
    predictions: list[Prediction]


Predict = Callable[[list[Instance], Parameters], tuple[str, list[Prediction]]]  # returns a Reply


@dataclasses.dataclass
class RequestCounts:
    """Counts of requests: ``answers`` by deployed model id; ``errors`` and the first message by HTTP status."""

    answers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first_messages: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def failed(self) -> int:
        """The number of requests that ended with an error."""
        return self.errors.total()

    @property
    def requests(self) -> int:
        """The number of all requests."""
        return self.answers.total() + self.failed

    def send(self, predict: Predict, instances: list[Instance], parameters: Parameters) -> Reply | None:
        """Send one request, without retries, and count the result; None for an error. Raises ``PermissionDenied``."""
        try:
            reply = Reply(*predict(instances, parameters))
        except PermissionDenied:  # concerns the account, not a deployed model
            raise
        except CloudError as error:
            self.count_error(error)
            return None
        self.answers[reply.deployed_model_id] += 1
        return reply

    def count_error(self, error: CloudError) -> None:
        """Count a request that ended with an error."""
        status = str(error.status or "no reply")
        self.errors[status] += 1
        self.first_messages.setdefault(status, _redact(str(error)))

    def __str__(self):
        answers = "".join(f", {count} answered by {id}" for id, count in self.answers.most_common())
        errors = "".join(
            f"\n  {self.errors[status]} x {status}: {text}" for status, text in self.first_messages.items()
        )
        return f"{self.requests} requests{answers}, {self.failed} failed{errors}"


def max_attempts(traffic_percentage: int, miss_probability: float) -> int:
    """Return after how many requests a deployed model has got one, except with ``miss_probability``."""
    if traffic_percentage >= 100:
        return 1
    return math.ceil(math.log(miss_probability) / math.log(1 - traffic_percentage / 100))


def _redact(message: str) -> str:
    """Return an error message of bounded length, without text that could be an image in base64."""
    return re.sub(r"[A-Za-z0-9+/=_-]{80,}", "...", message)[:MAX_MESSAGE_LENGTH]
