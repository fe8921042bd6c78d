"""Carries out a plan: exactly the steps that were shown, one after the other, and stops at the first that fails.

What a failed step left is cleaned up, so that nothing bills that does not answer; done steps stay, and the next run
goes on from there. Knows steps and a platform, not the SDK.
"""

from collections.abc import Callable
from typing import Protocol

from deploy import choose
from deploy.live import Live
from deploy.plan import Desired, Plan, diff
from deploy.smoke import SmokeFailed
from deploy.steps import Alias, CreateEndpoint, DeleteEndpoint, Deploy, Smoke, Step, Traffic, Undeploy, titled
from deploy.vertex import Unanswered
from trainer.console.errors import UserError


class Platform(Protocol):
    """Where steps are done: Vertex AI, or a test's."""

    def read(self) -> Live: ...

    def do(self, step: Step) -> None: ...


class Stopped(UserError):
    """A step failed; the message says which, why, and what was done about it."""


class Moved(UserError):
    """The live state asks for other steps than those that were shown."""


def run(desired: Desired, shown: Plan, platform: Platform, tell: Callable[[str], None] = print) -> int:
    """Do what is left of the shown steps; returns how many were done. Raises ``Stopped`` or ``Moved``."""
    start = platform.read()
    steps = diff(desired, start).steps
    if other := [step for step in steps if step not in shown.steps]:
        raise Moved(
            "the live state has changed since the plan was made, and asks for other steps:\n"
            + "\n".join(f"  - {step}" for step in other)
            + "\nplan again"
        )
    for step in shown.steps:
        if step not in steps:
            tell(f"  done before: {step}")
    done: list[Step] = []
    for number, step in enumerate(steps, start=1):
        tell(f"  {number}/{len(steps)} {step}")
        try:
            platform.do(step)
        except (UserError, OSError) as error:
            if not _was_done(desired, step, error, platform):
                cleaned = _clean(desired, start, done, step, platform, tell)
                hint = _share_left(desired, step, platform) if isinstance(step, Smoke) else ""
                raise Stopped(f"stopped at step {number} of {len(steps)}, {step}: {error}{cleaned}{hint}") from error
            lost = "the reply was lost, but it is done"
            elsewhere = "this call failed, but another operation has done it"
            tell(f"     {lost if isinstance(error, Unanswered) else elsewhere} ({error})")
        done.append(step)
    return len(done)


def _was_done(desired: Desired, step: Step, error: Exception, platform: Platform) -> bool:
    """Whether only the reply is missing: the live state does not ask for the step any more."""
    if isinstance(error, SmokeFailed) or isinstance(step, Smoke):
        return False
    try:
        return step not in diff(desired, platform.read()).steps
    except (UserError, OSError):
        return False


def _clean(
    desired: Desired, start: Live, done: list[Step], failed: Step, platform: Platform, tell: Callable[[str], None]
) -> str:  # fmt: skip
    """Undo what a failed step left half done; how that went, for the message."""
    try:
        live = platform.read()
        undo = [titled(step, live) for step in _undo(desired, start, live, done, failed)]
        for step in undo:
            tell(f"     cleaning up: {step}")
            platform.do(step)
    except (UserError, OSError) as error:
        return f"\ncould not clean up ({error}): look with 'status', remove with 'teardown'"
    return "".join(f"\ncleaned up: {step}" for step in undo)


def _share_left(desired: Desired, failed: Smoke, platform: Platform) -> str:
    """What traffic a version has that failed its smoke test, after the cleaning up, for the message."""
    try:
        live = platform.read()
    except (UserError, OSError):
        return ""
    name, share = live.title(failed.identity, failed.id), live.endpoint.share(failed.id) if live.endpoint else 0
    if not share:
        return f"\n{name} has no traffic now"
    try:
        choose.retreat(live, desired)
    except choose.NoChoice:
        return f"\n{name} keeps {share} % of the traffic; there is no version to roll back to"
    return f"\n{name} keeps {share} % of the traffic; 'rollback' takes that away"


def _undo(desired: Desired, start: Live, live: Live, done: list[Step], failed: Step) -> list[Step]:
    endpoint = live.endpoint
    if endpoint is None:
        return []
    steps: list[Step] = []
    traffic = dict(endpoint.traffic)
    if isinstance(failed, Smoke) and (back := _traffic_before(desired, start, live, failed)) not in ({}, traffic):
        steps.append(Traffic(back))
        traffic = back
    left = {one.id for one in endpoint.deployed}
    old = {one.id for one in start.endpoint.deployed} if start.endpoint else set()
    for step in (*done, failed):  # what was deployed by this run and has no traffic bills for nothing
        if isinstance(step, Deploy) and step.id in left - old and not traffic.get(step.id):
            steps.append(Undeploy(step.id))
            left.remove(step.id)
            if Alias(desired.candidate_alias, step.identity) in done:
                steps.append(Alias(desired.candidate_alias, None))
    made = isinstance(failed, CreateEndpoint) or any(isinstance(step, CreateEndpoint) for step in done)
    if made and not left:
        steps.append(DeleteEndpoint())
    return steps


def _traffic_before(desired: Desired, start: Live, live: Live, failed: Smoke) -> dict[str, int]:
    """Where traffic goes when what it went to does not answer rightly; nothing if there is nowhere.

    To what it was when this run began; a run that was cut off at the end of its way goes back to who serves.
    """
    assert live.endpoint is not None  # noqa: S101 - it was asked
    there = {one.id for one in live.endpoint.deployed}
    before = dict(start.endpoint.traffic) if start.endpoint else {}
    serving = live.aliased(desired.serving_alias)
    alone = start.endpoint is not None and start.endpoint.serves(failed.id)
    if alone and serving and serving.identity not in (None, failed.identity):
        foreign = {one.id: live.endpoint.share(one.id) for one in live.endpoint.foreign if live.endpoint.share(one.id)}
        own = live.endpoint.own_traffic
        before = foreign | {one.id: own for one in live.endpoint.deployed if one.version == serving.number}
    return before if before and set(before) <= there and sum(before.values()) == 100 else {}
