"""A plan as a file: what ``plan`` showed is what ``apply`` does, with the settings and flags that it was made with.

Knows plans and files. The steps are data, so a person or another program may read them, too. No credentials are kept.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import steps
from deploy.live import Identity, Live
from deploy.plan import Plan
from deploy.spec import Environment
from trainer import storage
from trainer.console.errors import UserError

FORMAT = "countersign-plan/2"
FOLDER = Path("runs") / "plans"


class BadPlan(UserError):
    """A file is no plan, or was made with other settings; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Saved:
    """A plan that was read from ``path`` for ``environment``, which is a name or a file, as the command line says it.

    ``flags`` are the settings that the command line of ``plan`` set; ``settings`` are those and the environment's, by
    ``[table] key``.
    """

    path: Path
    environment: str
    plan: Plan
    identity: Identity
    settings: Mapping[str, Any]
    flags: Mapping[str, Any]

    def check(self, environment: Environment, identity: Identity) -> None:
        """Raises ``BadPlan`` that names each setting which differs from those that the plan was made with."""
        now = _settings(environment)
        changed = [
            f"{key}: {self.settings.get(key)!r} in the plan, {now.get(key)!r} now"
            for key in dict.fromkeys([*self.settings, *now])
            if self.settings.get(key) != now.get(key)
        ]
        if self.identity.artifact != identity.artifact:
            shown, found = self.identity.artifact[:12], identity.artifact[:12]
            changed.append(f"contents of the artefact: sha256:{shown} in the plan, sha256:{found} now")
        if changed:
            raise BadPlan(
                f"{str(self.path)!r} was made with other settings:\n"
                + "\n".join(f"  - {line}" for line in changed)
                + f"\nrun 'python -m deploy plan --env {self.environment}' again"
            )


def place(environment: str, given: str | None) -> Path:
    """Where an environment's plan is kept."""
    return Path(given) if given else FOLDER / f"{environment}.json"


def write(path: Path, environment: Environment, flags: Mapping[str, Any], identity: Identity, plan: Plan) -> None:
    """Write a plan, whole or not at all; ``flags`` are the settings that the command line set."""
    content = {
        "format": FORMAT, "identity": identity, "settings": _settings(environment),
        "flags": {name: absolute(value) if name == "artifact" else value for name, value in flags.items()},
        "steps": [steps.describe(step) for step in plan.steps], "unneeded": list(plan.unneeded),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def read(path: Path, environment: str) -> Saved:
    """Read the plan of an environment (a name or a file). Raises ``BadPlan``."""
    if not path.is_file():
        raise BadPlan(f"there is no plan at {str(path)!r}; run 'python -m deploy plan --env {environment}' first")
    try:
        content = json.loads(path.read_text())
        if content["format"] == FORMAT:
            shown = Plan(tuple(steps.read(step) for step in content["steps"]), tuple(content["unneeded"]), Live())
            identity, settings = Identity(*content["identity"]), dict(content["settings"])
            return Saved(path, environment, shown, identity, settings, dict(content["flags"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{str(path)!r} is no plan: {type(error).__name__}: {error}") from None
    raise BadPlan(
        f"{str(path)!r} has the format {content['format']!r}, and this version reads {FORMAT!r}; run "
        f"'python -m deploy plan --env {environment}' again"
    )


def absolute(artifact: str) -> str:
    """A local folder by its absolute path, so that it is found from any folder; a ``gs://`` path as it is."""
    return artifact if not artifact or artifact.startswith(storage.REMOTE) else os.path.abspath(artifact)


def _settings(environment: Environment) -> dict[str, Any]:
    """What a plan depends on; of training it does not."""
    tables = {name: dataclasses.asdict(getattr(environment, name)) for name in ("place", "model", "endpoint")}
    tables["model"]["artifact"] = absolute(environment.model.artifact)
    tables["labels"] = dict(environment.labels)
    found = {f"[{name}] {key}": value for name, table in tables.items() for key, value in table.items()}
    return {"environment": environment.name, **found}
