"""Settings as fields of frozen dataclasses, from which command line, file and documentation derive.

Used by trainer, predictor and deploy; standard library only. A field has the name and type of a setting, ``option``
declares its default, help, range and old names. Next: ``sections.py``, the settings of a training run.
"""

import argparse
import dataclasses
import logging
import math
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from trainer.console.errors import UserError
from trainer.settings.spelling import suggest_nearest

# Not below the logger "trainer", which prints to standard output: there, a command may be writing its answers. A server
# turns these records into its own form; everywhere else Python prints them to standard error.
LOG = logging.getLogger("countersign")


class BadSetting(UserError):
    """A name that is no setting, or a value that a setting does not accept; the message says what would be right."""


def option(
    default: Any,
    help: str,
    parse: Callable[[Any], Any] | None = None,
    metavar: str | None = None,
    was: str | tuple[str, ...] = (),
) -> Any:
    """Declare a dataclass field that is a setting. ``parse`` checks and converts one value.

    ``was`` are its names in the previous release, which are accepted with a warning, as flags and in files.
    """
    old_names = (was,) if isinstance(was, str) else was
    metadata = {"help": help, "parse": parse, "metavar": metavar, "was": old_names}
    return dataclasses.field(default=default, metadata=metadata)


def between(low: float, high: float, number_type: type = float) -> Callable[[Any], Any]:
    """Make a parser of a number in a closed range, which raises ``BadSetting``."""

    def parse(value: Any) -> Any:
        number = _parse_number(value, number_type)
        if not low <= number <= high:
            raise BadSetting(f"{value!r} is out of range; it has to be {low} to {high}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[Any], str]:
    """Make a parser of one of a few words, which raises ``BadSetting`` with the nearest of them."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise BadSetting(
                f"{value!r} is not one of {', '.join(choices)}{suggest_nearest(str(value), list(choices))}"
            )
        return value

    return parse


CONSOLE_SCRIPTS = {  # of each command that installation also gives another name; setup.py declares the same
    "python -m trainer.task": "countersign-train",
    "python -m trainer.prepare": "countersign-prepare",
    "python -m trainer.evaluate": "countersign-evaluate",
    "python -m predictor": "countersign-serve",
    "python -m predictor.offline": "countersign-predict",
    "python -m deploy": "countersign-deploy",
}


class OldFlag(argparse.Action):
    """The old name of a flag that is no setting: warns and sets the same value, or true with ``nargs=0``.

    ``const`` is the current name. Both names in one command are an error.
    """

    def __call__(self, parser, namespace, values, option_string=None):
        """Warn, and set the value."""
        (current,) = (action for action in parser._actions if action.option_strings[:1] == [self.const])
        if getattr(namespace, self.dest) != current.default:
            parser.error(f"{option_string} is the old name of {self.const}; give {self.const} alone")
        _warn(str(option_string), str(self.const))
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class Parser(argparse.ArgumentParser):
    """An ``argparse`` parser whose error for an unknown flag names the nearest one; it accepts no abbreviations."""

    def __init__(self, prog: str, **options):
        command = " ".join(prog.split()[:3])  # what follows is a subcommand, as of python -m deploy plan
        if command in CONSOLE_SCRIPTS:
            script = prog.replace(command, CONSOLE_SCRIPTS[command])
            note = f"Where the package is installed, {script} is the same command."
            options["epilog"] = "\n".join(filter(None, (options.get("epilog"), note)))
        super().__init__(prog=prog, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self._renamed: dict[str, argparse.Action] = {}  # flags with an old name, and the action of the current one

    def parse_known_args(self, args=None, namespace=None):
        """Parse as ``argparse`` does, and accept old names of flags with a warning; old and new name are an error."""
        options, rest = super().parse_known_args(args, namespace)
        for old, action in self._renamed.items():
            if not hasattr(options, old):
                continue
            new = action.option_strings[0]
            if hasattr(options, action.dest):
                self.error(f"{old} is the old name of {new}; give {new} alone")
            _warn(old, new)
            setattr(options, action.dest, getattr(options, old))
            delattr(options, old)
        return options, rest

    def error(self, message):
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = next((word for word in unknown.split() if word.startswith("--")), None)
            known = [
                name for action in self._actions for name in action.option_strings if action.dest not in self._renamed
            ]
            message = (
                f"unknown flag {flag}{suggest_nearest(flag.split('=')[0], known)}"
                if flag
                else f"unexpected argument {unknown}"
            )
        self.exit(2, f"{self.prog}: {message}\nTry --help for all flags.\n")

    def add_settings(self, settings: type) -> None:
        """Add a group of flags for a settings dataclass; the docstring of the class is the text of the group."""
        title, _, text = (settings.__doc__ or "").partition("\n")
        group = self.add_argument_group(title.rstrip("."), textwrap.fill(" ".join(text.split()), 78) or None)
        for field in dataclasses.fields(settings):
            flag, field_type = "--" + field.name.replace("_", "-"), get_field_type(settings, field)
            help = field.metadata["help"] + _default_text(field)
            action = _add_flag(group, flag, field, field_type, field.name, help)
            for name in field.metadata["was"]:
                old = "--" + name.replace("_", "-")
                _add_flag(group, old, field, field_type, old, argparse.SUPPRESS)
                self._renamed[old] = action


def get_flag_values(settings: type, options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that the command line set."""
    return {f.name: getattr(options, f.name) for f in dataclasses.fields(settings) if hasattr(options, f.name)}


def parse_values(settings: type, values: Mapping[str, Any], where: str, warn: bool = True) -> dict[str, Any]:
    """Check values that come from a file or the environment; ``where`` opens the error message.

    Raises ``BadSetting`` for an unknown name (with the nearest one), an old name beside the new one, or a wrong value.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}
    checked = {}
    for name, value in use_current_names(values, get_old_names(settings), where, warn).items():
        if name not in fields:
            raise BadSetting(f"{where}: unknown setting {name!r}{suggest_nearest(name, list(fields))}")
        try:
            checked[name] = _convert(fields[name], get_field_type(settings, fields[name]), value)
        except (ValueError, TypeError) as error:
            raise BadSetting(f"{where}: {name}: {error}") from None
    return checked


def get_old_names(settings: type) -> dict[str, str]:
    """Return the old names of a dataclass's fields, each with the current one."""
    return {old: field.name for field in dataclasses.fields(settings) for old in field.metadata["was"]}


def use_current_names(
    values: Mapping[str, Any], renamed: Mapping[str, str], where: str, warn: bool = True
) -> dict[str, Any]:
    """Return the values with old names replaced by the current ones.

    ``warn`` is for files that a user wrote: in those that an earlier release wrote there is nothing to correct. Raises
    ``BadSetting`` for an old name beside the new one.
    """
    current: dict[str, Any] = {}
    for name, value in values.items():
        new = renamed.get(name, name)
        if name != new and new in values:
            raise BadSetting(f"{where}: {name} is the old name of {new}; give {new} alone")
        if name != new and warn:
            _warn(f"{where}: {name}", new)
        current[new] = value
    return current


def _warn(old: str, new: str) -> None:
    LOG.warning("%s is now %s; the old name will be removed in the next release", old, new)


def get_field_type(settings: type, field: dataclasses.Field) -> Any:
    """Return the type of a field; that of ``int | None`` is ``int``."""
    field_type = typing.get_type_hints(settings)[field.name]
    if isinstance(field_type, types.UnionType):
        return next(member for member in typing.get_args(field_type) if member is not type(None))
    return field_type


def _add_flag(
    group: argparse._ArgumentGroup, flag: str, field: dataclasses.Field, field_type: Any, dest: str, help: str
) -> argparse.Action:
    """Add one flag, which sets ``dest`` only if it is given: other values come from files and the environment."""
    if field_type is bool:
        return group.add_argument(
            flag, dest=dest, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help
        )
    is_list = typing.get_origin(field_type) is tuple
    item_type = typing.get_args(field_type)[0] if is_list else field_type
    return group.add_argument(
        flag,
        dest=dest,
        default=argparse.SUPPRESS,
        help=help,
        type=to_argparse_type(lambda text: _parse_item(field, item_type, text)),
        action="append" if is_list else "store",
        metavar=field.metadata["metavar"] or ("PATH" if is_list else getattr(field_type, "__name__", "value").upper()),
    )


def to_argparse_type(parse: Callable[[Any], Any]) -> Callable[[str], Any]:
    """Make a ``type`` for ``argparse`` that shows the message of a ``ValueError``, which ``argparse`` would replace."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _convert(field: dataclasses.Field, field_type: Any, value: Any) -> Any:
    """Convert the value of a file to the type of its field. Raises ``ValueError``, ``TypeError``."""
    if typing.get_origin(field_type) is tuple:
        if isinstance(value, str):
            raise BadSetting(f"{value!r} is one value; it has to be a list, such as [{value!r}]")
        return tuple(_parse_item(field, typing.get_args(field_type)[0], item) for item in value)
    return _parse_item(field, field_type, value)


def _parse_item(field: dataclasses.Field, item_type: Any, value: Any) -> Any:
    if value is None and field.default is None:
        return None
    if field.metadata["parse"]:
        return field.metadata["parse"](value)
    if item_type is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("1", "true", "yes", "0", "false", "no"):
            return str(value).lower() in ("1", "true", "yes")
        raise BadSetting(f"{value!r} is neither true nor false")
    if item_type in (int, float):
        return _parse_number(value, item_type)
    return item_type(value)


def _parse_number(value: Any, number_type: type) -> Any:
    """Parse a finite number. Raises ``BadSetting``.

    Integers may be written ``3.0``, as Vertex hyperparameter tuning does; a boolean, which is an ``int``, is refused.
    """
    if isinstance(value, bool):
        raise BadSetting(f"{str(value).lower()} is a boolean, not a number")
    try:
        number = float(value)
    except ValueError:
        raise BadSetting(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise BadSetting(f"{value!r} is not a finite number")
    if number_type is int and number != int(number):
        raise BadSetting(f"{value!r} is not a whole number")
    return number_type(number)


def _default_text(field: dataclasses.Field) -> str:
    """Return the default for ``--help``; none for an empty one, which a problem or a backbone replaces."""
    default = field.default
    if not default and default is not False:
        return ""
    if isinstance(default, bool):
        default = "on" if default else "off"
    return f" (default: {default})".replace("%", "%%")
