"""Refuse requests to a development server that a page of another site sent. Next: ``development.py``."""

import ipaddress

from starlette.requests import Request

from predictor.errors import CrossSiteRequest


def check_site(request: Request) -> None:
    """Raise ``CrossSiteRequest`` unless the page of this server sent the request.

    Any page in the browser of a developer can send requests here, also under a host name that resolves to this machine
    (DNS rebinding).
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if origin and origin.split("://")[-1] != host:
        raise CrossSiteRequest("sent by a page of another site")
    name = host.rsplit(":", 1)[0].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if name != "localhost":
            raise CrossSiteRequest("this is requested at localhost or at an IP address, not at a host name") from None
