"""Settings under an old name: accepted for one release, with a warning that names the new one."""

import argparse
import dataclasses
import logging

import pytest

from deploy import spec
from predictor.settings import Settings
from trainer.settings.config import SECTIONS
from trainer.settings.flags import BadSetting, Parser, between, get_flag_values, option, parse_values


@dataclasses.dataclass(frozen=True)
class Example:
    """Settings, some of them renamed."""

    ema_decay: float = option(0.5, "decay of the average", between(0, 1), was="averaging")
    augment: bool = option(True, "augment the images", was="vary")
    data_dir: tuple[str, ...] = option((), "where images are", was=("train_dir", "folder"))
    epochs: int = option(3, "passes over the data")


def parse(*arguments: str) -> dict:
    flags = Parser(prog="example")
    flags.add_settings(Example)
    return get_flag_values(Example, flags.parse_args(arguments))


def warning_messages(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("arguments", "field", "value", "warning"),
    [
        (["--averaging", "0.9"], "ema_decay", 0.9, "--averaging is now --ema-decay"),
        (["--averaging=0.9"], "ema_decay", 0.9, "--averaging is now --ema-decay"),
        (["--no-vary"], "augment", False, "--vary is now --augment"),
        (["--folder", "a", "--folder", "b"], "data_dir", ["a", "b"], "--folder is now --data-dir"),
        (["--train-dir", "a"], "data_dir", ["a"], "--train-dir is now --data-dir"),
    ],
)
def test_an_old_flag_sets_the_field_of_the_new_one_with_one_warning(caplog, arguments, field, value, warning):
    assert parse(*arguments) == {field: value}
    assert warning_messages(caplog) == [f"{warning}; the old name will be removed in the next release"]


def test_a_new_flag_gives_no_warning(caplog):
    assert parse("--ema-decay", "0.9", "--no-augment") == {"ema_decay": 0.9, "augment": False}
    assert warning_messages(caplog) == []


def test_a_warning_is_printed_to_standard_error_and_not_among_answers(capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
        parse("--averaging", "0.9")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "--averaging is now --ema-decay; the old name will be removed in the next release\n"


@pytest.mark.parametrize("arguments", [["--averaging", "0.9", "--ema-decay", "0.9"], ["--vary", "--no-augment"]])
def test_an_old_and_a_new_flag_together_are_an_error_that_names_both(capsys, arguments):
    with pytest.raises(SystemExit) as exited:
        parse(*arguments)
    assert exited.value.code == 2
    assert f"{arguments[0]} is the old name of" in capsys.readouterr().err


def test_an_old_flag_refuses_the_values_that_the_new_flag_refuses(capsys):
    with pytest.raises(SystemExit):
        parse("--averaging", "2")
    assert "has to be 0 to 1" in capsys.readouterr().err


def test_help_does_not_show_old_names(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    page = capsys.readouterr().out
    assert "--ema-decay" in page
    assert not [name for name in ("--averaging", "--vary", "--no-vary", "--train-dir", "--folder") if name in page]


@pytest.mark.parametrize("flag", ["--averagin", "--train-di", "--no-var"])
def test_the_error_for_an_unknown_flag_never_names_an_old_one(capsys, flag):
    with pytest.raises(SystemExit):
        parse(flag, "x")
    hint = capsys.readouterr().err.partition("did you mean")[2]
    assert not [name for name in ("--averaging", "--train-dir", "--no-vary") if f"'{name}'" in hint]


def test_a_subcommand_also_accepts_old_names(caplog):
    flags = Parser(prog="example")
    commands = flags.add_subparsers(parser_class=Parser)
    commands.add_parser("train").add_settings(Example)
    assert flags.parse_args(["train", "--averaging", "0.9"]) == argparse.Namespace(ema_decay=0.9)
    assert len(warning_messages(caplog)) == 1


def test_an_old_key_of_a_file_is_read_as_the_new_one_with_a_warning_that_names_file_and_key(caplog):
    assert parse_values(Example, {"averaging": 0.9, "epochs": 5}, "'a.toml' [x]") == {"ema_decay": 0.9, "epochs": 5}
    text = "'a.toml' [x]: averaging is now ema_decay; the old name will be removed in the next release"
    assert warning_messages(caplog) == [text]


def test_an_old_and_a_new_key_together_are_an_error():
    with pytest.raises(BadSetting, match="averaging is the old name of ema_decay"):
        parse_values(Example, {"averaging": 0.9, "ema_decay": 0.9}, "here")


def test_the_error_for_an_unknown_key_never_names_an_old_one():
    with pytest.raises(BadSetting) as error:
        parse_values(Example, {"averagin": 0.9}, "here")
    assert "'averaging'" not in str(error.value)


@pytest.mark.parametrize(
    "sections", [SECTIONS.values(), spec.SECTIONS.values(), [Settings]], ids=["trainer", "deploy", "predictor"]
)
def test_no_old_name_is_the_name_of_another_setting(sections):
    fields = [field for settings in sections for field in dataclasses.fields(settings)]
    names = [name for field in fields for name in (field.name, *field.metadata["was"])]
    assert len(names) == len(set(names))
