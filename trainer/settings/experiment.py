"""Parse the name of a Vertex experiment. Standard library only. Next: ``vertex/experiments.py`` writes to it."""

import re

NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)/([a-z0-9][a-z0-9-]{0,127})(?:/([a-z0-9][a-z0-9-]{0,127}))?")


def parse_experiment_name(name: str) -> str:
    """Return the name, which may be empty, if it is that of an experiment. Raises ``ValueError``."""
    if name and not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no experiment; it has to be projects/PROJECT/locations/REGION/EXPERIMENT[/RUN], names in "
            "small letters, digits and dashes"
        )
    return name
