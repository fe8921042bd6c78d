"""A plan as a file: ``apply`` executes what ``plan`` has shown, with the settings and flags of the plan.

The steps are data, which people and other programs can read. The file holds no credentials. Next: ``steps.py`` defines
the JSON of a step.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import steps
from deploy.live_state import LiveState, VersionIdentity
from deploy.plan import Plan
from deploy.spec import Environment
from trainer import storage
from trainer.console.errors import UserError

FORMAT = "countersign-plan/3"
PLANS_DIR = Path("runs") / "plans"


class BadPlanFile(UserError):
    """A file is no plan, or was made with other settings; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class PlanFile:
    """A plan that was read from ``path``. ``environment`` is a name or a file, as on the command line.

    ``settings`` are all settings of the plan by ``[table] key``; ``flags`` are those that the command line of ``plan``
    has set, by field name.
    """

    path: Path
    environment: str
    plan: Plan
    identity: VersionIdentity
    settings: Mapping[str, Any]
    flags: Mapping[str, Any]

    def check_unchanged(self, environment: Environment, identity: VersionIdentity) -> None:
        """Raise ``BadPlanFile`` that names each setting which differs from those that the plan was made with."""
        current = _list_settings(environment)
        differences = [
            f"{key}: {self.settings.get(key)!r} in the plan, {current.get(key)!r} now"
            for key in dict.fromkeys([*self.settings, *current])
            if self.settings.get(key) != current.get(key)
        ]
        if self.identity.artifact != identity.artifact:
            planned, changed = self.identity.artifact[:12], identity.artifact[:12]
            differences.append(f"contents of the artefact: sha256:{planned} in the plan, sha256:{changed} now")
        if differences:
            raise BadPlanFile(
                f"{str(self.path)!r} was made with other settings:\n"
                + "\n".join(f"  - {difference}" for difference in differences)
                + f"\nrun 'python -m deploy plan --env {self.environment}' again"
            )


def plan_path(environment: str, file: str | None) -> Path:
    """Return the file of an environment's plan: ``file`` if it is given."""
    return Path(file) if file else PLANS_DIR / f"{environment}.json"


def write(
    path: Path, environment: Environment, flags: Mapping[str, Any], identity: VersionIdentity, plan: Plan
) -> None:
    """Write a plan atomically; ``flags`` are the settings of the command line."""
    content = {
        "format": FORMAT,
        "identity": identity,
        "settings": _list_settings(environment),
        "flags": {name: absolute_path(value) if name == "artifact" else value for name, value in flags.items()},
        "steps": [steps.to_json(step) for step in plan.steps],
        "skipped": list(plan.skipped),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def read(path: Path, environment: str) -> PlanFile:
    """Read the plan of an environment, which is a name or a file. Raises ``BadPlanFile``."""
    if not path.is_file():
        raise BadPlanFile(f"there is no plan at {str(path)!r}; run 'python -m deploy plan --env {environment}' first")
    try:
        content = json.loads(path.read_text())
        if content["format"] == FORMAT:
            plan_steps = tuple(steps.from_json(step) for step in content["steps"])
            plan = Plan(plan_steps, tuple(content["skipped"]), LiveState())
            identity, settings = VersionIdentity(*content["identity"]), dict(content["settings"])
            return PlanFile(path, environment, plan, identity, settings, dict(content["flags"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadPlanFile(f"{str(path)!r} is no plan: {type(error).__name__}: {error}") from None
    raise BadPlanFile(
        f"{str(path)!r} has the format {content['format']!r}, and this version reads {FORMAT!r}; run "
        f"'python -m deploy plan --env {environment}' again"
    )


def absolute_path(artifact: str) -> str:
    """Return a local folder by its absolute path, so that ``apply`` finds it from any folder; keep ``gs://`` paths."""
    return artifact if not artifact or artifact.startswith(storage.REMOTE) else os.path.abspath(artifact)


def _list_settings(environment: Environment) -> dict[str, Any]:
    """Return all settings that a plan depends on, which are those of all tables but ``[training]``."""
    tables = {name: dataclasses.asdict(getattr(environment, name)) for name in ("location", "model", "endpoint")}
    tables["model"]["artifact"] = absolute_path(environment.model.artifact)
    tables["labels"] = dict(environment.labels)
    settings = {f"[{name}] {key}": value for name, table in tables.items() for key, value in table.items()}
    return {"environment": environment.name, **settings}
