"""The desired state: what an environment is to become, as plain values.

Next: ``plan.py`` compares it with the live state; ``commands.py`` builds it from an environment.
"""

import dataclasses
from collections.abc import Mapping

from deploy.live_state import ServingConfig, VersionIdentity


@dataclasses.dataclass(frozen=True)
class DesiredState:
    """What an environment is to become.

    Without an ``identity``, no version is to answer and the endpoint is to be deleted. ``traffic_stages`` are the
    percentages of the traffic that the version goes through; with ``with_smoke_tests``, a smoke test comes before each
    next stage. ``serving_alias`` marks the version with all traffic, ``candidate_alias`` a version with a part of it,
    ``previous_alias`` the version that served before. ``keep_previous`` leaves that version deployed, as the rollback
    target. ``is_rollback`` changes traffic and aliases, as little else as possible, and leaves no rollback target. A
    foreign deployment, which this tool did not make, keeps its traffic and stays deployed unless ``remove_foreign``.
    """

    identity: VersionIdentity | None
    serving_config: ServingConfig
    is_dedicated: bool = True
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    traffic_stages: tuple[int, ...] = (100,)
    with_smoke_tests: bool = False
    keep_previous: bool = True
    is_rollback: bool = False
    remove_foreign: bool = False
    serving_alias: str = "champion"
    candidate_alias: str = "challenger"

    @property
    def previous_alias(self) -> str:
        """The alias of the rollback target: the version that served before."""
        return f"{self.serving_alias}-before"
