"""What the commands of ``python -m deploy`` do once their flags are read: each puts the pieces in order.

Knows all pieces and no flags' spelling. Next: ``plan.py`` for what steps there are, ``perform.py`` for what they do.
"""

import dataclasses
import datetime
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import apply, asking, batch, choose, cost, jobs, probe, release, saved, shrink, smoke, takeover
from deploy.live import Endpoint, Identity, Live
from deploy.perform import Platform
from deploy.plan import Desired, Plan, diff
from deploy.spec import Environment, as_label
from deploy.vertex import Vertex
from trainer.console.errors import UserError
from trainer.imaging import ImageError
from trainer.settings import config

CANARY = (10, 50, 100)  # percent of the traffic, each after a smoke test of the one before


def wished(environment: Environment, identity: Identity | None, **changes: Any) -> Desired:
    """What an environment is to become."""
    desired = Desired(
        identity, environment.serving, environment.endpoint.dedicated, environment.labelled(),
        (environment.endpoint.traffic,), keep=environment.endpoint.keep_previous,
        remove_foreign=environment.endpoint.remove_foreign,
        serving_alias=environment.model.serving_alias, candidate_alias=environment.model.candidate_alias,
    )  # fmt: skip
    return dataclasses.replace(desired, **changes)


def plan(vertex: Vertex, environment: Environment, path: Path, flags: Mapping[str, Any], then: str) -> int:
    """Show the steps to what the environment declares, and keep them in ``path``. Raises ``Refused``.

    ``flags`` are the settings that the command line set, ``then`` is the command that carries the plan out.
    """
    given = release.given(environment)
    platform, desired = Platform(vertex, environment, given), wished(environment, given.identity)
    live = platform.read()
    made = diff(desired, live)
    takeover.check(platform, desired, made, live)
    saved.write(path, environment, flags, given.identity, made)
    show(environment, made)
    if made.steps:
        print(f"saved: {path}; carry it out with:\n  {then}")
    return 0


def apply_(vertex: Vertex, environment: Environment, shown: saved.Saved | None) -> int:
    """Carry out the plan that was shown; without one, make it, show it and carry it out. Raises ``Refused``."""
    given = release.given(environment)
    if shown:
        shown.check(environment, given.identity)
    desired = wished(environment, given.identity)
    platform = Platform(vertex, environment, given)
    live = platform.read()
    made = diff(desired, live)
    if not shown:
        show(environment, made)
    takeover.check(platform, desired, made, live)
    return _carry_out(environment, desired, shown.plan if shown else made, platform)


def promote(vertex: Vertex, environment: Environment) -> int:
    """The candidate through canary shares to all traffic, if the gate lets it. Raises ``Refused``."""
    platform = _platform(vertex, environment)
    live = platform.read()
    identity = _candidate(platform, live)
    takeover.check_gate(platform, wished(environment, None), identity, live)
    takeover.check_deployed(environment, identity, live)
    first = environment.endpoint.traffic
    shares = tuple(share for share in CANARY if share > first or share == 100)
    desired = wished(environment, identity, shares=(first, *shares) if first < 100 else (100,), smoke=True)
    made = diff(desired, live)
    show(environment, made)
    return _carry_out(environment, desired, made, platform)


def check(vertex: Vertex, environment: Environment) -> int:
    """Only the gate: may this artefact be promoted? Raises ``Refused``."""
    platform = _platform(vertex, environment)
    live = platform.read()
    identity = _candidate(platform, live)
    takeover.check_gate(platform, wished(environment, None), identity, live)
    return 0


def rollback(vertex: Vertex, environment: Environment) -> int:
    """All traffic to the version before: of a canary, the one that serves; else the one that served before it."""
    platform = Platform(vertex, environment)
    live = platform.read()
    identity, there = choose.retreat(live, wished(environment, None))
    serving = there.serving if there else environment.serving  # as it is: nothing else is changed on the way back
    desired = wished(environment, identity, serving=serving, shares=(100,), retreat=True)
    made = diff(desired, live)
    show(environment, made)
    return _carry_out(environment, desired, made, platform)


def teardown(vertex: Vertex, environment: Environment, confirmed: str) -> int:
    """Remove the endpoint and what answers there; versions and artefacts stay. ``confirmed`` has to be its id."""
    platform = Platform(vertex, environment)
    desired = wished(environment, None)
    made = diff(desired, platform.read())
    show(environment, made)
    if not made.steps:
        return 0
    if confirmed != environment.endpoint.endpoint_id:
        raise UserError(
            f"nothing was removed; confirm with --confirm {environment.endpoint.endpoint_id}: whoever asks this "
            "endpoint gets no answers any more"
        )
    return _carry_out(environment, desired, made, platform)


def smoke_(vertex: Vertex, environment: Environment) -> int:
    """The golden images through the endpoint, for every deployed version that has traffic. Raises ``SmokeFailed``."""
    platform = _platform(vertex, environment)
    endpoint = _endpoint(platform.look())
    asked = [one for one in endpoint.deployed if one.identity and endpoint.share(one.id)]
    if not asked:
        raise smoke.SmokeFailed(f"nothing of ours has traffic at {environment.endpoint.endpoint_id}")
    for one in asked:
        assert one.identity is not None  # noqa: S101 - chosen above
        tally = platform.smoked(one.id, one.identity, endpoint.share(one.id))
        print(f"{endpoint.title(one.id)}, {endpoint.share(one.id)} %: golden answers as recorded; {tally}")
    return 0


def status(vertex: Vertex, environment: Environment) -> int:
    """Versions, traffic, health and cost, and what is under way; waits for nothing."""
    live = Platform(vertex, environment).look()
    print(f"model {environment.model.model_id}: {len(live.versions)} versions")
    for one in live.versions:
        errors = ", ".join(f"{name} {rate:.2f} %" for name, rate in sorted(one.errors.items()))
        aliases = ", ".join(sorted(one.aliases)) or "no alias"
        identity = one.identity or "foreign, not registered by this tool"
        print(f"  version {one.number}: {identity}  {aliases}  {errors}".rstrip())
    if live.endpoint is None:
        print(f"endpoint {environment.endpoint.endpoint_id}: there is none")
        return 0
    endpoint = live.endpoint
    kind = "dedicated" if endpoint.dedicated else "shared"
    asked = asking.Asking(vertex, vertex.name("endpoints", environment.endpoint.endpoint_id))
    tally = probe.health(asked.once, endpoint.traffic, asking.instance(shrink.line()))
    print(f"endpoint {environment.endpoint.endpoint_id} ({kind}): {probe.answers(endpoint, tally)}")
    for deployed in endpoint.deployed:
        on, up = deployed.serving, "unknown" if deployed.replicas is None else deployed.replicas
        print(
            f"  {endpoint.title(deployed.id)}: {endpoint.share(deployed.id)} % of the traffic, {up} of "
            f"{on.min_replicas} to {on.max_replicas} x {on.machine} up{probe.answered(endpoint, deployed.id, tally)}"
        )
    print(cost.monthly(endpoint, environment.place.region))
    if running := vertex.running(vertex.endpoints, vertex.name("endpoints", environment.endpoint.endpoint_id)):
        print(f"under way: {running}")
    return 0


def predict(
    vertex: Vertex, environment: Environment, files: list[Path], references: list[Path], parameters: dict[str, Any]
) -> int:  # fmt: skip
    """Image files through the endpoint, one answer a line; what is too large for a request is made smaller first."""
    asked = asking.Asking(vertex, vertex.name("endpoints", environment.endpoint.endpoint_id))
    room = (asked.largest - 1000) // (1 + len(references))  # without what is around the images
    known = [_fitting(file, room) for file in references]
    instances = [asking.instance(_fitting(file, room), known) for file in files]
    for batch_ in asking.batches(instances, asked.largest):
        for answer in asked.ask(batch_, parameters)[1]:
            print(json.dumps(answer))
    return 0


def train(vertex: Vertex, environment: Environment, options: Any) -> int:
    """Show exactly what is submitted, submit it, follow it; ``options`` are the command's own flags.

    The trainer's flags are checked here: a typo would cost the start of a machine.
    """
    arguments = (*environment.training.arguments, *options.more)
    environment = dataclasses.replace(
        environment, training=dataclasses.replace(environment.training, arguments=arguments)
    )
    name = options.name or _now(environment, "job")
    described = (
        jobs.tuning(environment, name, options.commit, options.tune)
        if options.tune
        else jobs.custom(environment, name, options.commit)
    )
    config.from_command_line(jobs.arguments(described), {}, prog="python -m deploy train: arguments")
    print(jobs.shown(described), end="")
    if options.dry_run:
        return 0
    job = jobs.submit(vertex, described)
    print(f"submitted: {job}")
    if not options.follow:
        return 0
    ended = jobs.follow(vertex, job, options.every)
    place = f"{environment.training.output.rstrip('/')}/{name}"
    if options.tune:
        trial = jobs.best(ended)
        if trial is None:
            raise jobs.JobFailed(f"{job}: no trial measured {ended.study_spec.metrics[0].metric_id}")
        values = ", ".join(f"{one.parameter_id} {one.value}" for one in trial.parameters)
        print(f"best trial: {trial.id} ({trial.final_measurement.metrics[0].value:g}; {values})")
        place = f"{place}/{trial.id}"
    print(f"artefact: {place}/model")
    return 0


def batch_(vertex: Vertex, environment: Environment, given: str, output: str, replicas: int, every: float) -> int:
    """A prefix or a file of instances through the serving version, as a batch prediction job."""
    live = Platform(vertex, environment).look()
    version = live.aliased(environment.model.serving_alias)
    if version is None:
        raise UserError(f"no version has the alias {environment.model.serving_alias!r}; apply gives it")
    name = _now(environment, "batch")
    job = batch.submit(vertex, batch.described(environment, vertex, version.number, given, output, name, replicas))
    print(f"submitted: {job}, by version {version.number}")
    ended = jobs.follow(vertex, job, every)
    print(batch.told(ended))
    return 0 if ended.state.name == "JOB_STATE_SUCCEEDED" else 1


def _now(environment: Environment, kind: str) -> str:
    """A name for a job, as every service takes it; two that begin in the same second have different ones."""
    now = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return f"{as_label(environment.name).replace('_', '-')}-{kind}-{now}"


def show(environment: Environment, made: Plan) -> None:
    """A plan for people: steps, what is not needed and why, and what stays up costs."""
    print(f"{environment.name}: " + (f"{len(made.steps)} steps" if made.steps else "nothing to do"))
    for number, step in enumerate(made.steps, start=1):
        print(f"  {number}. {step}")
    for reason in made.unneeded:
        print(f"  not needed: {reason}")
    print(cost.monthly(made.end.endpoint, environment.place.region))


def _carry_out(environment: Environment, desired: Desired, made: Plan, platform: Platform) -> int:
    done = apply.run(desired, made, platform)
    print(
        f"{environment.name}: " + (f"{done} steps done" if done else "nothing has changed: it is as declared already")
    )
    return 0


def _platform(vertex: Vertex, environment: Environment) -> Platform:
    """With the artefact that was given, if one was."""
    known = environment.model.artifact and environment.model.image
    return Platform(vertex, environment, release.given(environment) if known else None)


def _candidate(platform: Platform, live: Live) -> Identity:
    """What was given, else what the aliases say. Raises ``NoChoice``."""
    return platform.given.identity if platform.given else choose.candidate(live, wished(platform.environment, None))


def _fitting(file: Path, room: int) -> bytes:
    try:
        return shrink.fitting(file.read_bytes(), room)
    except ImageError as error:
        raise UserError(f"{str(file)!r}: {error}") from None


def _endpoint(live: Live) -> Endpoint:
    if live.endpoint is None:
        raise UserError("there is no endpoint; apply makes it")
    return live.endpoint
