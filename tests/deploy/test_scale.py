"""Times and costs of many images and requests: the arithmetic, what is unknown, and that the docs say the same."""

import math

import pytest

from deploy import measurements, preparation_cost, scale, spec
from deploy.preparation_cost import ImageCount
from deploy.scale import Workload
from tests.conftest import ROOT
from trainer.console.errors import UserError

DOCS = ROOT / "docs"
MEASURED = {
    "preparation": {"core_milliseconds_per_image": 20, "shuffle_kilobytes_per_image": 10},
    "training": {"cores": 2, "images_per_second": {"same_writer": 500, "signature_vs_text": 1000}},
    "serving": {"classify": {"milliseconds": 12}, "verify": {"milliseconds": 12, "milliseconds_per_reference": 0.5}},
    "offline": {"classify": {"milliseconds": 9}},
}


@pytest.fixture
def measured(monkeypatch):
    """Round unit costs, so that a reader can compute the results in the head."""
    monkeypatch.setattr(measurements, "read", MEASURED.__getitem__)


def test_the_rows_are_those_of_a_calculation_by_hand(measured):
    workload = Workload(
        images=1_800_000, epochs=10, max_workers=5, training_machines=2, offline_machines=3, requests_per_second=1000
    )
    prepare, train, offline, serve = scale.estimate(workload)
    assert prepare.work == pytest.approx(10), "1.8 million images of 20 ms are 36,000 s"
    assert prepare.hours == pytest.approx(10 / 4 / 5)
    workers = 10 * 0.056 + 2.5 * 15 * 0.003557 + 2.5 * 50 * 0.000054
    assert prepare.dollars == pytest.approx(workers + 2 * 18 * 0.011 + 0.5 * 0.21849885)
    assert (train.step, train.machines, train.machine_type) == ("train", 2, "n1-standard-8")
    assert train.work == pytest.approx(20), "18 million at 250 a second and core"
    assert train.hours == pytest.approx(20 / 8 / 2)
    assert train.dollars == pytest.approx(20 / 8 * 0.437), "the same for any number of machines"
    assert offline.work == pytest.approx(4.5)
    assert offline.hours == pytest.approx(4.5 / 8 / 3)
    assert offline.dollars == pytest.approx(4.5 / 8 * 0.437)
    assert serve.work == pytest.approx(12), "1,000 requests a second of 12 ms"
    assert serve.machines == 5, "12 of 20 cores are the target of 60 %"
    assert serve.hours is None
    assert serve.dollars == pytest.approx(5 * 730 * 0.219)


def test_references_add_to_the_work_of_a_comparison(measured):
    serve = scale.estimate_endpoint(Workload(task="verify", references=10, requests_per_second=1000))
    assert serve.work == pytest.approx(17)


@pytest.mark.parametrize(("requests", "replicas"), [(0.001, 1), (200, 1), (200.1, 2), (1000, 5), (1001, 6)])
def test_replicas_are_rounded_up_and_there_is_always_one(measured, requests, replicas):
    assert scale.estimate_endpoint(Workload(requests_per_second=requests)).machines == replicas


def test_the_preparation_is_the_estimate_of_deploy_prepare():
    environment = spec.load("production", {"preparation_image": "image"}, "prepare")
    row = scale.estimate_preparation(Workload())
    expected = preparation_cost.estimate(environment, ImageCount(Workload().images))
    assert (row.work, row.hours, row.dollars) == (expected.work.core_hours, expected.work.hours, expected.dollars)
    assert row.machine_type == environment.preparation.worker_machine_type
    assert Workload().endpoint_machine_type == environment.endpoint.machine_type


def test_every_sum_names_the_status_of_its_prices():
    reasons = [row.reason for row in scale.estimate(Workload())]
    assert all("to be looked up: https://" in reason for reason in reasons[:3])
    assert "as others quote them: https://" in reasons[3]


UNKNOWN = [
    ({"region": "europe-west4"}, 0, "no price of Dataflow in europe-west4 in the table of 20"),
    ({"region": "europe-west4"}, 1, "no price of n1-standard-8 for a job in europe-west4 in the table of 20"),
    ({"region": "europe-west4"}, 3, "no price of n1-standard-4 in europe-west4 in the table of 20"),
    ({"training_machine_type": "n1-standard-96"}, 1, "no price of n1-standard-96 for a job in us-central1"),
    ({"offline_machine_type": "e2-medium"}, 2, "cores of a e2-medium are not known"),
    ({"worker_machine_type": "e2-medium"}, 0, "cores of a e2-medium are not known"),
    ({"endpoint_machine_type": "e2-medium"}, 3, "cores of a e2-medium are not known"),
    ({"task": "find"}, 2, "the work of find without a server was not measured"),
]


@pytest.mark.parametrize(("changes", "row", "reason"), UNKNOWN)
def test_a_cost_without_its_price_is_unknown_and_says_why(changes, row, reason):
    estimated = scale.estimate(Workload(**changes))[row]
    assert estimated.dollars is None
    assert estimated.reason.startswith(reason)
    assert (estimated.work is None) == ("not measured" in reason), "work is known without a price"


WRONG = [
    ({"images": 0}, "images: 0 is not a whole number from 1 to 1,000,000,000,000"),
    ({"images": 1.5}, "images: 1.5 is not a whole number"),
    ({"requests_per_second": math.nan}, "requests_per_second: nan is not a number from 0.001 to 10,000,000"),
    ({"target_cpu": 0}, "target_cpu: 0 is not a whole number from 10 to 90"),
    ({"task": "guess"}, "task: 'guess' is none of classify, embed, verify, find"),
    ({"region": "Iowa"}, "region: 'Iowa' is not a region such as europe-west4"),
    ({"worker_machine_type": "big one"}, "worker_machine_type: 'big one' is not a machine type such as n1-standard-2"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_workload_is_refused(changes, message):
    with pytest.raises(UserError) as raised:
        Workload(**changes)
    assert str(raised.value).startswith(message)


def test_unit_costs_say_when_on_what_and_how():
    places = [measurements.read(name) for name in ("offline", "serving")]
    for measured in [measurements.read("training"), *(unit for place in places for unit in place.values())]:
        assert {"date", "machine", "how"} <= set(measured)
    for place in places:
        assert set(place) <= set(scale.CHOICES["task"])
    assert set(measurements.read("training")["images_per_second"]) == set(scale.DEFAULT_EPOCHS)


@pytest.mark.slow  # loads TensorFlow
def test_default_epochs_are_those_of_the_problems():
    from trainer.problems import same_writer, signature_vs_text

    problems = {"same_writer": same_writer.PROBLEM, "signature_vs_text": signature_vs_text.PROBLEM}
    assert {name: problem.defaults["epochs"] for name, problem in problems.items()} == scale.DEFAULT_EPOCHS


@pytest.mark.parametrize("name", ["calculator", "scale"])
def test_the_docs_are_what_the_generator_writes(calculator, name):
    page = (DOCS / {"calculator": "calculator.html", "scale": "scale.md"}[name]).read_text()
    assert getattr(calculator, f"write_{name}")(page) == page, "run python docs/calculator.py"


def test_the_generator_writes_what_the_tables_say(calculator, measured, monkeypatch):
    data = calculator.collect_data()
    assert data["measured"]["training"]["images_per_second"]["same_writer"] == 500
    assert data["prices"]["hour"]["regions"]["us-central1"]["n1-standard-4"] == 0.219
    assert '"same_writer": 500' in calculator.write_calculator('<script id="data">old</script>')


def test_numbers_are_rounded_half_up_as_in_javascript(calculator):
    assert [calculator.format_number(number) for number in (0, 0.04, 2.25, 99.94, 100.5, 1234567)] == [
        "less than 0.1",
        "less than 0.1",
        "2.3",
        "99.9",
        "101",
        "1,234,567",
    ]
    row = scale.estimate_training(Workload(images=1, epochs=1))
    assert calculator.format_cost(row) == "less than $0.01"
    assert calculator.format_cost(row._replace(dollars=2.5)) == "$2.50"
