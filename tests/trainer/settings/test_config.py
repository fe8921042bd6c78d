"""Settings of a training run: read from flags, environment and file, and checked in each."""

import dataclasses

import pytest

from tests.conftest import ROOT
from trainer.settings.config import (
    OLD_SECTIONS,
    SECTIONS,
    Config,
    list_changed_settings,
    load_tables,
    parse_config,
    read_config,
    write_config,
)
from trainer.settings.flags import BadSetting


def parse_error(capsys, *arguments: str) -> str:
    """Return the message with which these arguments are refused."""
    with pytest.raises(SystemExit) as exited:
        parse_config(list(arguments), {})
    assert exited.value.code == 2
    return capsys.readouterr().err


def test_defaults_are_those_of_the_dataclasses():
    assert parse_config([], {}) == Config()


def test_the_error_for_an_unknown_flag_names_the_nearest_one(capsys):
    assert "--epochs" in parse_error(capsys, "--epoch", "3")


def test_a_flag_cannot_be_abbreviated(capsys):
    assert "--batch-size" in parse_error(capsys, "--batch", "3")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--backbone", "compct", "'compact'"),
        ("--problem", "signature_or_text", "'signature_vs_text'"),
        ("--epochs", "many", "not a number"),
        ("--epochs", "2.5", "not a whole number"),
        ("--validation-fraction", "1.5", "0.05 to 0.9"),
        ("--dropout", "-1", "0 to 0.95"),
        ("--epochs", "inf", "finite"),
    ],
)
def test_the_error_for_a_wrong_value_names_flag_value_and_what_is_expected(capsys, flag, value, expected):
    message = parse_error(capsys, flag, value)
    assert flag in message
    assert value in message
    assert expected in message


def test_integers_may_be_written_as_floats_as_vertex_tuning_does():
    assert parse_config(["--batch-size", "64.0"], {}).training.batch_size == 64


def test_train_dir_may_be_given_several_times():
    config = parse_config(["--train-dir", "a=x", "--train-dir", "y"], {})
    assert config.data.train_dir == ("a=x", "y")


def test_augmentation_can_be_switched_off():
    assert not parse_config(["--no-augment"], {}).training.augment


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[output]\nmodel_dir = "file"\ncheckpoint_dir = "file"\njob_dir = "file"\n')
    environment = {"AIP_MODEL_DIR": "vertex", "AIP_CHECKPOINT_DIR": "vertex", "AIP_TENSORBOARD_LOG_DIR": "board"}
    output = parse_config(["--config", str(path), "--model-dir", "flag"], environment).output
    assert (output.model_dir, output.checkpoint_dir, output.job_dir) == ("flag", "vertex", "file")
    assert output.tensorboard_dir == "board"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[training]\nepoch = 3\n", "'epochs'"),
        ("[trainin]\nepochs = 3\n", "'training'"),
        ('[training]\nepochs = "x"\n', "not a number"),
        ("[training]\nepochs = true\n", "epochs: true is a boolean, not a number"),
        ("[training]\nlearning_rate = true\n", "learning_rate: true is a boolean, not a number"),
        ('[data]\ntrain_dir = "scans"\n', "['scans']"),
        ("[training\n", "run.toml"),
        ("training = 3\n", "a table [training]"),
    ],
)
def test_the_error_for_a_wrong_file_names_the_file_and_what_is_expected(capsys, tmp_path, text, expected):
    path = tmp_path / "run.toml"
    path.write_text(text)
    message = parse_error(capsys, "--config", str(path))
    assert "run.toml" in message
    assert expected in message


def test_a_config_file_is_read_as_it_was_written(tmp_path):
    config = parse_config(["--train-dir", "a=b", "--no-augment", "--image-width", "96", "--seed", "3"], {})
    write_config(config, tmp_path / "config.toml")
    assert read_config(tmp_path / "config.toml") == config


def test_a_file_with_an_old_table_is_read_with_a_warning_and_both_tables_are_an_error(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(OLD_SECTIONS, "learning", "training")
    (tmp_path / "run.toml").write_text("[learning]\nepochs = 3\n")
    assert load_tables(tmp_path / "run.toml") == {"training": {"epochs": 3}}
    assert "learning is now training" in caplog.text
    (tmp_path / "run.toml").write_text("[learning]\nepochs = 3\n[training]\nseed = 1\n")
    with pytest.raises(BadSetting, match="learning is the old name of training"):
        load_tables(tmp_path / "run.toml")


RENAMED = [
    ("model", "embedding", "embedding_dim", 64),
    ("model", "serve", "variant", "int8"),
    ("model", "gate", "signature_check", "runs/gate/model"),
    ("training", "averaging", "ema_decay", 0.9),
    ("training", "precision", "dtype_policy", "mixed_bfloat16"),
]


@pytest.mark.parametrize(("section", "old", "new", "value"), RENAMED)
def test_a_setting_of_the_previous_release_is_accepted_by_its_old_name(tmp_path, caplog, section, old, new, value):
    expected = parse_config([f"--{new.replace('_', '-')}", str(value)], {})
    assert parse_config([f"--{old}", str(value)], {}) == expected
    assert getattr(getattr(expected, section), new) == value
    (tmp_path / "run.toml").write_text(f"[{section}]\n{old} = {value!r}\n")
    assert len(caplog.records) == 1, "for the flag"
    assert parse_config(["--config", str(tmp_path / "run.toml")], {}) == expected
    assert f"run.toml' [{section}]: {old} is now {new}" in caplog.records[1].getMessage()


def test_the_config_of_a_run_of_the_previous_release_is_read_without_a_warning(tmp_path, caplog):
    """No user wrote it, and every new run reads those of earlier runs."""
    (tmp_path / "config.toml").write_text("[training]\naveraging = 0.9\n")
    assert read_config(tmp_path / "config.toml").training.ema_decay == 0.9
    assert caplog.records == []


def test_help_documents_every_setting(capsys):
    with pytest.raises(SystemExit):
        parse_config(["--help"], {})
    page = capsys.readouterr().out
    for section in SECTIONS.values():
        for field in dataclasses.fields(section):
            assert "--" + field.name.replace("_", "-") in page
    assert "default: 0.15" in page


def test_every_setting_is_in_the_docs():
    docs = (ROOT / "docs" / "training.md").read_text()
    fields = [field.name for section in SECTIONS.values() for field in dataclasses.fields(section)]
    assert [name for name in fields if "`--" + name.replace("_", "-") not in docs] == []


@pytest.mark.parametrize(
    ("stored", "current", "changed"),
    [
        ({}, {"copies_share": 0.0, "init_from": "", "stream_repeats": 1}, []),
        ({}, {"copies_share": 0.5}, ["copies_share"]),
        ({}, {"stream_repeats": 2}, ["stream_repeats"]),
        ({}, {"augment": False}, ["augment"]),
        ({"copies_share": 0.5}, {"copies_share": 0.0}, ["copies_share"]),
        ({"digest": "a"}, {"digest": "b"}, ["digest"]),
    ],
)
def test_a_setting_that_a_stored_run_does_not_have_is_unchanged_if_it_is_off(stored, current, changed):
    training = {**dataclasses.asdict(Config().training), **current}
    assert list_changed_settings(SECTIONS["training"], stored, training) == changed
