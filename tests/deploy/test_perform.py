"""Steps on the API, by the real SDK: they do what ``steps.py`` says, and failures of any kind leave nothing that bills.

The state of the loopback Vertex AI is set directly, read by our code, and changed by the SDK.
"""

import concurrent.futures
import dataclasses
import random
from types import SimpleNamespace

import pytest
from google.cloud import aiplatform_v1 as api

from deploy import apply, release, steps
from deploy.live import Live
from deploy.observe import CPU
from deploy.perform import Platform
from deploy.plan import diff
from deploy.vertex import Vertex, proto
from tests.deploy import conftest, worlds
from tests.deploy.conftest import IMAGE

ENDPOINT = "projects/my-project/locations/us-central1/endpoints/countersign-staging"
MODEL = "projects/my-project/locations/us-central1/models/countersign"
EVERY_KIND = (51, 46, 9, 100)  # seeds whose plans hold every kind of step
ERRORS = {"errors": {"error": 5.0}}
FAULTS = ("lost", "dropped", "fails", "quota", "forbidden", "operation fails")
CALLS = {
    "Register": "UploadModel", "Evaluate": "ImportModelEvaluation", "CreateEndpoint": "CreateEndpoint",
    "Deploy": "DeployModel", "Traffic": "UpdateEndpoint", "Undeploy": "UndeployModel", "Label": "UpdateEndpoint",
    "Alias": "MergeVersionAliases", "Resize": "MutateDeployedModel", "DeleteEndpoint": "DeleteEndpoint",
}  # fmt: skip
PASSING = ("unavailable", "quota", "dropped")
REPEATED = ("UpdateEndpoint", "MergeVersionAliases", "MutateDeployedModel", "UndeployModel", "DeleteEndpoint")
LONG = ("UploadModel", "DeployModel", "UndeployModel", "DeleteEndpoint")  # calls that are operations


def pb(message):
    return type(message).pb(message)


def put(world, live: Live) -> None:
    """A live state as resources of the API."""
    versions = []
    for one in live.versions:
        version = api.Model(name=MODEL, version_id=one.number, version_aliases=sorted(one.aliases))
        if one.identity:
            artifact, image = one.identity
            version.version_description = f"Artefact sha256: {artifact * 2}\nImage: image@sha256:{image * 2}"
        versions.append(pb(version))
        if one.evaluated:
            kept = proto("ModelEvaluation", {"name": f"{MODEL}@{one.number}/evaluations/1", "metadata": ERRORS})
            world.resources[kept.name] = pb(kept)
    if versions:
        if not any("default" in one.version_aliases for one in versions):
            versions[0].version_aliases.append("default")
        world.models[MODEL] = versions
    if live.endpoint:
        endpoint = api.Endpoint(
            name=ENDPOINT, dedicated_endpoint_enabled=True, labels=dict(live.endpoint.labels),
            traffic_split=dict(live.endpoint.traffic), deployed_models=[_deployed(d) for d in live.endpoint.deployed],
        )  # fmt: skip
        world.resources[ENDPOINT] = pb(endpoint)


def _deployed(one):
    on = one.serving
    resources = api.DedicatedResources(
        machine_spec=api.MachineSpec(machine_type=on.machine), min_replica_count=on.min_replicas,
        max_replica_count=on.max_replicas,
        autoscaling_metric_specs=[api.AutoscalingMetricSpec(metric_name=CPU, target=on.target_cpu)],
    )  # fmt: skip
    return api.DeployedModel(id=one.id, model=MODEL, model_version_id=one.version, dedicated_resources=resources)


class Known(Platform):
    """A platform that knows several artefacts, as the store would."""

    def __init__(self, vertex, environment, releases, wanted):
        super().__init__(vertex, environment, releases.get(wanted))
        self.releases = releases

    def release(self, identity):
        return self.releases[identity]


@pytest.fixture
def worldly(artifact, another, environment, cloud):
    """``worldly(seed)``: a random state on the API, a wish, and the platform between them."""
    other = another("other")
    images = [f"image@sha256:{digit * 64}" for digit in "12"]
    releases = [release.opened(str(folder), image) for folder in (artifact, other) for image in images]
    known = {one.identity: one for one in releases}
    stored = set()

    def made(seed: int):
        rng = random.Random(seed)
        live, desired = worlds.live(rng, list(known)), worlds.wish(rng, list(known))
        desired = SimpleNamespace(
            **{**vars(desired), "smoke": False, "remove_foreign": True, "before_alias": desired.before_alias}
        )
        for one in known.values():
            if one.identity.artifact in live.stored and one.identity.artifact not in stored:
                stored.add(one.identity.artifact)
                release.store(environment, one)
        cloud.world.models.clear()
        cloud.world.resources.clear()
        cloud.world.operations.clear()
        put(cloud.world, live)
        return desired, Known(conftest.vertex(cloud), environment, known, desired.identity), rng

    return made


def told(live: Live, wanted) -> tuple:
    """What two readings of one state have in common: evaluations are read where they count."""
    versions = [(one.number, one.identity, one.aliases - {"default"}) for one in live.versions]
    evaluated = [one.number for one in live.versions if one.evaluated and one.identity == wanted]
    return live.endpoint, versions, evaluated


def quietly(_):
    pass


def test_each_step_makes_of_the_live_state_what_it_says(worldly):
    done = set()
    for seed in EVERY_KIND:
        desired, platform, _ = worldly(seed)
        before = platform.read()
        for step in diff(desired, before).steps:
            platform.do(step)
            after = platform.read()
            assert told(after, desired.identity) == told(step.after(before), desired.identity), (seed, step)
            before = after
            done.add(type(step).__name__)
        assert not diff(desired, before).steps
    assert done == set(steps.KINDS) - {"Smoke"}, "every kind of step but the one that changes nothing"


@pytest.mark.parametrize("kind", FAULTS)
def test_after_any_failure_of_any_call_the_next_apply_converges_and_nothing_idle_bills(worldly, cloud, kind):
    struck = harmless = 0
    for seed in EVERY_KIND[:2]:
        desired, platform, rng = worldly(seed)
        start = platform.read()
        shown = diff(desired, start)
        calls = [CALLS[type(step).__name__] for step in shown.steps if type(step).__name__ in CALLS]
        call = rng.choice([call for call in calls if kind != "operation fails" or call in LONG])
        cloud.fail(call, kind)
        harmless += kind == "lost" or (kind in PASSING and call in REPEATED)
        try:
            apply.run(desired, shown, platform, quietly)
        except apply.Stopped:
            struck += 1
            left = platform.read().endpoint
            assert start.endpoint or not left or left.traffic, "no endpoint that answers nothing"
            old = {one.id for one in start.endpoint.deployed} if start.endpoint else set()
            idle = [one.id for one in left.deployed if not left.share(one.id)] if left else []
            assert set(idle) <= old, "nothing that this run deployed is left without traffic"
        cloud._planned.clear()
        apply.run(desired, diff(desired, platform.read()), platform, quietly)
        assert apply.run(desired, diff(desired, platform.read()), platform, quietly) == 0
    assert struck == 2 - harmless, "a lost reply is found done, what may be done twice is; everything else stops"


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("call", REPEATED)
def test_what_may_be_done_twice_is_tried_again_before_anything_is_undone(worldly, cloud, call, kind):
    for seed in EVERY_KIND:
        desired, platform, _ = worldly(seed)
        shown, said = diff(desired, platform.read()), []
        if call in [CALLS.get(type(step).__name__) for step in shown.steps]:
            cloud.fail(call, kind, times=2)
            apply.run(desired, shown, platform, said.append)
            assert not any("cleaning up" in line or "lost" in line for line in said)
            assert not diff(desired, platform.read()).steps
            return
    pytest.fail(f"no plan calls {call}")


def test_a_finished_deployment_is_undone_only_when_traffic_is_refused_for_longer_than_the_bound(worldly, cloud):
    desired, platform, _ = worldly(EVERY_KIND[0])
    connection = dataclasses.replace(platform.vertex.connection, patience=0.05)
    platform.vertex = Vertex(connection)
    shown = diff(desired, platform.read())
    assert any(isinstance(step, steps.Traffic) for step in shown.steps)
    cloud.fail("UpdateEndpoint", "unavailable", times=10**6)
    with pytest.raises(apply.Stopped, match="ServiceUnavailable: The service is currently unavailable"):
        apply.run(desired, shown, platform, quietly)
    assert cloud.world.calls.count("UpdateEndpoint") > 1


def test_what_makes_something_is_not_repeated(platform, environment, cloud):
    desired = wished(platform, environment)
    for call in ("UploadModel", "CreateEndpoint", "DeployModel"):
        cloud.fail(call, "unavailable")
        with pytest.raises(apply.Stopped, match="currently unavailable"):
            apply.run(desired, diff(desired, platform.read()), platform, quietly)
    apply.run(desired, diff(desired, platform.read()), platform, quietly)
    assert [cloud.world.calls.count(call) for call in ("UploadModel", "DeployModel")] == [2, 2]


def test_a_lost_reply_is_not_a_second_upload(platform, environment, cloud):
    desired = wished(platform, environment)
    cloud.fail("UploadModel", "lost")
    cloud.fail("DeployModel", "lost")
    apply.run(desired, diff(desired, platform.read()), platform, quietly)
    assert cloud.world.calls.count("UploadModel") == 1
    assert len(cloud.world.models[MODEL]) == 1
    assert len(cloud.world.resources[ENDPOINT].deployed_models) == 1


@pytest.mark.parametrize("kind", ["operation fails", "quota", "forbidden", "dropped"])
def test_a_failed_deploy_leaves_no_endpoint_that_bills(platform, environment, cloud, kind):
    desired, said = wished(platform, environment), []
    cloud.fail("DeployModel", kind)
    with pytest.raises(apply.Stopped, match=r"(?s)stopped at step 5 of 6, deploy .*cleaned up: delete the endpoint"):
        apply.run(desired, diff(desired, platform.read()), platform, said.append)
    assert ENDPOINT not in cloud.world.resources
    assert any("cleaning up" in line for line in said)
    apply.run(desired, diff(desired, platform.read()), platform, quietly)
    assert len(cloud.world.resources[ENDPOINT].deployed_models) == 1
    assert cloud.world.calls.count("UploadModel") == 1, "nothing is uploaded twice"


@pytest.mark.parametrize("looks", [0, 2])
@pytest.mark.parametrize("there", [True, False])
def test_two_applies_at_the_same_time_register_one_identity_once(environment, cloud, another, there, looks):
    """``there``: the model has a version of another identity already; ``looks``: uploads take a while."""
    if there:
        first = Platform(conftest.vertex(cloud), environment, release.opened(str(another("first")), IMAGE))
        desired = wished(first, environment)
        apply.run(desired, diff(desired, first.read()), first, quietly)
    platforms = [conftest.at(cloud, environment) for _ in range(2)]
    desired = wished(platforms[0], environment)
    plans = [diff(desired, platform.read()) for platform in platforms]
    cloud.world.looks = looks
    cloud.fail("UploadModel", "together", times=2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = zip(plans, platforms, strict=True)
        running = [pool.submit(apply.run, desired, plan, platform, quietly) for plan, platform in both]
    for one in running:
        one.result()
    live = platforms[0].read()
    assert [version.identity for version in live.versions].count(desired.identity) == 1
    assert len(live.versions) == 1 + there
    (deployed,) = live.endpoint.of(desired.identity)
    assert live.endpoint.traffic == {deployed.id: 100}
    assert not diff(desired, live).steps


def test_a_step_that_another_apply_has_done_is_not_done_twice(platform, environment, cloud):
    desired = wished(platform, environment)
    plan = diff(desired, platform.read())
    for step in (*plan.steps[:3], *plan.steps[:3]):
        platform.do(step)
    assert [cloud.world.calls.count(call) for call in ("UploadModel", "ImportModelEvaluation")] == [1, 1]


def test_a_failed_second_deploy_leaves_the_first_as_it_was(platform, environment, cloud, another):
    desired = wished(platform, environment)
    apply.run(desired, diff(desired, platform.read()), platform, quietly)
    before = platform.read().endpoint
    second = Platform(platform.vertex, environment, release.opened(str(another("second")), environment.model.image))
    cloud.fail("DeployModel", "operation fails")
    with pytest.raises(apply.Stopped, match="never became ready"):
        apply.run(wished(second, environment), diff(wished(second, environment), second.read()), second, quietly)
    assert second.read().endpoint == before


def test_what_is_under_way_is_waited_for_and_not_begun_again(platform, environment, cloud):
    """A machine that applied is gone in the middle of a deployment."""
    desired = wished(platform, environment)
    steps = diff(desired, platform.read()).steps
    for step in steps[:4]:
        platform.do(step)
    cloud.world.looks = 5
    request = platform.vertex.endpoints.deploy_model
    calls = []

    class Gone(BaseException):
        pass

    def leave(*given, **how):
        calls.append(request(*given, **how))
        raise Gone

    platform.vertex.endpoints.deploy_model = leave
    with pytest.raises(Gone):
        platform.do(steps[4])
    platform.vertex.endpoints.deploy_model = request
    cloud.world.looks = 0
    assert platform.read().endpoint.traffic, "reading waits until the deployment has ended"
    assert diff(desired, platform.read()).steps == steps[5:]


def test_a_state_that_moved_since_it_was_shown_is_not_worked_on(platform, environment, cloud, another):
    desired = wished(platform, environment)
    apply.run(desired, diff(desired, platform.read()), platform, quietly)
    shown = diff(desired, platform.read())
    cloud.world.resources[ENDPOINT].labels["team"] = "b"
    with pytest.raises(apply.Moved, match="label the endpoint"):
        apply.run(desired, shown, platform, quietly)


def wished(platform, environment):
    from deploy import commands

    return commands.wished(environment, platform.given.identity)
