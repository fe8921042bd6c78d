"""The client of Vertex AI, the only importer of its SDK: service clients, credentials, waiting, translation of errors.

Uses the GAPIC clients of google-cloud-aiplatform over REST: every call is explicit; none stages files, repeats a
deployment or creates an endpoint by itself. Requests are plain dictionaries of the API's own fields. Next:
``live_state_reader.py`` reads with it, ``executor.py`` executes steps, ``jobs.py`` and ``batch_prediction.py`` submit
jobs.
"""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import google.auth
import google.auth.credentials
import google.auth.exceptions
from google.api_core import exceptions, retry
from google.api_core.client_options import ClientOptions
from google.cloud import aiplatform_v1 as api
from google.protobuf import json_format

from deploy.errors import CloudError, MissingCredentials, PermissionDenied, ReplyLost, ServiceUnavailable
from deploy.waiting import POLL_INTERVAL, Clock, Wait
from trainer.storage import connection_refused

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LOGGING = "https://logging.googleapis.com"
CALL_TIMEOUT = 60.0  # seconds of one call
RETRY_TIMEOUT = 60.0  # seconds for the retries of an idempotent call
OPERATION_TIMEOUT = 3600.0  # seconds of an operation: a deployment that takes an hour has failed

# Messages of the API that other files receive.
Endpoint: TypeAlias = api.Endpoint
DeployedModel: TypeAlias = api.DeployedModel
Model: TypeAlias = api.Model
Trial: TypeAlias = api.Trial
HyperparameterTuningJob: TypeAlias = api.HyperparameterTuningJob
BatchPredictionJob: TypeAlias = api.BatchPredictionJob
Job: TypeAlias = api.CustomJob | api.HyperparameterTuningJob | api.BatchPredictionJob


@dataclasses.dataclass(frozen=True)
class Connection:
    """Project, region and times of a client.

    ``api_endpoint`` is another address of the API; ``anonymous`` sends no credentials there.
    """

    project: str
    region: str
    api_endpoint: str = ""
    anonymous: bool = False
    poll_interval: float = POLL_INTERVAL
    operation_timeout: float = OPERATION_TIMEOUT
    retry_timeout: float = RETRY_TIMEOUT


class VertexClient:
    """The services of Vertex AI in one project and region; each client is created at its first use."""

    def __init__(self, connection: Connection, clock: Clock = Clock(), print_line: Callable[[str], None] = print):
        self.connection, self.clock = connection, clock
        self.print_line = print_line
        self.parent = f"projects/{connection.project}/locations/{connection.region}"
        self._prediction_services: dict[str, api.PredictionServiceClient] = {}

    def resource_name(self, *parts: str) -> str:
        """Return the full name of a resource, such as ``resource_name("endpoints", "x")``."""
        return "/".join([self.parent, *parts])

    @functools.cached_property
    def models(self) -> api.ModelServiceClient:
        return self._create_client(api.ModelServiceClient)

    @functools.cached_property
    def endpoints(self) -> api.EndpointServiceClient:
        return self._create_client(api.EndpointServiceClient)

    @functools.cached_property
    def jobs(self) -> api.JobServiceClient:
        return self._create_client(api.JobServiceClient)

    def prediction_service(self, host: str = "") -> api.PredictionServiceClient:
        """Return the client for predictions; ``host`` is the address of a dedicated endpoint.

        ``Connection.api_endpoint`` takes precedence over ``host``.
        """
        if host not in self._prediction_services:
            self._prediction_services[host] = self._create_client(api.PredictionServiceClient, host)
        return self._prediction_services[host]

    def read(self, call: Callable[..., Any], request: Any, retries: bool = True) -> Any:
        """Make a call that changes nothing; return None where the resource does not exist. Raises ``CloudError``.

        With ``retries``, transient errors are retried until ``retry_timeout``.
        """
        with _translate_errors():
            try:
                return call(request, timeout=CALL_TIMEOUT, retry=self._retry_policy() if retries else None)
            except (exceptions.NotFound, exceptions.MethodNotImplemented):
                return None

    def list_all(self, call: Callable[..., Any], request: dict[str, Any]) -> list[Any]:
        """Return all pages of a list; empty where its parent does not exist. Raises ``CloudError``."""
        with _translate_errors():
            return list(self.read(call, request) or ())

    def retry_while_unavailable(self, work: Callable[[], Any]) -> Any:
        """Do idempotent work, again until ``retry_timeout`` while the service is unavailable."""
        policy = retry.Retry(
            retry.if_exception_type(ServiceUnavailable),
            initial=min(0.5, self.connection.poll_interval),
            maximum=10,
            timeout=self.connection.retry_timeout,
            on_error=lambda error: self.print_line(f"     {error}; trying again"),
        )
        try:
            return policy(work)()
        except exceptions.RetryError as error:
            raise (error.cause or error) from None

    def change(self, call: Callable[..., Any], request: dict[str, Any]) -> Any:
        """Make a call that changes something, once, and wait for its operation to end. Raises ``CloudError``.

        The call is not retried here: where its reply is lost, only the live state shows whether it took effect.
        Idempotent calls are retried by ``retry_while_unavailable``.
        """
        with _translate_errors():
            reply = call(request, timeout=CALL_TIMEOUT)
            return self._wait_for_result(reply, call.__name__) if hasattr(reply, "operation") else reply

    def wait_for_operations(self, client: Any, name: str) -> None:
        """Wait for all operations of a resource, also for those of other users. Raises ``CloudError``."""
        wait, printed = self.start_wait(), ""
        while running := self.find_running_operation(client, name):
            if running != printed:
                wait.print_line(f"waiting for {running}, which is under way")
                printed = running
            self._sleep(wait, running, running)

    def find_running_operation(self, client: Any, name: str) -> str:
        """Return the name of an operation of a resource that is not done, or the empty text. Raises ``CloudError``."""
        request = {"name": name, "page_size": 100}
        while True:
            page = self.read(client.list_operations, request)
            for operation in page.operations if page else ():
                if not operation.done:
                    return str(operation.name)
            if not page or not page.next_page_token:
                return ""
            request = {**request, "page_token": page.next_page_token}

    def start_wait(self, print_line: Callable[[str], None] | None = None) -> Wait:
        """Start a wait by the clock of this client."""
        return Wait(self.clock, print_line or self.print_line)

    @functools.cached_property
    def credentials(self) -> google.auth.credentials.Credentials:
        """The application default credentials, or anonymous ones. Raises ``MissingCredentials``."""
        if self.connection.anonymous:
            return google.auth.credentials.AnonymousCredentials()
        try:
            return google.auth.default(scopes=[SCOPE], quota_project_id=None)[0]
        except google.auth.exceptions.DefaultCredentialsError:
            raise MissingCredentials(
                "there are no application default credentials: run 'gcloud auth application-default login', or on "
                "Google Cloud run as a service account; for another address of the API without credentials give "
                "--api-endpoint URL --anonymous"
            ) from None

    def read_logs(self, log_filter: str, since: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of Cloud Logging that a filter selects, from a time on (RFC 3339, or empty), oldest first.

        An exhausted quota is waited for. Raises ``PermissionDenied`` or another ``CloudError``.
        """
        from google.auth.transport.requests import AuthorizedSession

        later = f' AND timestamp>="{since}"' if since else ""
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self.connection.project}"],
            "filter": f"{log_filter}{later}",
            "orderBy": "timestamp asc",
            "pageSize": 1000,
        }
        url = (self.connection.api_endpoint or LOGGING).rstrip("/") + "/v2/entries:list"
        # A week of a busy endpoint has more pages than the quota of reads lets pass in a minute.
        policy = self._retry_policy().with_timeout(2 * self.connection.retry_timeout)
        with _translate_errors(), AuthorizedSession(self.credentials) as session:

            def list_entries() -> dict[str, Any]:
                response = session.post(url, json=body, timeout=CALL_TIMEOUT)
                if response.status_code != 200:
                    raise exceptions.from_http_response(response)
                return dict(response.json())

            while True:
                page = policy(list_entries)()
                yield from page.get("entries", [])
                if not page.get("nextPageToken"):
                    return
                body["pageToken"] = page["nextPageToken"]

    def _create_client(self, client: Any, host: str = "") -> Any:
        default = f"https://{self.connection.region}-aiplatform.googleapis.com"
        address = self.connection.api_endpoint or (f"https://{host.removeprefix('https://')}" if host else default)
        with _translate_errors():
            return client(
                credentials=self.credentials, transport="rest", client_options=ClientOptions(api_endpoint=address)
            )

    def _retry_policy(self) -> retry.Retry:
        """Return the retries of one idempotent call; a refused connection is tried twice only."""
        is_transient = connection_refused.limit_refused_retries(retry.if_transient_error)
        return retry.Retry(is_transient, initial=0.5, maximum=10, timeout=self.connection.retry_timeout)

    def _wait_for_result(self, operation: Any, method: str) -> Any:
        wait, name = self.start_wait(), operation.operation.name
        while not operation.done(retry=self._retry_policy()):
            self._sleep(wait, name, f"{method}, {name.removeprefix(self.parent + '/')}")
        return operation.result(timeout=CALL_TIMEOUT)

    def _sleep(self, wait: Wait, operation: str, description: str) -> None:
        if wait.seconds > self.connection.operation_timeout:
            raise CloudError(
                f"{operation} is not done after {self.connection.operation_timeout:.0f} s; it may still end: "
                "run this again later"
            )
        wait.sleep(self.connection.poll_interval, description)


def make_message(kind: str, value: dict[str, Any]) -> Any:
    """Return a message of the API from its JSON form. Raises ``CloudError`` for a field that the API does not have."""
    message = getattr(api, kind)
    try:
        return message(json_format.ParseDict(value, message.pb(message())))
    except json_format.ParseError as error:
        raise CloudError(f"this is no {kind}: {error}") from None


def message_to_json(message: Any) -> dict[str, Any]:
    """Return the JSON form of a message: the inverse of ``make_message``."""
    return json_format.MessageToDict(type(message).pb(message))


def value_to_json(value: Any) -> Any:
    """Return a ``google.protobuf.Value``, as the SDK represents it, as plain JSON."""
    if isinstance(value, Mapping):
        return {name: value_to_json(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [value_to_json(item) for item in value]
    return value


def _message_of(error: exceptions.GoogleAPIError) -> str:
    """Return the API's message without the address; of a call that was retried, that of the last try."""
    last = getattr(error, "cause", None) or error
    return re.sub(r"^[A-Z]+ https?://\S+: ", "", str(getattr(last, "message", last)))


def _suggest_for_quota(message: str) -> str:
    """Return what to do about a quota: machine quotas name CPUs or accelerators, the others count requests."""
    if re.search(r"cpu|gpu|tpu|accelerator|nvidia", message, re.IGNORECASE):
        return "ask for more, or choose another machine"
    return "wait a minute and run this again, or ask for more"


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise a ``CloudError`` for each error of the SDK."""
    from requests.exceptions import RequestException

    try:
        yield
    except exceptions.Forbidden as error:
        raise PermissionDenied(
            f"no permission: {_message_of(error)}; docs/vertex.md lists the roles each account needs"
        ) from None
    except exceptions.Unauthorized:
        raise CloudError("the credentials were not accepted; run 'gcloud auth application-default login'") from None
    except (exceptions.TooManyRequests, exceptions.ResourceExhausted) as error:
        message = _message_of(error)
        raise ServiceUnavailable(f"a quota is exhausted: {message}; {_suggest_for_quota(message)}") from None
    except exceptions.BadRequest as error:
        raise CloudError(f"Vertex AI does not accept this: {_message_of(error)}") from None
    except (exceptions.RetryError, exceptions.GoogleAPICallError) as error:
        if refusal := connection_refused.describe_refusal(error):
            raise CloudError(refusal) from None
        is_unavailable = isinstance(error, exceptions.RetryError | exceptions.ServiceUnavailable)
        error_class = ServiceUnavailable if is_unavailable else CloudError
        raise error_class(f"Vertex AI failed: {type(error).__name__}: {_message_of(error)}") from None
    except google.auth.exceptions.GoogleAuthError as error:
        raise CloudError(f"the Google credentials do not work: {error}") from None
    except (RequestException, ConnectionError) as error:
        if refusal := connection_refused.describe_refusal(error):
            raise CloudError(refusal) from None
        raise ReplyLost(f"Vertex AI did not answer: {type(error).__name__}") from None
