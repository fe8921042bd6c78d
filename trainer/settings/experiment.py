"""The name of a Vertex experiment, as the flag takes it. Next: ``vertex/experiments.py`` writes to it."""

import re

NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)/([a-z0-9][a-z0-9-]{0,127})(?:/([a-z0-9][a-z0-9-]{0,127}))?")


def checked(name: str) -> str:
    """An experiment's name as the flag takes it. Raises ``ValueError``."""
    if name and not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no experiment; it has to be projects/PROJECT/locations/REGION/EXPERIMENT[/RUN], names in "
            "small letters, digits and dashes"
        )
    return name
