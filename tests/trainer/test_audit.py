"""The audit: copies are found and nothing else, shortcuts are measured, and what it says is true and acted on."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.conftest import SMALL_RUN
from trainer import corpora, prepare
from trainer.audit import __main__ as command
from trainer.audit import leak_probe, verification_check
from trainer.audit.examine import examine
from trainer.data import image_features, image_index, near_copies, records
from trainer.imaging import Imaging, canonicalise
from trainer.samples import generator
from trainer.samples.amount import Amount

CANVAS = image_index.COMPARED


def picture(path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes())).convert("L")


def turned(path, degrees):
    found = picture(path)
    return found.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=int(np.median(found)))


def resized(path, scale):
    found = picture(path)
    return found.resize((round(found.width * scale), round(found.height * scale)), Image.Resampling.BICUBIC)


COPIES = {
    "exact": lambda path, target: shutil.copy(path, target.with_suffix(path.suffix)),
    "re-encoded": lambda path, target: picture(path).save(target.with_suffix(".jpg"), quality=75),
    "smaller": lambda path, target: resized(path, 0.9).save(target.with_suffix(".png")),
    "larger": lambda path, target: resized(path, 1.1).save(target.with_suffix(".png")),
    "turned": lambda path, target: turned(path, 2).save(target.with_suffix(".png")),
}


def examined(folder, tmp_path, imaging=CANVAS, tests=()):
    readings = corpora.read_all((None, path, path.name) for path in (folder, *tests))
    look = image_index.survey([s for r in readings for s in r.samples], imaging, tmp_path / "survey")
    return examine(look, readings, len(tests))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """One genuine signature of each of 80 people."""
    folder = tmp_path_factory.mktemp("people") / "people"
    for _ in generator.write(folder, Amount("writer_folders", 80, 1, 0, 0), seed=77):
        pass
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("imaging", [CANVAS, Imaging(64, 128)], ids=["96x192", "64x128"])
def test_planted_copies_are_found_and_no_two_people_are_taken_for_one(people, tmp_path, imaging):
    """The full measurement, 1,000 people and 20 copies, is tests/bench/copies.py."""
    folder = shutil.copytree(people, tmp_path / "people")
    planted = set()
    for number, original in enumerate(sorted(people.rglob("*.*"))[::5]):
        kind = list(COPIES)[number % len(COPIES)]
        COPIES[kind](folder / original.relative_to(people), folder / "001" / f"copy-{number}")
        planted.add((original.relative_to(people).as_posix(), f"copy-{number}"))
    found = {
        tuple(sorted(name.removeprefix("people/") for name in pair["images"]))
        for pair in examined(folder, tmp_path, imaging).content["duplicates"]["pairs"]
    }
    named = {
        tuple(sorted((original, next(p.relative_to(folder).as_posix() for p in folder.glob(f"001/{copy}.*")))))
        for original, copy in planted
    }
    assert found <= named, "a false pair"
    assert len(found) >= len(named) - 1


def test_look_alikes_are_the_nearest_of_each_whatever_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(40, 288))
    values = np.concatenate([groups + 0.1 * rng.normal(size=groups.shape) for _ in range(3)])
    descriptors = np.round(values / np.abs(values).max(axis=1, keepdims=True) * 127).astype(np.int8)
    unit = descriptors / np.linalg.norm(descriptors.astype(float), axis=1, keepdims=True)
    near = np.triu(unit @ unit.T >= near_copies.ALIKE, 1)
    expected = [(int(i), int(j)) for i, j in np.argwhere(near)]
    for block in (7, 64, 4096):
        monkeypatch.setattr(near_copies, "BLOCK", block)
        assert near_copies.look_alikes(descriptors) == expected
    assert near_copies.look_alikes(descriptors[:1]) == []


def test_many_equal_images_stay_few_pairs():
    pairs = near_copies.look_alikes(np.tile(np.arange(288).astype(np.int8), (3000, 1)))
    assert len(pairs) <= 3000 * near_copies.NEIGHBOURS


@pytest.mark.parametrize("drawn", ["dot", "line", "block", "nothing"])
def test_odd_ink_has_a_descriptor_and_a_likeness(drawn):
    image = np.zeros((96, 192), np.uint8)
    where = {"dot": np.s_[50, 90], "line": np.s_[40:42, 10:180], "block": np.s_[:, :], "nothing": np.s_[:0, :0]}
    image[where[drawn]] = 255
    other = canonicalise(generator.image(1, 1, "genuine", 0)[0], CANVAS).image[:, :, 0]
    assert near_copies.describe(image).shape == (288,)
    assert near_copies.likeness(image, other) < near_copies.SAME
    assert near_copies.likeness(other, image) < near_copies.SAME
    assert near_copies.likeness(other, other) == pytest.approx(1)


def scan(signature: np.ndarray, paper: int) -> Image.Image:
    """A signature on paper of this level: what a second scanner does to the forgeries."""
    return Image.fromarray((signature.astype(float) * paper / 255).astype(np.uint8))


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """Twelve writers whose forgeries were scanned on greyer paper."""
    folder = tmp_path_factory.mktemp("leaking") / "leaking"
    for writer in range(1, 13):
        for kind, name, paper in (("genuine", f"{writer:03d}", 250), ("forged", f"{writer:03d}_forg", 225)):
            (folder / name).mkdir(parents=True)
            for number in range(4):
                ink = canonicalise(generator.image(9, writer, kind, number)[0], Imaging(128, 256)).image[:, :, 0]
                scan(np.pad(255 - ink, 20, constant_values=255), paper).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_a_scanner_that_gives_the_label_away_is_found_and_imaging_takes_it_out(leaking, tmp_path):
    found = examined(leaking, tmp_path)
    (entry,) = found.content["leak"]
    assert entry["before"]["auc"] > 0.99
    assert entry["before"]["verdict"] == "leak"
    assert "level" in entry["before"]["culprit"]
    assert entry["after"]["auc"] < 0.75
    assert [f.code for f in found.findings if "leak" in f.code] == ["leak_removed"]
    assert not found.makes_numbers_untrue


@pytest.mark.slow
def test_grey_ink_keeps_a_leak_and_is_told_to_stop(tmp_path):
    """Forged ink is fainter: the ink's own greys tell, and only soft-binary ink hides them."""
    folder = tmp_path / "faint"
    for writer in range(1, 13):
        for name, darkness in ((f"{writer:03d}", 1.0), (f"{writer:03d}_forg", 0.5)):
            (folder / name).mkdir(parents=True)
            for number in range(4):
                ink = canonicalise(generator.image(9, writer, "genuine", number)[0], Imaging(128, 256)).image[:, :, 0]
                page = 245 - np.pad(ink, 20).astype(float) * 0.8 * darkness * (1 + number / 100)
                Image.fromarray(page.astype(np.uint8)).save(folder / name / f"{number}.png")
    found = examined(folder, tmp_path, Imaging(96, 192, ink="grey"))
    (finding,) = [f for f in found.findings if "leak" in f.code]
    assert (finding.code, finding.severity) == ("leak_after_imaging", "untrue")
    assert "--ink soft-binary" in finding.message


def test_the_probe_keeps_writers_apart_and_says_when_there_are_too_few():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 8)
    labels = np.tile(np.array(["forged", "genuine"]), 120)
    # A column that only names the writer tells nothing about unseen ones.
    values = np.stack([groups % 7 + 0.01 * rng.normal(size=240), rng.normal(size=240)], 1)
    found = leak_probe.probe(values, ["writer", "noise"], labels, groups)
    assert found.low < 0.5 < found.high
    assert found.verdict == "no leak"
    telling = leak_probe.probe(values + (labels == "forged")[:, None] * [0, 6], ["writer", "told"], labels, groups)
    assert telling.verdict == "leak"
    assert telling.culprit.startswith("told alone")
    few = groups < 5
    assert leak_probe.probe(values[few], ["a", "b"], labels[few], groups[few]) is None
    assert leak_probe.probe(values, ["a", "b"], np.full(240, "text"), groups) is None


@pytest.mark.parametrize(
    ("auc", "low", "high", "verdict"),
    [
        (0.75, 0.65, 0.85, "leak"),
        (0.80, 0.64, 0.95, "unclear"),
        (0.74, 0.60, 0.84, "no leak"),
        (0.74, 0.60, 0.86, "unclear"),
    ],
)
def test_a_verdict_needs_an_interval_that_agrees_with_it(auc, low, high, verdict):
    assert leak_probe.Probe("genuine", auc, low, high, {}).verdict == verdict


def test_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, score = rng.random(200) > 0.5, rng.integers(0, 20, 200).astype(float)
    assert leak_probe.area(truth, score) == pytest.approx(roc_auc_score(truth, score))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_features_of_a_page_without_contrast_are_numbers(level):
    assert np.isfinite(image_features.features(np.full((40, 60), level, np.uint8))).all()


def rates(skilled: float, random: float, spread: float) -> dict:
    """Equal error rates as ``report.json`` has them, each with an interval of so many points to either side."""
    each = {"eer_skilled": skilled, "eer_random": random}
    return {**each, **{f"{name}_interval": [rate - spread, rate + spread] for name, rate in each.items()}}


def test_a_verifier_is_suspect_where_skilled_forgeries_are_surely_easier_than_random_ones():
    references = {
        "1": rates(skilled=9.0, random=2.0, spread=0.1),
        "5": rates(skilled=1.0, random=1.9, spread=0.5),  # the intervals overlap: chance explains the order
        "10": rates(skilled=0.4, random=1.9, spread=0.5),
    }
    (finding,) = verification_check.findings({"verification": {"references": references}})
    assert finding.severity == "untrue"
    assert "10 references" in finding.message
    assert "-0.1 to 0.9" in finding.message
    assert "1.4 to 2.4" in finding.message


@pytest.mark.parametrize("edge", [1.4, None])
def test_intervals_that_touch_or_are_not_there_make_no_verifier_suspect(edge):
    of = rates(skilled=0.4, random=1.9, spread=0.5)
    of["eer_skilled_interval"] = edge and [0.1, edge]
    assert verification_check.findings({"verification": {"references": {"1": of}}}) == []
    assert verification_check.findings({"classification": {}}) == []


@pytest.fixture
def paired(once, tmp_path):
    """Genuine signatures and forgeries of 12 people; a test may change its copy."""
    amount = Amount("paired_folders", 12, 3, 3, 0)
    return shutil.copytree(
        once("paired", lambda folder: list(generator.write(folder, amount, seed=5))), tmp_path / "paired"
    )


@pytest.mark.slow
def test_given_parts_that_share_images_or_writers_make_numbers_untrue(paired, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(paired, both / "train")
    for name in ("001", "001_forg", "002"):
        shutil.move(both / "train" / name, both / "test" / name)
    shutil.copy(sorted((both / "train" / "005").iterdir())[0], both / "test" / "001" / "seen.png")
    found = examined(both, tmp_path)
    codes = {finding.code: finding for finding in found.findings if finding.severity == "untrue"}
    assert set(codes) == {"duplicates_across_parts", "writers_across_parts"}
    assert "both: 002" in codes["writers_across_parts"].message
    assert found.content["crossing"]["writers"] == ["both: 002"]


@pytest.mark.slow
def test_one_image_with_two_labels_is_found(paired, tmp_path):
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "004_forg" / "copy.png")
    found = examined(paired, tmp_path)
    assert found.findings[0].code == "duplicates_across_labels"
    assert "003/" in found.findings[0].message


@pytest.mark.slow
def test_the_command_writes_json_and_a_page_and_is_strict_when_told(paired, tmp_path, capsys):
    (paired / "001" / "<b>bad & worse.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert command.main([str(paired), "--out", str(out), "--strict"]) == 0
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "004_forg" / "copy.png")
    assert command.main([str(paired), "--out", str(out)]) == 0
    assert command.main([str(paired), "--out", str(out), "--strict"]) == 1
    content = json.loads((out / "audit.json").read_text())
    assert content["images"] == 74
    assert content["labels"]["genuine"]["images"] == 37
    assert content["refused"][0]["image"] == "paired/001/<b>bad & worse.png"
    page = (out / "audit.html").read_text()
    assert "&lt;b&gt;bad &amp; worse.png" in page
    assert "<b>bad" not in page
    assert page.count("<img") >= 2
    assert "http" not in page, "works offline"
    assert "duplicates_across_labels" in capsys.readouterr().out


def test_data_that_cannot_be_read_is_a_message(tmp_path, capsys):
    assert command.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def prepared(tmp_path, *flags):
    return prepare.main([*flags, "--job-dir", str(tmp_path / "job"), "--problem", "genuine_vs_forged", *SMALL_RUN])


def test_copies_of_test_images_are_refused_or_dropped(tensorflow, paired, tmp_path, capsys):
    test = tmp_path / "test"
    for name in ("001", "001_forg"):
        shutil.move(paired / name, test / name)
    turned(sorted((paired / "004").iterdir())[0], 1).save(test / "001" / "seen.png")
    where = ["--train-dir", str(paired), "--test-dir", str(test)]
    assert prepared(tmp_path, *where) == 1
    assert "seen.png" in capsys.readouterr().err
    assert not (tmp_path / "job" / "records").exists()
    assert prepared(tmp_path, *where, "--drop-duplicates") == 0
    (left_out,) = records.read(tmp_path / "job" / "records").refused
    assert left_out[1] == "repeats the test image 001/seen.png"


def test_no_copy_of_a_test_image_is_learnt_from_however_many_there_are(tensorflow, paired, tmp_path):
    """Copies of a copy: each image is compared with a few neighbours only, which may all be siblings."""
    test = tmp_path / "test"
    for name in ("001", "001_forg"):
        shutil.move(paired / name, test / name)
    original = sorted((test / "001").iterdir())[0]
    for number in range(3):
        shutil.copy(original, paired / "004" / f"exact-{number}{original.suffix}")
    for number in range(12):
        picture(original).save(paired / "005" / f"near-{number}.jpg", quality=70 + 2 * number)
    where = ["--train-dir", str(paired), "--test-dir", str(test), "--drop-duplicates"]
    assert prepared(tmp_path, *where) == 0
    refused = records.read(tmp_path / "job" / "records").refused
    assert len([why for _, why in refused if why.startswith("repeats the test image")]) == 15


@pytest.mark.slow
def test_forged_and_genuine_may_be_one_label_and_are_told_apart_all_the_same(paired, tmp_path):
    shutil.copy(sorted((paired / "003").iterdir())[0], paired / "003_forg" / "copy.png")
    reading = corpora.read(paired)
    look = image_index.survey(reading.samples, CANVAS, tmp_path / "survey")
    found = examine(look, [reading], meaning=lambda label: "signature")
    assert "duplicates_across_labels" not in {finding.code for finding in found.findings}
    assert found.content["leak"][0]["labels"] == ["forged", "genuine"]
    assert set(found.content["labels"]) == {"signature"}


def test_what_is_worse_than_asked_for_is_not_learnt_from(tensorflow, paired, tmp_path):
    blurred = picture(sorted((paired / "004").iterdir())[0]).resize((40, 20)).resize((400, 200))
    blurred.save(paired / "004" / "blurred.png")
    assert prepared(tmp_path, "--train-dir", str(paired), "--min-quality", "0.9", "--test-fraction", "0.1") == 0
    found = records.read(tmp_path / "job" / "records")
    assert any("blurred.png" in path and "below --min-quality 0.9" in why for path, why in found.refused) or any(
        name.endswith("blurred.png") for _, name in found.unseen
    )


def test_preparing_records_what_it_rests_on_and_the_audit(tensorflow, paired, tmp_path):
    assert prepared(tmp_path, "--train-dir", str(paired)) == 0
    found = records.read(tmp_path / "job" / "records")
    assert found.sources == [
        {"path": str(paired), "layout": "paired_folders", "images": 72, "generation": found.sources[0]["generation"]}
    ]
    audit = json.loads((tmp_path / "job" / "audit.json").read_text())
    assert audit["duplicates"]["pairs"] == []
    assert not (tmp_path / "job" / "survey").exists()
