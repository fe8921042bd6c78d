"""Recognise a refused connection: nobody listens at the address, so trying again for minutes helps nobody.

Clients wrap the system's error in several of their own; it is found in their chain of causes. Standard library only.
Used by ``objects.py`` and by ``deploy/vertex.py``.
"""

import urllib.parse
from collections.abc import Callable, Iterator

TRIES = 2  # a server that restarts at this very moment gets a second chance


def message(error: BaseException) -> str:
    """Say who refused the connection, as ``nobody listens at http://host:port``; empty for any other error."""
    chain = list(_chain(error))
    if not any(isinstance(one, ConnectionRefusedError) for one in chain):
        return ""
    urls = [url for one in chain if (url := getattr(getattr(one, "request", None), "url", None))]
    if not urls:
        return "nobody listens at the address (connection refused)"
    address = urllib.parse.urlsplit(urls[0])
    return f"nobody listens at {address.scheme}://{address.netloc} (connection refused)"


def at_most_twice(transient: Callable[[Exception], bool]) -> Callable[[Exception], bool]:
    """Return the predicate ``transient`` for one call's retries, with refused connections tried ``TRIES`` times."""
    refused = 0

    def predicate(error: Exception) -> bool:
        nonlocal refused
        if not message(error):
            return transient(error)
        refused += 1
        return refused < TRIES

    return predicate


def _chain(error: object, seen: frozenset[int] = frozenset()) -> Iterator[BaseException]:
    """Yield an error and everything that it wraps."""
    if not isinstance(error, BaseException) or id(error) in seen:
        return
    yield error
    seen |= {id(error)}
    wrapped = (error.__cause__, error.__context__, getattr(error, "cause", None), getattr(error, "reason", None))
    for inner in (*wrapped, *error.args):
        yield from _chain(inner, seen)
