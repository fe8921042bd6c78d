"""The commands of ``python -m deploy`` that plan and change a deployment, called with their flags already parsed.

Each returns the exit status. Next: ``plan.py`` decides which steps there are, ``executor.py`` executes them;
``endpoint_commands.py`` and ``job_commands.py`` hold the other commands.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import artifact_store, cost, plan_file, promotion_checks, version_selection
from deploy.apply import apply_plan
from deploy.desired_state import DesiredState
from deploy.executor import VertexExecutor, connect
from deploy.live_state import LiveState, VersionIdentity
from deploy.plan import Plan, diff
from deploy.plan_file import PlanFile
from deploy.spec import Environment
from deploy.vertex import VertexClient
from trainer.console.errors import UserError

CANARY_STAGES = (10, 50, 100)  # percent of the traffic; a smoke test comes before each next stage


def build_desired_state(environment: Environment, identity: VersionIdentity | None, **changes: Any) -> DesiredState:
    """Return the desired state that an environment declares for a version, with changes of its fields."""
    desired = DesiredState(
        identity,
        environment.serving_config,
        environment.endpoint.dedicated,
        environment.resource_labels(),
        (environment.endpoint.traffic_percentage,),
        keep_previous=environment.endpoint.keep_previous,
        remove_foreign=environment.endpoint.remove_foreign,
        serving_alias=environment.model.serving_alias,
        candidate_alias=environment.model.candidate_alias,
    )
    return dataclasses.replace(desired, **changes)


def make_plan(
    client: VertexClient, environment: Environment, path: Path, overrides: Mapping[str, Any], apply_command: str
) -> int:
    """Print the plan to what an environment declares, and write it to ``path``. Raises ``PromotionRefused``.

    ``overrides`` are the settings of the command line, ``apply_command`` is the command that applies the plan.
    """
    release = artifact_store.open_declared(environment)
    executor = VertexExecutor(client, environment, release)
    desired, live = build_desired_state(environment, release.identity), executor.read_live_state()
    plan = diff(desired, live)
    promotion_checks.check_takeover(environment, desired, plan, live, executor.open_release)
    plan_file.write(path, environment, overrides, release.identity, plan)
    print_plan(environment, plan)
    if plan.steps:
        print(f"saved: {path}; apply it with:\n  {apply_command}")
    return 0


def apply_environment(client: VertexClient, environment: Environment, saved: PlanFile | None) -> int:
    """Apply a saved plan; without one, make a plan, print it and apply it.

    Raises ``BadPlanFile``, ``PromotionRefused``, ``StalePlan`` or ``ApplyStopped``.
    """
    release = artifact_store.open_declared(environment)
    if saved:
        saved.check_unchanged(environment, release.identity)
    executor = VertexExecutor(client, environment, release)
    desired, live = build_desired_state(environment, release.identity), executor.read_live_state()
    plan = diff(desired, live)
    if not saved:
        print_plan(environment, plan)
    promotion_checks.check_takeover(environment, desired, plan, live, executor.open_release)
    return _apply(environment, desired, saved.plan if saved else plan, executor)


def promote(client: VertexClient, environment: Environment) -> int:
    """Give the candidate all traffic in stages, if it passes the gate and is deployed as declared.

    Raises ``PromotionRefused`` or ``UserError``.
    """
    executor = connect(client, environment)
    live = executor.read_live_state()
    identity = _select_candidate(executor, live)
    desired = build_desired_state(environment, None)
    promotion_checks.check_candidate(environment, desired, executor.open_release(identity), live)
    promotion_checks.check_deployed(environment, identity, live)
    first = environment.endpoint.traffic_percentage
    later = tuple(stage for stage in CANARY_STAGES if stage > first or stage == 100)
    stages = (first, *later) if first < 100 else (100,)
    desired = build_desired_state(environment, identity, traffic_stages=stages, with_smoke_tests=True)
    return _print_and_apply(environment, desired, live, executor)


def check_gate(client: VertexClient, environment: Environment) -> int:
    """Say whether the candidate passes the promotion gate. Raises ``PromotionRefused``."""
    executor = connect(client, environment)
    live = executor.read_live_state()
    candidate = executor.open_release(_select_candidate(executor, live))
    promotion_checks.check_candidate(environment, build_desired_state(environment, None), candidate, live)
    return 0


def rollback(client: VertexClient, environment: Environment) -> int:
    """Give all traffic to the rollback target: from a canary, to the serving version; else to the previous one."""
    executor = VertexExecutor(client, environment)
    live = executor.read_live_state()
    identity, deployed = version_selection.select_rollback_target(live, build_desired_state(environment, None))
    config = deployed.serving_config if deployed else environment.serving_config  # a rollback keeps its machines
    desired = build_desired_state(environment, identity, serving_config=config, traffic_stages=(100,), is_rollback=True)
    return _print_and_apply(environment, desired, live, executor)


def teardown(client: VertexClient, environment: Environment, confirmed_id: str) -> int:
    """Remove the endpoint and its deployed models, if ``confirmed_id`` is its id; versions and artefacts stay."""
    executor = VertexExecutor(client, environment)
    desired = build_desired_state(environment, None)
    plan = diff(desired, executor.read_live_state())
    print_plan(environment, plan)
    if not plan.steps:
        return 0
    if confirmed_id != environment.endpoint.endpoint_id:
        raise UserError(
            f"nothing was removed; confirm with --confirm {environment.endpoint.endpoint_id}: clients of this endpoint "
            "will get no answers any more"
        )
    return _apply(environment, desired, plan, executor)


def print_plan(environment: Environment, plan: Plan) -> None:
    """Print the steps of a plan, the skipped steps with the reasons, and the monthly cost of the final state."""
    print(f"{environment.name}: " + (f"{len(plan.steps)} steps" if plan.steps else "nothing to do"))
    for number, step in enumerate(plan.steps, start=1):
        print(f"  {number}. {step}")
    for reason in plan.skipped:
        print(f"  not needed: {reason}")
    print(cost.monthly_cost(plan.final_state.endpoint, environment.location.region))


def _print_and_apply(environment: Environment, desired: DesiredState, live: LiveState, executor: VertexExecutor) -> int:
    plan = diff(desired, live)
    print_plan(environment, plan)
    return _apply(environment, desired, plan, executor)


def _apply(environment: Environment, desired: DesiredState, plan: Plan, executor: VertexExecutor) -> int:
    done = apply_plan(desired, plan, executor)
    result = f"{done} steps done" if done else "nothing has changed: it is as declared already"
    print(f"{environment.name}: {result}")
    return 0


def _select_candidate(executor: VertexExecutor, live: LiveState) -> VersionIdentity:
    """Return the declared release's identity, else the one that the aliases mark. Raises ``NoMatchingVersion``."""
    if executor.declared_release:
        return executor.declared_release.identity
    return version_selection.select_candidate(live, build_desired_state(executor.environment, None))
