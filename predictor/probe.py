"""``python -m predictor.probe``: 0 when the server in this container says that it is ready. Standard library only."""

import http.client
import os
import sys


def main() -> int:
    """Ask the health route where the platform's environment puts it."""
    port = os.environ.get("AIP_HTTP_PORT") or os.environ.get("PORT") or "8080"
    asked = http.client.HTTPConnection("127.0.0.1", int(port), timeout=4)
    try:
        asked.request("GET", os.environ.get("AIP_HEALTH_ROUTE") or "/health")
        return 0 if asked.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        asked.close()


if __name__ == "__main__":
    sys.exit(main())
