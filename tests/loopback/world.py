"""The state of a loopback Vertex AI and its rules: what the API's documentation says each method does and refuses.

Knows no HTTP. What jobs run and deployments answer is given from outside (``machines.py``). Next: ``resources.py`` for
what all methods stand on.
"""

import re
from typing import Any

from tests.loopback.endpoints import Endpoints
from tests.loopback.jobs import Jobs
from tests.loopback.routes import Route


class World(Endpoints, Jobs):
    """One project's Vertex AI: a method of the API is a method here, ``DeployModel`` is ``_deploy_model``."""

    def call(self, route: Route, request: Any, path: str, fails: bool = False) -> Any:
        """The answer, a proto message or JSON. ``fails``: the operation ends with an error. Raises ``Refused``."""
        with self.lock:
            self._fails = fails
            own = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", route.rpc).lower(), None)
            if own:
                return own(request)
            return self._any(route.rpc, request, path)
