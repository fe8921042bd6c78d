"""``python -m predictor.healthcheck``: exit status 0 when the server of this container is ready.

Standard library only: it starts every few seconds. Next: ``app.py``, the health route.
"""

import http.client
import os
import sys


def main() -> int:
    """Request the health route at the port and path that the platform's environment sets; return the exit status."""
    port = os.environ.get("AIP_HTTP_PORT") or os.environ.get("PORT") or "8080"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=4)
    try:
        connection.request("GET", os.environ.get("AIP_HEALTH_ROUTE") or "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
