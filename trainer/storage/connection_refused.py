"""Recognise a refused connection: no server listens at the address, so a retry for minutes is useless.

Clients wrap the error of the system in errors of their own, so the chain of causes is searched. Standard library only.
``objects.py`` and ``deploy/vertex.py`` use this.
"""

import urllib.parse
from collections.abc import Callable, Iterator

TRIES = 2  # the second is for a server that restarts at this moment


def describe_refusal(error: BaseException) -> str:
    """Return ``nobody listens at http://host:port`` for a refused connection, an empty string for any other error."""
    chain = list(_walk_chain(error))
    if not any(isinstance(link, ConnectionRefusedError) for link in chain):
        return ""
    urls = [url for link in chain if (url := getattr(getattr(link, "request", None), "url", None))]
    if not urls:
        return "nobody listens at the address (connection refused)"
    address = urllib.parse.urlsplit(urls[0])
    return f"nobody listens at {address.scheme}://{address.netloc} (connection refused)"


def limit_refused_retries(transient: Callable[[Exception], bool]) -> Callable[[Exception], bool]:
    """Return a predicate for the retries of one call: as ``transient``, with ``TRIES`` tries if refused."""
    refused = 0

    def predicate(error: Exception) -> bool:
        nonlocal refused
        if not describe_refusal(error):
            return transient(error)
        refused += 1
        return refused < TRIES

    return predicate


def _walk_chain(error: object, visited: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    """Yield an error and all errors that it wraps."""
    if not isinstance(error, BaseException) or id(error) in visited:
        return
    yield error
    visited |= {id(error)}
    wrapped = (error.__cause__, error.__context__, getattr(error, "cause", None), getattr(error, "reason", None))
    for inner in (*wrapped, *error.args):
        yield from _walk_chain(inner, visited)
