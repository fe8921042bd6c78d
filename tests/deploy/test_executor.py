"""Steps executed by the real SDK have the effect that ``steps.py`` describes; failures leave nothing idle that bills.

The tests set the state of the loopback Vertex AI directly; deploy reads it and changes it by the SDK.
"""

import concurrent.futures
import dataclasses
import random

import pytest
from google.cloud import aiplatform_v1 as api

from deploy import artifact_store, steps
from deploy.apply import apply_plan
from deploy.commands import build_desired_state
from deploy.desired_state import DesiredState
from deploy.errors import ApplyStopped, StalePlan
from deploy.executor import VertexExecutor
from deploy.live_state import DeployedModel, LiveState, VersionIdentity
from deploy.live_state_reader import CPU_METRIC
from deploy.plan import diff
from deploy.vertex import VertexClient, make_message
from tests.deploy import random_states
from tests.deploy.conftest import IMAGE, make_client, make_executor

ENDPOINT = "projects/my-project/locations/us-central1/endpoints/countersign-staging"
MODEL = "projects/my-project/locations/us-central1/models/countersign"
ALL_STEP_TYPES = (51, 46, 9, 100)  # seeds whose plans together have every type of step
ERRORS = {"errors": {"error": 5.0}}
FAULTS = ("lost", "dropped", "fails", "quota", "forbidden", "operation fails")
CALLS = {
    steps.RegisterVersion: "UploadModel",
    steps.ImportEvaluation: "ImportModelEvaluation",
    steps.CreateEndpoint: "CreateEndpoint",
    steps.Deploy: "DeployModel",
    steps.SetTraffic: "UpdateEndpoint",
    steps.Undeploy: "UndeployModel",
    steps.SetLabels: "UpdateEndpoint",
    steps.SetAlias: "MergeVersionAliases",
    steps.Resize: "MutateDeployedModel",
    steps.DeleteEndpoint: "DeleteEndpoint",
}
TRANSIENT_FAULTS = ("unavailable", "quota", "dropped")
IDEMPOTENT_CALLS = ("UpdateEndpoint", "MergeVersionAliases", "MutateDeployedModel", "UndeployModel", "DeleteEndpoint")
OPERATIONS = ("UploadModel", "DeployModel", "UndeployModel", "DeleteEndpoint")  # calls that return operations


def ignore_line(line: str) -> None:
    pass


def to_pb(message):
    return type(message).pb(message)


def store_state(world, live: LiveState) -> None:
    """Store a live state as resources of the API."""
    versions = []
    for version in live.versions:
        model = api.Model(name=MODEL, version_id=version.number, version_aliases=sorted(version.aliases))
        if version.identity:
            artifact, image = version.identity
            model.version_description = f"Artefact sha256: {artifact * 2}\nImage: image@sha256:{image * 2}"
        versions.append(to_pb(model))
        if version.has_evaluation:
            name = f"{MODEL}@{version.number}/evaluations/1"
            evaluation = make_message("ModelEvaluation", {"name": name, "metadata": ERRORS})
            world.resources[name] = to_pb(evaluation)
    if versions:
        if not any("default" in model.version_aliases for model in versions):
            versions[0].version_aliases.append("default")
        world.models[MODEL] = versions
    if live.endpoint:
        endpoint = api.Endpoint(
            name=ENDPOINT,
            dedicated_endpoint_enabled=True,
            labels=dict(live.endpoint.labels),
            traffic_split=dict(live.endpoint.traffic_split),
            deployed_models=[_to_message(model) for model in live.endpoint.deployed_models],
        )
        world.resources[ENDPOINT] = to_pb(endpoint)


def _to_message(model: DeployedModel) -> api.DeployedModel:
    config = model.serving_config
    resources = api.DedicatedResources(
        machine_spec=api.MachineSpec(machine_type=config.machine_type),
        min_replica_count=config.min_replicas,
        max_replica_count=config.max_replicas,
        autoscaling_metric_specs=[api.AutoscalingMetricSpec(metric_name=CPU_METRIC, target=config.target_cpu)],
    )
    return api.DeployedModel(id=model.id, model=MODEL, model_version_id=model.version, dedicated_resources=resources)


class ExecutorOfReleases(VertexExecutor):
    """An executor that opens releases from a dictionary, instead of from the store."""

    def __init__(self, client, environment, releases, identity):
        super().__init__(client, environment, releases.get(identity))
        self.releases = releases

    def open_release(self, identity):
        return self.releases[identity]


@pytest.fixture
def random_case(artifact, copy_artifact, environment, cloud):
    """``random_case(seed)`` sets a random state of the API; returns a desired state, the executor, the generator."""
    images = [f"image@sha256:{digit * 64}" for digit in "12"]
    folders = (artifact, copy_artifact("other"))
    releases = [artifact_store.open_artifact(str(folder), image) for folder in folders for image in images]
    by_identity = {release.identity: release for release in releases}
    uploaded = set()

    def make_case(seed: int) -> tuple[DesiredState, VertexExecutor, random.Random]:
        rng, identities = random.Random(seed), list(by_identity)
        live = random_states.make_live_state(rng, identities)
        desired = random_states.make_desired_state(rng, identities)
        desired = dataclasses.replace(desired, with_smoke_tests=False, remove_foreign=True)
        for release in releases:
            digest = release.identity.artifact
            if digest in live.stored_artifacts and digest not in uploaded:
                uploaded.add(digest)
                artifact_store.upload(environment, release)
        cloud.world.models.clear()
        cloud.world.resources.clear()
        cloud.world.operations.clear()
        store_state(cloud.world, live)
        return desired, ExecutorOfReleases(make_client(cloud), environment, by_identity, desired.identity), rng

    return make_case


def comparable(live: LiveState, identity: VersionIdentity | None) -> tuple:
    """Return what two reads of a state have in common: evaluations are read only for some versions."""
    versions = [(version.number, version.identity, version.aliases - {"default"}) for version in live.versions]
    evaluated = [v.number for v in live.versions if v.has_evaluation and v.identity == identity]
    return live.endpoint, versions, evaluated


def declared_state(executor: VertexExecutor) -> DesiredState:
    return build_desired_state(executor.environment, executor.declared_release.identity)


def plan_and_apply(desired: DesiredState, executor: VertexExecutor, print_line=ignore_line) -> int:
    return apply_plan(desired, diff(desired, executor.read_live_state()), executor, print_line)


def test_each_step_changes_the_live_state_as_it_describes(random_case):
    executed = set()
    for seed in ALL_STEP_TYPES:
        desired, executor, _ = random_case(seed)
        before = executor.read_live_state()
        for step in diff(desired, before).steps:
            executor.execute(step)
            after = executor.read_live_state()
            expected = step.apply_to(before)
            assert comparable(after, desired.identity) == comparable(expected, desired.identity), (seed, step)
            before = after
            executed.add(type(step))
        assert not diff(desired, before).steps
    assert executed == set(CALLS) | {steps.StoreArtifact}
    assert executed == set(steps.STEP_TYPES.values()) - {steps.RunSmokeTest}, "all but the type that changes nothing"


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_failure_of_any_call_the_next_apply_converges_and_nothing_idle_bills(random_case, cloud, fault):
    stopped = harmless = 0
    for seed in ALL_STEP_TYPES[:2]:
        desired, executor, rng = random_case(seed)
        start = executor.read_live_state()
        plan = diff(desired, start)
        calls = [CALLS[type(step)] for step in plan.steps if type(step) in CALLS]
        call = rng.choice([call for call in calls if fault != "operation fails" or call in OPERATIONS])
        cloud.fail(call, fault)
        harmless += fault == "lost" or (fault in TRANSIENT_FAULTS and call in IDEMPOTENT_CALLS)
        try:
            apply_plan(desired, plan, executor, ignore_line)
        except ApplyStopped:
            stopped += 1
            endpoint = executor.read_live_state().endpoint
            assert start.endpoint or not endpoint or endpoint.traffic_split, "no endpoint without traffic is left"
            old_ids = {model.id for model in start.endpoint.deployed_models} if start.endpoint else set()
            models = endpoint.deployed_models if endpoint else ()
            idle = {model.id for model in models if not endpoint.traffic_percentage(model.id)}
            assert idle <= old_ids, "no model that this run deployed is left without traffic"
        cloud.clear_faults()
        plan_and_apply(desired, executor)
        assert plan_and_apply(desired, executor) == 0
    assert stopped == 2 - harmless, "lost replies are recognized and idempotent calls retried; everything else stops"


@pytest.mark.parametrize("fault", TRANSIENT_FAULTS)
@pytest.mark.parametrize("call", IDEMPOTENT_CALLS)
def test_an_idempotent_call_is_retried_before_anything_is_undone(random_case, cloud, call, fault):
    for seed in ALL_STEP_TYPES:
        desired, executor, _ = random_case(seed)
        plan, lines = diff(desired, executor.read_live_state()), []
        if call in [CALLS.get(type(step)) for step in plan.steps]:
            cloud.fail(call, fault, times=2)
            apply_plan(desired, plan, executor, lines.append)
            assert not any("cleaning up" in line or "lost" in line for line in lines)
            assert not diff(desired, executor.read_live_state()).steps
            return
    pytest.fail(f"no plan calls {call}")


def test_a_deployment_is_undone_only_when_traffic_is_refused_for_longer_than_the_retry_timeout(random_case, cloud):
    desired, executor, _ = random_case(ALL_STEP_TYPES[0])
    executor.client = VertexClient(dataclasses.replace(executor.client.connection, retry_timeout=0.05))
    plan = diff(desired, executor.read_live_state())
    assert any(isinstance(step, steps.SetTraffic) for step in plan.steps)
    cloud.fail("UpdateEndpoint", "unavailable", times=10**6)
    with pytest.raises(ApplyStopped, match="ServiceUnavailable: The service is currently unavailable"):
        apply_plan(desired, plan, executor, ignore_line)
    assert cloud.world.calls.count("UpdateEndpoint") > 1


def test_a_call_that_creates_something_is_not_retried(executor, cloud):
    desired = declared_state(executor)
    for call in ("UploadModel", "CreateEndpoint", "DeployModel"):
        cloud.fail(call, "unavailable")
        with pytest.raises(ApplyStopped, match="currently unavailable"):
            plan_and_apply(desired, executor)
    plan_and_apply(desired, executor)
    assert [cloud.world.calls.count(call) for call in ("UploadModel", "DeployModel")] == [2, 2]


def test_a_lost_reply_is_not_a_second_upload(executor, cloud):
    cloud.fail("UploadModel", "lost")
    cloud.fail("DeployModel", "lost")
    plan_and_apply(declared_state(executor), executor)
    assert cloud.world.calls.count("UploadModel") == 1
    assert len(cloud.world.models[MODEL]) == 1
    assert len(cloud.world.resources[ENDPOINT].deployed_models) == 1


@pytest.mark.parametrize("fault", ["operation fails", "quota", "forbidden", "dropped"])
def test_a_failed_deployment_leaves_no_endpoint(executor, cloud, fault):
    desired, lines = declared_state(executor), []
    cloud.fail("DeployModel", fault)
    with pytest.raises(ApplyStopped, match=r"(?s)stopped at step 5 of 6, deploy .*cleaned up: delete the endpoint"):
        plan_and_apply(desired, executor, lines.append)
    assert ENDPOINT not in cloud.world.resources
    assert any("cleaning up" in line for line in lines)
    plan_and_apply(desired, executor)
    assert len(cloud.world.resources[ENDPOINT].deployed_models) == 1
    assert cloud.world.calls.count("UploadModel") == 1, "nothing is uploaded twice"


@pytest.mark.parametrize("polls_until_done", [0, 2])
@pytest.mark.parametrize("has_version", [True, False])
def test_two_applies_at_the_same_time_register_an_identity_once(
    environment, cloud, copy_artifact, has_version, polls_until_done
):
    """``has_version``: the model has a version of another identity before; with polls, uploads take a while."""
    if has_version:
        release = artifact_store.open_artifact(str(copy_artifact("first")), IMAGE)
        first = VertexExecutor(make_client(cloud), environment, release)
        plan_and_apply(declared_state(first), first)
    executors = [make_executor(cloud, environment) for _ in range(2)]
    desired = declared_state(executors[0])
    plans = [diff(desired, executor.read_live_state()) for executor in executors]
    cloud.world.polls_until_done = polls_until_done
    cloud.fail("UploadModel", "together", times=2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pairs = zip(plans, executors, strict=True)
        futures = [pool.submit(apply_plan, desired, plan, executor, ignore_line) for plan, executor in pairs]
    for future in futures:
        future.result()
    live = executors[0].read_live_state()
    assert [version.identity for version in live.versions].count(desired.identity) == 1
    assert len(live.versions) == 1 + has_version
    (deployed,) = live.endpoint.find_deployed(desired.identity)
    assert live.endpoint.traffic_split == {deployed.id: 100}
    assert not diff(desired, live).steps


def test_a_step_that_another_apply_has_done_is_not_done_twice(executor, cloud):
    plan = diff(declared_state(executor), executor.read_live_state())
    for step in (*plan.steps[:3], *plan.steps[:3]):
        executor.execute(step)
    assert [cloud.world.calls.count(call) for call in ("UploadModel", "ImportModelEvaluation")] == [1, 1]


def test_a_failed_second_deployment_leaves_the_first_as_it_was(executor, environment, cloud, copy_artifact):
    plan_and_apply(declared_state(executor), executor)
    before = executor.read_live_state().endpoint
    release = artifact_store.open_artifact(str(copy_artifact("second")), environment.model.image)
    second = VertexExecutor(executor.client, environment, release)
    cloud.fail("DeployModel", "operation fails")
    with pytest.raises(ApplyStopped, match="never became ready"):
        plan_and_apply(declared_state(second), second)
    assert second.read_live_state().endpoint == before


def test_an_operation_under_way_is_waited_for_and_not_started_again(executor, cloud):
    """The process that applies a plan dies in the middle of a deployment."""
    desired = declared_state(executor)
    planned = diff(desired, executor.read_live_state()).steps
    for step in planned[:4]:
        executor.execute(step)
    cloud.world.polls_until_done = 5
    deploy_model = executor.client.endpoints.deploy_model

    class Death(BaseException):
        pass

    def die_after_call(*arguments, **options):
        deploy_model(*arguments, **options)
        raise Death

    executor.client.endpoints.deploy_model = die_after_call
    with pytest.raises(Death):
        executor.execute(planned[4])
    executor.client.endpoints.deploy_model = deploy_model
    cloud.world.polls_until_done = 0
    assert executor.read_live_state().endpoint.traffic_split, "reading waits until the deployment has ended"
    assert diff(desired, executor.read_live_state()).steps == planned[5:]


def test_a_plan_is_not_applied_to_a_state_that_has_changed(executor, cloud):
    desired = declared_state(executor)
    plan_and_apply(desired, executor)
    plan = diff(desired, executor.read_live_state())
    cloud.world.resources[ENDPOINT].labels["team"] = "b"
    with pytest.raises(StalePlan, match="label the endpoint"):
        apply_plan(desired, plan, executor, ignore_line)
