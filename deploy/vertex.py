"""The connection to Vertex AI: the only importer of its SDK. Clients, credentials, waiting, and errors in our words.

The GAPIC clients of google-cloud-aiplatform over REST: every call is explicit, none stages files, retries a deployment
or makes an endpoint nobody asked for. Requests are plain dictionaries of the API's own fields. Knows no plans. Next:
``observe.py`` reads with it, ``perform.py`` does the steps, ``jobs.py`` and ``batch.py`` submit jobs.
"""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import google.auth
import google.auth.credentials
import google.auth.exceptions
from google.api_core import exceptions, retry
from google.api_core.client_options import ClientOptions
from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from deploy.waiting import Clock, Wait
from trainer.console.errors import UserError
from trainer.storage import connection_refused

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LOGGING = "https://logging.googleapis.com"
READ = 60.0  # seconds that a call may take that changes nothing
PATIENCE = 60.0  # seconds of trying again what may be done twice
LONGEST = 3600.0  # seconds that an operation may take: a deployment that takes an hour has failed
POLL = 2.0  # seconds between two looks at an operation
ACCELERATORS = tuple(api.AcceleratorType.__members__)[1:]  # the first stands for none


class CloudError(UserError):
    """Vertex AI refused, failed or did not answer; the message says which and what to do."""

    @property
    def status(self) -> int | None:
        """The HTTP status of the reply, None where none came; it is that of the client's own error."""
        behind = self.__context__
        return getattr(getattr(behind, "cause", None) or behind, "code", None)


class Unavailable(CloudError):
    """The service is overloaded or away for now: 429, 503, or a broken connection. What may be repeated is."""


class Unanswered(Unavailable):
    """The reply to a call is missing; whether the call was done, only the live state tells."""


class NotAllowed(CloudError):
    """The account lacks a permission."""


class NoCredentials(UserError):
    """There are no application default credentials."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where and as whom: ``endpoint`` is another address of the API, ``anonymous`` uses no credentials there."""

    project: str
    region: str
    endpoint: str = ""
    anonymous: bool = False
    poll: float = POLL
    longest: float = LONGEST
    patience: float = PATIENCE


class Vertex:
    """Clients of one project and region, made when they are first needed."""

    def __init__(self, connection: Connection, clock: Clock = Clock(), tell: Callable[[str], None] = print):
        self.connection, self.clock = connection, clock
        self.tell = tell
        self.parent = f"projects/{connection.project}/locations/{connection.region}"
        self._predictions: dict[str, api.PredictionServiceClient] = {}

    def name(self, *parts: str) -> str:
        """``name("endpoints", "x")`` is the full name of a resource."""
        return "/".join([self.parent, *parts])

    @functools.cached_property
    def models(self) -> api.ModelServiceClient:
        return self._client(api.ModelServiceClient)

    @functools.cached_property
    def endpoints(self) -> api.EndpointServiceClient:
        return self._client(api.EndpointServiceClient)

    @functools.cached_property
    def jobs(self) -> api.JobServiceClient:
        return self._client(api.JobServiceClient)

    def predictions(self, host: str = "") -> api.PredictionServiceClient:
        """``host`` is a dedicated endpoint's own name; another address of the API wins over it."""
        if host not in self._predictions:
            self._predictions[host] = self._client(api.PredictionServiceClient, host)
        return self._predictions[host]

    def read(self, call: Callable[..., Any], request: Any, once: bool = False) -> Any:
        """A call that changes nothing: tried again while that makes sense, or ``once``; None where there is nothing.

        Raises ``CloudError``.
        """
        with _in_our_words():
            try:
                return call(request, timeout=READ, retry=None if once else self._transient())
            except (exceptions.NotFound, exceptions.MethodNotImplemented):
                return None

    def listed(self, call: Callable[..., Any], request: dict[str, Any]) -> list[Any]:
        """All pages of a list; empty where its parent does not exist."""
        with _in_our_words():
            return list(self.read(call, request) or ())

    def repeated(self, work: Callable[[], Any]) -> Any:
        """Do what may be done twice, and do it again while the service is ``Unavailable``, within a bound."""
        policy = retry.Retry(
            retry.if_exception_type(Unavailable), initial=min(0.5, self.connection.poll), maximum=10,
            timeout=self.connection.patience, on_error=lambda error: self.tell(f"     {error}; trying again"),
        )  # fmt: skip
        try:
            return policy(work)()
        except exceptions.RetryError as error:
            raise (error.cause or error) from None

    def change(self, call: Callable[..., Any], request: dict[str, Any]) -> Any:
        """A call that changes something, once, to its end: an operation is waited for. Raises ``CloudError``.

        It is not repeated here: whether a call whose reply was lost was done, only the live state tells. What may be
        done twice goes through ``repeated``.
        """
        with _in_our_words():
            answer = call(request, timeout=READ)
            return self._end(answer, call.__name__) if hasattr(answer, "operation") else answer

    def settled(self, client: Any, name: str) -> None:
        """Wait for what is still under way at a resource, begun by whomever. Raises ``CloudError``."""
        wait, said = self.wait(), ""
        while running := self.running(client, name):
            if running != said:
                wait.tell(f"waiting for {running}, which is under way")
                said = running
            self._pause(wait, running, running)

    def wait(self, tell: Callable[[str], None] | None = None) -> Wait:
        """A wait that begins now, by this connection's clock."""
        return Wait(self.clock, tell or self.tell)

    @functools.cached_property
    def credentials(self) -> google.auth.credentials.Credentials:
        """Application default ones, or none for another address. Raises ``NoCredentials``."""
        if self.connection.anonymous:
            return google.auth.credentials.AnonymousCredentials()
        try:
            return google.auth.default(scopes=[SCOPE], quota_project_id=None)[0]
        except google.auth.exceptions.DefaultCredentialsError:
            raise NoCredentials(
                "there are no application default credentials: run 'gcloud auth application-default login', or on "
                "Google Cloud run as a service account; for another address of the API without credentials give "
                "--api-endpoint URL --anonymous"
            ) from None

    def logs(self, job: str, since: str) -> list[dict[str, Any]]:
        """Log entries of a job, oldest first, from the time ``since`` on (RFC 3339, or empty).

        Raises ``NotAllowed`` or another ``CloudError``.
        """
        from google.auth.transport.requests import AuthorizedSession

        later = f' AND timestamp>="{since}"' if since else ""
        wanted = f'resource.type="ml_job" AND resource.labels.job_id="{job}"{later}'
        names = [f"projects/{self.connection.project}"]
        body: dict[str, Any] = {"resourceNames": names, "filter": wanted, "orderBy": "timestamp asc", "pageSize": 1000}
        address = (self.connection.endpoint or LOGGING).rstrip("/") + "/v2/entries:list"
        with _in_our_words(), AuthorizedSession(self.credentials) as session:
            entries: list[dict[str, Any]] = []
            while True:
                answer = session.post(address, json=body, timeout=READ)
                if answer.status_code != 200:
                    raise exceptions.from_http_response(answer)
                page = answer.json()
                entries += page.get("entries", [])
                if not page.get("nextPageToken"):
                    return entries
                body["pageToken"] = page["nextPageToken"]

    def _client(self, kind: Any, host: str = "") -> Any:
        default = f"https://{self.connection.region}-aiplatform.googleapis.com"
        address = self.connection.endpoint or (f"https://{host.removeprefix('https://')}" if host else default)
        with _in_our_words():
            return kind(
                credentials=self.credentials, transport="rest", client_options=ClientOptions(api_endpoint=address)
            )

    def _transient(self) -> retry.Retry:
        """The retries of one call that may be repeated; a refused connection is tried twice only."""
        transient = connection_refused.at_most_twice(retry.if_transient_error)
        return retry.Retry(transient, initial=0.5, maximum=10, timeout=self.connection.patience)

    def _end(self, operation: Any, method: str) -> Any:
        wait, name = self.wait(), operation.operation.name
        while not operation.done(retry=self._transient()):
            self._pause(wait, name, f"{method}, {name.removeprefix(self.parent + '/')}")
        return operation.result(timeout=READ)

    def _pause(self, wait: Wait, operation: str, what: str) -> None:
        if wait.seconds > self.connection.longest:
            raise CloudError(
                f"{operation} is not done after {self.connection.longest:.0f} s; it may still end: run this again later"
            )
        wait.pause(self.connection.poll, what)

    def running(self, client: Any, name: str) -> str:
        """The name of an operation at a resource that is not done; empty if there is none. Raises ``CloudError``."""
        request = {"name": name, "page_size": 100}
        while True:
            found = self.read(client.list_operations, request)
            for one in found.operations if found else ():
                if not one.done:
                    return str(one.name)
            if not found or not found.next_page_token:
                return ""
            request = {**request, "page_token": found.next_page_token}


def proto(kind: str, value: dict[str, Any]) -> Any:
    """A message of the API from its JSON form. Raises ``CloudError`` naming the field that is not of the API."""
    message = getattr(api, kind)
    try:
        return message(json_format.ParseDict(value, message.pb(message())))
    except json_format.ParseError as error:
        raise CloudError(f"this is no {kind}: {error}") from None


def as_json(message: Any) -> dict[str, Any]:
    """The inverse of ``proto``."""
    return json_format.MessageToDict(type(message).pb(message))


def plain(content: Any) -> Any:
    """A ``google.protobuf.Value``, as the SDK hands it out, as plain JSON."""
    if isinstance(content, Mapping):
        return {name: plain(one) for name, one in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [plain(one) for one in content]
    return content


def _said(error: exceptions.GoogleAPIError) -> str:
    """What the API says, without the address it says it at; of a call tried again and again, what it said last."""
    last = getattr(error, "cause", None) or error
    return re.sub(r"^[A-Z]+ https?://\S+: ", "", str(getattr(last, "message", last)))


def _remedy(exhausted: str) -> str:
    """What to do about a quota, by its name: those of machines count CPUs or accelerators, the others requests."""
    if re.search(r"cpu|gpu|tpu|accelerator|nvidia", exhausted, re.IGNORECASE):
        return "ask for more, or choose another machine"
    return "wait a minute and run this again, or ask for more"


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    from requests.exceptions import RequestException

    try:
        yield
    except exceptions.Forbidden as error:
        raise NotAllowed(f"no permission: {_said(error)}; docs/vertex.md lists the roles each account needs") from None
    except exceptions.Unauthorized:
        raise CloudError("the credentials were not accepted; run 'gcloud auth application-default login'") from None
    except (exceptions.TooManyRequests, exceptions.ResourceExhausted) as error:
        raise Unavailable(f"a quota is exhausted: {_said(error)}; {_remedy(_said(error))}") from None
    except exceptions.BadRequest as error:
        raise CloudError(f"Vertex AI does not take this: {_said(error)}") from None
    except (exceptions.RetryError, exceptions.GoogleAPICallError) as error:
        if nobody := connection_refused.message(error):
            raise CloudError(nobody) from None
        kind = Unavailable if isinstance(error, exceptions.RetryError | exceptions.ServiceUnavailable) else CloudError
        raise kind(f"Vertex AI failed: {type(error).__name__}: {_said(error)}") from None
    except google.auth.exceptions.GoogleAuthError as error:
        raise CloudError(f"the Google credentials do not work: {error}") from None
    except (RequestException, ConnectionError) as error:
        if told := connection_refused.message(error):
            raise CloudError(told) from None
        raise Unanswered(f"Vertex AI did not answer: {type(error).__name__}") from None
