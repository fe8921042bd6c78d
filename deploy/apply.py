"""Apply a plan: execute exactly the steps that were shown, in order, and stop at the first one that fails.

What a failed step leaves is cleaned up, so that nothing is billed that does not answer; executed steps stay, and the
next run continues from there. Independent of the SDK. Next: ``executor.py`` executes steps on Vertex AI.
"""

from collections.abc import Callable
from typing import Protocol

from deploy import version_selection
from deploy.desired_state import DesiredState
from deploy.errors import ApplyStopped, ReplyLost, SmokeTestFailed, StalePlan
from deploy.live_state import LiveState
from deploy.plan import Plan, diff
from deploy.steps import (
    CreateEndpoint,
    DeleteEndpoint,
    Deploy,
    RunSmokeTest,
    SetAlias,
    SetTraffic,
    Step,
    Undeploy,
    add_version_titles,
)
from trainer.console.errors import UserError


class StepExecutor(Protocol):
    """Reads the live state and executes steps: on Vertex AI, or in memory in a test."""

    def read_live_state(self) -> LiveState: ...

    def execute(self, step: Step) -> None: ...


def apply_plan(
    desired: DesiredState, plan: Plan, executor: StepExecutor, print_line: Callable[[str], None] = print
) -> int:
    """Execute the steps of a plan that are still needed; return their number.

    Raises ``StalePlan`` where the live state needs other steps by now, and ``ApplyStopped`` where a step fails.
    """
    start = executor.read_live_state()
    steps = diff(desired, start).steps
    if unplanned := [step for step in steps if step not in plan.steps]:
        raise StalePlan(
            "the live state has changed since the plan was made, and needs other steps:\n"
            + "\n".join(f"  - {step}" for step in unplanned)
            + "\nplan again"
        )
    for step in plan.steps:
        if step not in steps:
            print_line(f"  done before: {step}")
    run = _Run(desired, start, executor, print_line)
    for number, step in enumerate(steps, start=1):
        print_line(f"  {number}/{len(steps)} {step}")
        try:
            executor.execute(step)
        except (UserError, OSError) as error:
            if not run.has_taken_effect(step, error):
                result = run.clean_up(step)
                if isinstance(step, RunSmokeTest):
                    result += run.describe_remaining_traffic(step)
                raise ApplyStopped(f"stopped at step {number} of {len(steps)}, {step}: {error}{result}") from error
            if isinstance(error, ReplyLost):
                print_line(f"     the reply was lost, but the step is done ({error})")
            else:
                print_line(f"     this call failed, but another operation has done the step ({error})")
        run.done.append(step)
    return len(run.done)


class _Run:
    """One application of a plan: the state at its start and the steps that are done."""

    def __init__(
        self, desired: DesiredState, start: LiveState, executor: StepExecutor, print_line: Callable[[str], None]
    ):
        self.desired, self.start, self.executor, self.print_line = desired, start, executor, print_line
        self.done: list[Step] = []

    def has_taken_effect(self, step: Step, error: Exception) -> bool:
        """Whether the live state does not need the failed step any more, so that only its reply is missing."""
        if isinstance(error, SmokeTestFailed) or isinstance(step, RunSmokeTest):
            return False
        try:
            return step not in diff(self.desired, self.executor.read_live_state()).steps
        except (UserError, OSError):
            return False

    def clean_up(self, failed: Step) -> str:
        """Undo what a failed step leaves half done; return the result for the message."""
        try:
            live = self.executor.read_live_state()
            steps = [add_version_titles(step, live) for step in self._steps_to_undo(live, failed)]
            for step in steps:
                self.print_line(f"     cleaning up: {step}")
                self.executor.execute(step)
        except (UserError, OSError) as error:
            return f"\ncould not clean up ({error}): look with 'status', remove with 'teardown'"
        return "".join(f"\ncleaned up: {step}" for step in steps)

    def describe_remaining_traffic(self, failed: RunSmokeTest) -> str:
        """Return, for the message, how much traffic the version keeps whose smoke test failed."""
        try:
            live = self.executor.read_live_state()
        except (UserError, OSError):
            return ""
        id = failed.deployed_model_id
        title = live.describe_version(failed.identity, id)
        percentage = live.endpoint.traffic_percentage(id) if live.endpoint else 0
        if not percentage:
            return f"\n{title} has no traffic now"
        try:
            version_selection.select_rollback_target(live, self.desired)
        except version_selection.NoMatchingVersion:
            return f"\n{title} keeps {percentage} % of the traffic; there is no version to roll back to"
        return f"\n{title} keeps {percentage} % of the traffic; 'rollback' takes that away"

    def _steps_to_undo(self, live: LiveState, failed: Step) -> list[Step]:
        endpoint = live.endpoint
        if endpoint is None:
            return []
        steps: list[Step] = []
        split = dict(endpoint.traffic_split)
        if isinstance(failed, RunSmokeTest):
            restored = self._traffic_to_restore(live, failed)
            if restored and restored != split:
                steps.append(SetTraffic(restored))
                split = restored
        start = self.start.endpoint
        old_ids = {model.id for model in start.deployed_models} if start else set()
        ids = {model.id for model in endpoint.deployed_models}
        for step in (*self.done, failed):
            if not isinstance(step, Deploy) or step.deployed_model_id not in ids - old_ids:
                continue
            if not split.get(step.deployed_model_id):  # deployed by this run and idle: it would only cost
                steps.append(Undeploy(step.deployed_model_id))
                ids.remove(step.deployed_model_id)
                if SetAlias(self.desired.candidate_alias, step.identity) in self.done:
                    steps.append(SetAlias(self.desired.candidate_alias, None))
        is_created = any(isinstance(step, CreateEndpoint) for step in (*self.done, failed))
        if is_created and not ids:
            steps.append(DeleteEndpoint())
        return steps

    def _traffic_to_restore(self, live: LiveState, failed: RunSmokeTest) -> dict[str, int]:
        """Return the traffic split to restore after a failed smoke test; empty where there is none.

        That is the split at the start of this run, or all traffic of the serving version where an earlier run was
        interrupted after it had moved everything.
        """
        assert live.endpoint is not None  # noqa: S101 - the smoke test has used it
        start = self.start.endpoint
        ids = {model.id for model in live.endpoint.deployed_models}
        split = dict(start.traffic_split) if start else {}
        serving = live.find_by_alias(self.desired.serving_alias)
        had_all_traffic = start is not None and start.has_all_traffic(failed.deployed_model_id)
        if had_all_traffic and serving and serving.identity not in (None, failed.identity):
            foreign = {model.id: live.endpoint.traffic_percentage(model.id) for model in live.endpoint.foreign_models}
            models = [model for model in live.endpoint.deployed_models if model.version == serving.number]
            split = {id: percentage for id, percentage in foreign.items() if percentage}
            split |= {model.id: live.endpoint.available_traffic for model in models}
        return split if set(split) <= ids and sum(split.values()) == 100 else {}
