"""``python -m deploy drift``: reads the endpoint's log or files, compares with the serving version, says what moved."""

import json

import numpy as np
import pytest

from deploy import __main__ as deploy
from deploy import observed
from tests.deploy.test_drift import draw
from trainer.artifact import manifest
from trainer.artifact.monitoring import Distributions, Observation
from trainer.console.errors import UserError

TIME = "2999-01-01T00:00:00Z"  # of log entries, so that they are never too old


@pytest.fixture
def command(capsys, bucket):
    """Run a command on production; returns its exit status and its output."""

    def run(name: str, *flags: str) -> tuple[int, str]:
        status = deploy.main(
            [name, "--env", "production", "--poll-interval", "0.01", f"--store={bucket}/artifacts", *flags]
        )
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def write_lines(path, *rows, model="same_writer", version="1"):
    lines = [
        {"severity": "INFO", "message": "predict", "observed": [{"model": model, "version": version, **row.to_line()}]}
        for row in rows
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(path)


@pytest.fixture
def baseline(tmp_path, command):
    """A baseline that was saved from 1,000 images that a server saw."""
    lines = write_lines(tmp_path / "before.log", draw(np.random.default_rng(1), 1000))
    path = tmp_path / "baseline.json"
    status, output = command("drift", "--log-lines", lines, "--save-baseline", str(path))
    assert status == 0, output
    return str(path)


def test_nothing_has_moved_and_the_status_is_0(command, tmp_path, baseline):
    lines = write_lines(tmp_path / "log", draw(np.random.default_rng(2), 1000))
    status, output = command("drift", "--log-lines", lines, "--baseline", baseline)
    assert status == 0
    assert "same_writer: 1,000 seen, beside 1,000 of the baseline" in output
    assert "nothing has moved" in output


def test_what_moved_is_named_and_the_status_is_3(command, tmp_path, baseline):
    lines = write_lines(tmp_path / "log", draw(np.random.default_rng(2), 1000, shift=-3))
    status, output = command("drift", "--log-lines", lines, "--baseline", baseline)
    assert status == 3
    assert "contrast: ink is fainter" in output
    status, output = command("drift", "--log-lines", lines, "--baseline", baseline, "--json")
    assert status == 3
    line = json.loads(output)
    assert line["message"] == "drift"
    assert line["severity"] == "WARNING"
    assert line["signals"][0]["psi"]["low"] > 0.1


def test_the_log_of_the_endpoint_is_compared_with_the_version_that_serves(command, cloud, artifact):
    image = "us-central1-docker.pkg.dev/p/countersign/predictor@sha256:" + "1f" * 32
    assert command("apply", "--artifact", str(artifact), "--image", image, "--yes")[0] == 0
    watched = Distributions.from_json(manifest.read(artifact).monitoring)
    cloud.log_page_size = 7
    versions = {manifest.identity(artifact)[:12]: 20, "another": 3}
    for version, count in versions.items():
        row = {"model": "signature_vs_text", "version": version, **watched.to_line()}
        entry = {"timestamp": TIME, "resource": {"labels": {"endpoint_id": "countersign"}}}
        cloud.world.logs += [{**entry, "jsonPayload": {"message": "predict", "observed": [row]}}] * count
    cloud.world.logs.append({"timestamp": TIME, "resource": {"labels": {"endpoint_id": "another"}}, "textPayload": "x"})
    status, output = command("drift")
    assert f"{20 * watched.images:,} seen, beside {watched.images:,} of the baseline" in output
    assert f"{3 * watched.images:,} more were answered by other versions" in output
    assert status == 0


def test_without_lines_the_log_is_named(command, cloud, artifact, baseline):
    status, output = command("drift", "--baseline", baseline)
    assert status == 1
    assert "the log of endpoint countersign in the last 7 days: none of 0 entries has observations" in output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "none of 0 entries"),
        ('{"message": "ready"}\n', "none of 1 entries has observations"),
        ("[{]", "is no JSON array"),
        ('{"observed": [{"images": 1, "answers": {}, "score": {"99": 1}}]}', "other observations"),
        ('{"observed": [{"images": 1, "answers": {}, "score": {"-1": 1}}]}', "other observations"),
        ('{"observed": [{"images": 1, "answers": {"accept": Infinity}}]}', "other observations"),
        ('{"observed": ["a row"]}', "other observations"),
        ('{"observed": [{"images": 1, "answers": {}}]}', "does not name their model"),
        ('{"jsonPayload": null}\n{"observed": null}\n{"jsonPayload": "x"}', "none of 3 entries has observations"),
    ],
)
def test_a_file_without_observations_is_an_error(command, tmp_path, baseline, content, message):
    (tmp_path / "log").write_text(content)
    status, output = command("drift", "--log-lines", str(tmp_path / "log"), "--baseline", baseline)
    assert status == 1
    assert message in output


def test_a_saved_baseline_holds_all_versions_of_a_model(command, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_lines(first, draw(np.random.default_rng(1), 300), version="1")
    write_lines(second, draw(np.random.default_rng(2), 400), version="2")
    (tmp_path / "log").write_text(first.read_text() + second.read_text())
    path = tmp_path / "baseline.json"
    assert command("drift", "--log-lines", str(tmp_path / "log"), "--save-baseline", str(path))[0] == 0
    (row,) = json.loads(path.read_text())
    assert row["images"] == 700


def test_lines_of_other_programs_are_counted_and_left_out(command, tmp_path, baseline):
    lines = tmp_path / "log"
    write_lines(lines, draw(np.random.default_rng(2), 1000))
    lines.write_text("starting\n" + lines.read_text())
    status, output = command("drift", "--log-lines", str(lines), "--baseline", baseline)
    assert status == 0
    assert "1 lines are no JSON objects" in output


def test_json_is_the_only_thing_on_standard_output(tmp_path, baseline, capsys):
    lines = tmp_path / "log"
    write_lines(lines, draw(np.random.default_rng(2), 1000))
    lines.write_text("starting\n" + lines.read_text())
    flags = ["--env", "production", "--log-lines", str(lines), "--baseline", baseline, "--json"]
    assert deploy.main(["drift", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["of_other_versions"] == 0


def test_an_exhausted_quota_of_reads_is_waited_for(command, cloud, tmp_path):
    row = {"model": "same_writer", "version": "1", **draw(np.random.default_rng(1), 10).to_line()}
    entry = {"timestamp": TIME, "resource": {"labels": {"endpoint_id": "countersign"}}}
    cloud.log_page_size = 1
    cloud.world.logs += [{**entry, "jsonPayload": {"message": "predict", "observed": [row]}}] * 3
    cloud.fail("logs", "quota", times=2)
    path = tmp_path / "baseline.json"
    status, output = command("drift", "--save-baseline", str(path))
    assert status == 0, output
    assert json.loads(path.read_text())[0]["images"] == 30


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--log-lines", "x", "--metrics", "x"], "give one of them"),
        (["--metrics-before", "x"], "give the later one by --metrics"),
        (["--log-lines", "absent"], "No such file"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(command, flags, message):
    status, output = command("drift", *flags)
    assert status == 1
    assert message in output


DUMP = 'countersign_answers_total{model="m",version="1",answer="accept"} 3\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('python_info{version="3.11"} 1.0\n', "has no observations"),
        (DUMP.replace(" 3", " +Inf"), "no dump of /metrics"),
        (DUMP.replace(',answer="accept"', ""), "no label 'answer'"),
        (DUMP + 'countersign_score_bucket{model="m",version="1",le="0.5"} 3\n', "buckets of 'score' are missing"),
        (DUMP + 'countersign_score_bucket{model="m",version="1",le="0.33"} 3\n', "of another release"),
    ],
)
def test_a_damaged_dump_is_an_error(tmp_path, content, message):
    header = "# TYPE countersign_answers counter\n# TYPE countersign_score histogram\n"
    (tmp_path / "metrics").write_text(header + content)
    with pytest.raises(UserError, match=message):
        observed.read_metrics(tmp_path / "metrics")


def test_a_restart_is_noticed_also_when_more_was_answered_since(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text("process_start_time_seconds 1.79536e+09\n" + DUMP)
    after.write_text("process_start_time_seconds 1.79537e+09\n" + DUMP.replace(" 3", " 9"))
    with pytest.raises(UserError, match="was restarted"):
        observed.read_between(after, before)
    after.write_text(after.read_text().replace("79537", "79536"))
    (difference,) = observed.read_between(after, before).values()
    assert difference.images == 6


def test_what_gcloud_prints_is_read_too(tmp_path):
    row = {"model": "same_writer", "version": "1", **draw(np.random.default_rng(2), 10).to_line()}
    (tmp_path / "entries.json").write_text(json.dumps([{"jsonPayload": {"observed": [row]}}, {"textPayload": "x"}]))
    assert observed.read_lines(tmp_path / "entries.json")[("same_writer", "1")].images == 10


def test_two_dumps_of_metrics_give_what_was_seen_between_them_unless_the_server_was_restarted(tmp_path):
    from prometheus_client import generate_latest

    from predictor.telemetry import Metrics, RequestLog

    metrics, dumps = Metrics(), []
    for number in range(3):
        request_log = RequestLog({})
        for _ in range(number + 1):
            values = (("score", 0.9), ("contrast", 100.0))
            request_log.observe(("same_writer", "1"), Observation("accept", ("blurred",), values))
        metrics.observe(request_log, 200)
        dumps.append(tmp_path / f"{number}.txt")
        dumps[-1].write_bytes(generate_latest(metrics.registry))
    first, _, last = map(observed.read_metrics, dumps)
    (difference,) = observed.subtract(last, first, "two dumps").values()
    assert difference.images == 5
    assert difference.warnings == {"blurred": 5}
    assert sum(difference.signals["contrast"]) == 5
    with pytest.raises(UserError, match="was restarted"):
        observed.subtract(first, last, "two dumps")


def test_an_artefact_of_an_earlier_release_needs_a_baseline(command, tmp_path, artifact):
    from trainer.artifact.copy import write_copy

    described = manifest.read(artifact)
    write_copy(artifact, manifest.Manifest(**{**vars(described), "monitoring": {}}), tmp_path / "former")
    lines = write_lines(tmp_path / "log", draw(np.random.default_rng(2), 1000))
    status, output = command("drift", "--log-lines", lines, "--baseline", str(tmp_path / "former"))
    assert status == 1
    assert "--save-baseline" in output
