"""The state of a loopback Vertex AI and its rules, as the API's documentation describes each method.

Independent of HTTP. ``machines.py`` runs jobs and answers for deployed models. Next: ``resources.py``, the base of all
methods.
"""

import re
from typing import Any

from tests.loopback.endpoints import Endpoints
from tests.loopback.jobs import Jobs
from tests.loopback.routes import Route


class World(Endpoints, Jobs):
    """The Vertex AI of a project: a method of the API is a method here, ``DeployModel`` is ``_deploy_model``."""

    def call(self, route: Route, request: Any, path: str, fails: bool = False) -> Any:
        """Return the response, a proto message or JSON. With ``fails``, the operation ends with an error.

        Raises ``Refused``.
        """
        with self.lock:
            self._fails = fails
            method = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", route.rpc).lower(), None)
            if method:
                return method(request)
            return self._call_generic(route.rpc, request, path)
