"""Every shell command of the README and the docs works as written; commands for Google Cloud run against loopback.

``make test-docs`` runs each page in a shell of its own.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import gcloud
from tests.loopback.machines import Machines
from tests.loopback.server import Loopback
from tests.loopback.storage import cloud_storage

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- not run[^>]*-->\n)?```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
SMALL_DEMO = {"DEMO_FLAGS": "--writers 12 --epochs 1"}  # everything else is as a newcomer has it
REGISTRY = "us-central1-docker.pkg.dev/my-project/countersign"
NAMES = {
    "IMAGE": f"{REGISTRY}/predictor@sha256:{'1f' * 32}",
    "NEXT_IMAGE": f"{REGISTRY}/predictor@sha256:{'2f' * 32}",
    "TRAINER": f"{REGISTRY}/trainer:1",
    "PREPARATION": f"{REGISTRY}/preparation:1",
}

COMMIT = "git init -q && git -c user.name=x -c user.email=x@example.com commit -q --allow-empty -m x"


def blocks(page: Path) -> list[str]:
    """The shell blocks of a page that are not marked as not run."""
    return [block for skipped, block in BLOCK.findall(page.read_text()) if not skipped]


def pages_with_commands():
    return [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.fixture
def cloud(tmp_path):
    """A loopback Vertex AI whose deployments answer, and the environment that leads there."""
    with cloud_storage("my-project-countersign") as storage, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage)
        with Loopback(Machines(jobs=False)) as vertex:
            vertex.environment = gcloud.environment(vertex.url, storage, tmp_path / "cloud")
            yield vertex


@pytest.mark.pages
@pytest.mark.timeout(600)  # vertex.md starts gcloud forty times, for seconds each
@pytest.mark.parametrize("page", pages_with_commands(), ids=lambda page: page.name)
def test_every_shell_block_runs_in_the_order_of_its_page(page, tmp_path, cloud, request):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run = [block for block in blocks(page) if gcloud.IS_INSTALLED or "gcloud " not in block]
    here = tmp_path / "here"
    here.mkdir()
    (here / "installed").touch()
    for name in ("Makefile", "deploy", "trainer", "setup.py", "cloudbuild.yaml", ".gcloudignore"):
        (here / name).symlink_to(ROOT / name)
    subprocess.run(["bash", "-c", COMMIT], cwd=here, check=True)
    if page.name in ("vertex.md", "cloud_run.md"):  # these continue from the README
        # A copy, because gcloud leaves out links.
        shutil.copytree(request.getfixturevalue("artifact"), here / "runs" / "mine" / "model")
        shutil.copytree(request.getfixturevalue("scans"), here / "scans")
    (here / "requirements.txt").touch()
    os.utime(here / "requirements.txt", (0, 0))
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **SMALL_DEMO,
        **NAMES,
        **cloud.environment,
        "PYTHONPATH": str(ROOT),
        "BIN": binaries,
        "VENV": str(here),
        "PORT": port,
        "COUNTERSIGN_CACHE": str(tmp_path / "cache"),
    }
    del environment["CLOUDSDK_AI_REGION"]  # pages say how to set it
    environment["PATH"] = binaries + os.pathsep + environment["PATH"]
    stop_servers = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"  # also when a command fails
    script = f"set -eu -o pipefail\nset -m\n{stop_servers}\n" + "\n".join(run).replace("8080", port)
    how = {"capture_output": True, "text": True, "timeout": 560, "stdin": subprocess.DEVNULL}
    done = subprocess.run(["bash", "-c", script], cwd=here, env=environment, **how)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    CHECKS.get(page.name, lambda *_: None)(here, done.stdout, cloud)
    if left := len(blocks(page)) - len(run):
        pytest.skip(f"{gcloud.MISSING}: {left} of {len(blocks(page))} blocks of {page.name} were not run")


def check_readme(folder: Path, output: str, cloud: Loopback) -> None:
    assert output.count('"label"') >= 5, (
        "the demo and the serving section send two images each, the cloud section sends one"
    )
    assert (folder / "answers.csv").read_text().count("\n") == 101
    assert "nothing to do" not in output.partition("staging: ")[2].partition("\n")[0]
    assert not [name for name in cloud.world.resources if "/endpoints/" in name], "everything was torn down"


def check_vertex(folder: Path, output: str, cloud: Loopback) -> None:
    if gcloud.IS_INSTALLED:
        for rpc in ("CreateCustomJob", "UploadModel", "DeployModel", "UndeployModel", "DeleteEndpoint"):
            assert rpc in cloud.world.calls
        specs = [
            job.job_spec.worker_pool_specs[0] for name, job in cloud.world.resources.items() if "/customJobs/" in name
        ]
        assert any(spec.python_package_spec.package_uris for spec in specs), "the source package"
        assert any(spec.container_spec.image_uri == NAMES["TRAINER"] for spec in specs), "our image"
        assert len(cloud.builds) == 2
        log = Path(cloud.environment["DOCKER_LOG"])
        commands = [line.split()[0] for line in log.read_text().splitlines()]
        assert commands == ["build", "push", "build", "run"], "autopackaging, then a local run"
        assert 'COPY ["./setup.py"' in Path(f"{log}.Dockerfile").read_text()


def check_cloud_run(folder: Path, output: str, cloud: Loopback) -> None:
    if not gcloud.IS_INSTALLED:
        return
    assert cloud.cloud_run.services == {}, "the last block deletes the service"
    first, *_, last = cloud.cloud_run.revisions.values()
    for revision in (first, last):
        container = revision["spec"]["containers"][0]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables["AIP_STORAGE_URI"] == "gs://my-project-countersign/models/mine"
        assert (
            container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/health"
        )
        assert revision["spec"]["serviceAccountName"].startswith("countersign-run@")
        assert "autoscaling.knative.dev/minScale" not in revision["metadata"]["annotations"], "it scales to zero"
    assert first["spec"]["containers"][0]["image"] == NAMES["IMAGE"], "the container of Vertex AI, by its digest"
    assert last["spec"]["containers"][0]["image"] == NAMES["NEXT_IMAGE"]
    members = [member for row in cloud.cloud_run.policies["countersign"]["bindings"] for member in row["members"]]
    assert members == ["serviceAccount:archive@my-project.iam.gserviceaccount.com"], "nobody else may ask"
    assert "10% " in re.sub(r"\x1b\[[0-9;]*m", "", output), "the candidate has a tenth of the traffic before it has all"


def check_monitoring(folder: Path, output: str, cloud: Loopback) -> None:
    assert "signature_vs_text" in output
    assert "nothing has moved" in output.rpartition("saved: ")[2], (
        "the same week, read from the log and from the metrics"
    )
    if not gcloud.IS_INSTALLED:
        return
    created = {metric["name"] for metric in cloud.alerting["metrics"]}
    endpoint, images, drift = cloud.alerting["alertPolicies"]
    watched = set(re.findall(r"logging\.googleapis\.com/user/(\w+)", str([endpoint, images])))
    assert watched == created, "the policies wait on the metrics that there are"
    (entry,) = cloud.written
    assert entry["jsonPayload"]["message"] == "drift"
    log_id = re.search(r'log_id\("([^"]*)"\)', str(drift))
    assert entry["logName"].endswith("/" + log_id[1]), "the policy waits on the log that is written"


CHECKS = {
    "README.md": check_readme,
    "vertex.md": check_vertex,
    "cloud_run.md": check_cloud_run,
    "monitoring.md": check_monitoring,
}


def test_every_block_of_a_page_is_run_or_says_why_not():
    for page in PAGES:
        text = page.read_text()
        fences = re.findall(r"^```(?:sh|bash|shell|console)$", text, re.MULTILINE)
        assert len(fences) == len(BLOCK.findall(text)), f"{page.name}: a block of another form, which no test reads"
        for reason in re.findall(r"<!-- not run(.*?)-->", text):
            assert len(reason.split()) >= 3, f"{page.name}: {reason!r} is no reason"


def test_links_to_our_own_files_lead_somewhere():
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text())]
    broken = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert not broken, "\n".join(broken)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 140
