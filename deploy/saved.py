"""A plan as a file: what ``plan`` showed is what ``apply`` does.

Knows plans and files. The steps are data, so a person or another program may read them, too.
"""

import dataclasses
import json
import os
from pathlib import Path

from deploy import steps
from deploy.live import Live
from deploy.plan import Desired, Plan
from deploy.spec import Environment
from trainer.errors import UserError

FORMAT = "countersign-plan/1"
FOLDER = Path("runs") / "plans"


class BadPlan(UserError):
    """A file is no plan, or one of something else; the message says what to do."""


def place(environment: str, given: str | None) -> Path:
    """Where an environment's plan is kept."""
    return Path(given) if given else FOLDER / f"{environment}.json"


def write(path: Path, environment: Environment, desired: Desired, plan: Plan) -> None:
    """Keep a plan, whole or not at all."""
    content = {
        "format": FORMAT, "environment": _of(environment), "desired": dataclasses.asdict(desired),
        "steps": [steps.describe(step) for step in plan.steps], "unneeded": list(plan.unneeded),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def read(path: Path, environment: Environment, desired: Desired) -> Plan:
    """The plan that was shown, for the same wish at the same place. Raises ``BadPlan``."""
    if not path.is_file():
        raise BadPlan(f"there is no plan at {str(path)!r}; run 'python -m deploy plan --env {environment.name}' first")
    try:
        content = json.loads(path.read_text())
        found = content["format"], content["environment"], content["desired"]
        shown = tuple(steps.read(step) for step in content["steps"])
        unneeded = tuple(content["unneeded"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadPlan(f"{str(path)!r} is no plan: {type(error).__name__}: {error}") from None
    if found != (FORMAT, _of(environment), json.loads(json.dumps(dataclasses.asdict(desired)))):
        raise BadPlan(f"{str(path)!r} was made for another wish: place, artefact or image has changed; plan again")
    return Plan(shown, unneeded, Live())


def _of(environment: Environment) -> dict[str, str]:
    """What a plan is of: the same steps elsewhere are another plan."""
    place, model = environment.place, environment.model
    return {
        "name": environment.name, "project": place.project, "region": place.region, "model": model.model_id,
        "store": model.store, "endpoint": environment.endpoint.endpoint_id,
    }  # fmt: skip
