"""Frozen dataclasses as the one place of a setting: command line, file and documentation derive from the fields.

Used by the trainer and by the predictor; standard library only. A setting's name, type, default and help stand once,
in ``option(...)``.
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
from trainer.settings.spelling import nearest

# Not below the logger "trainer", which prints to standard output: there, a command may be writing its answers. A server
# turns these records into its own form; everywhere else Python prints them to standard error.
LOG = logging.getLogger("countersign")


class BadSetting(UserError):
    """A value or a name that a setting does not take; the message says what would be right."""


def option(
    default: Any,
    help: str,
    parse: Callable[[Any], Any] | None = None,
    metavar: str | None = None,
    was: str | tuple[str, ...] = (),
):
    """A dataclass field that knows how to be a flag. ``parse`` checks and converts one value.

    ``was`` are its names in the release before, which are accepted with a warning, as a flag and in files.
    """
    old_names = (was,) if isinstance(was, str) else was
    metadata = {"help": help, "parse": parse, "metavar": metavar, "was": old_names}
    return dataclasses.field(default=default, metadata=metadata)


def between(low: float, high: float, kind: type = float) -> Callable[[Any], Any]:
    """A number in a closed range."""

    def parse(value):
        number = _number(value, kind)
        if not low <= number <= high:
            raise BadSetting(f"{value!r} is out of range; it has to be {low} to {high}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of a few words; a wrong one is answered with the nearest right one."""

    def parse(value):
        if value not in choices:
            raise BadSetting(f"{value!r} is not one of {', '.join(choices)}{nearest(str(value), list(choices))}")
        return value

    return parse


class Parser(argparse.ArgumentParser):
    """``argparse`` that answers an unknown flag with the nearest one that exists, and never guesses prefixes."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self._renamed: dict[str, argparse.Action] = {}  # the flag of each old name: what it sets

    def parse_known_args(self, args=None, namespace=None):
        """The same for flags given by an old name, with a warning; an old and a new name together are an error."""
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
                f"unknown flag {flag}{nearest(flag.split('=')[0], known)}" if flag else f"unexpected argument {unknown}"
            )
        self.exit(2, f"{self.prog}: {message}\nTry --help for all flags.\n")

    def add_settings(self, settings: type) -> None:
        """One group of flags for a settings dataclass; its docstring is the group's text."""
        title, _, text = (settings.__doc__ or "").partition("\n")
        group = self.add_argument_group(title.rstrip("."), textwrap.fill(" ".join(text.split()), 78) or None)
        for field in dataclasses.fields(settings):
            flag, kind = "--" + field.name.replace("_", "-"), type_of(settings, field)
            action = _add_flag(group, flag, field, kind, field.name, field.metadata["help"] + _default_text(field))
            for name in field.metadata["was"]:
                old = "--" + name.replace("_", "-")
                _add_flag(group, old, field, kind, old, argparse.SUPPRESS)
                self._renamed[old] = action


def given(settings: type, options: argparse.Namespace) -> dict[str, Any]:
    """The fields that the command line set."""
    return {f.name: getattr(options, f.name) for f in dataclasses.fields(settings) if hasattr(options, f.name)}


def parsed(settings: type, values: Mapping[str, Any], where: str, warn: bool = True) -> dict[str, Any]:
    """Check values that come from a file or the environment; ``where`` opens the error message.

    Raises ``BadSetting`` for an unknown name (with the nearest one), an old name beside the new one, or a wrong value.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}
    checked = {}
    for name, value in with_current_names(values, renamed(settings), where, warn).items():
        if name not in fields:
            raise BadSetting(f"{where}: unknown setting {name!r}{nearest(name, list(fields))}")
        try:
            checked[name] = _convert(fields[name], type_of(settings, fields[name]), value)
        except (ValueError, TypeError) as error:
            raise BadSetting(f"{where}: {name}: {error}") from None
    return checked


def renamed(settings: type) -> dict[str, str]:
    """The old names of a dataclass's fields: what each is called now."""
    return {old: field.name for field in dataclasses.fields(settings) for old in field.metadata["was"]}


def with_current_names(
    values: Mapping[str, Any], renamed: Mapping[str, str], where: str, warn: bool = True
) -> dict[str, Any]:
    """Values of which some go by an old name, under their current ones.

    ``warn`` is for what people wrote; what an earlier release wrote is nobody's to change. Raises ``BadSetting`` for an
    old name beside the new one.
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


def type_of(settings: type, field: dataclasses.Field) -> Any:
    """The field's type; ``int | None`` counts as ``int``."""
    kind = typing.get_type_hints(settings)[field.name]
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _add_flag(group, flag: str, field, kind, dest: str, help: str) -> argparse.Action:
    metavar = field.metadata["metavar"] or getattr(kind, "__name__", "value").upper()
    if kind is bool:
        return group.add_argument(
            flag, dest=dest, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help
        )
    many = typing.get_origin(kind) is tuple
    item = typing.get_args(kind)[0] if many else kind
    return group.add_argument(
        flag, dest=dest, default=argparse.SUPPRESS, help=help, type=checked(lambda text: _one(field, item, text)),
        action="append" if many else "store", metavar=field.metadata["metavar"] or ("PATH" if many else metavar),
    )  # fmt: skip


def checked(parse: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A ``type`` for ``argparse`` whose own words reach the command line."""

    def convert(text):
        try:
            return parse(text)
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _convert(field, kind, value):
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            raise BadSetting(f"{value!r} is one value; a list is wanted, such as [{value!r}]")
        return tuple(_one(field, typing.get_args(kind)[0], item) for item in value)
    return _one(field, kind, value)


def _one(field, kind, value):
    if value is None and field.default is None:
        return None
    if field.metadata["parse"]:
        return field.metadata["parse"](value)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("1", "true", "yes", "0", "false", "no"):
            return str(value).lower() in ("1", "true", "yes")
        raise BadSetting(f"{value!r} is neither true nor false")
    if kind in (int, float):
        return _number(value, kind)
    return kind(value)


def _number(value, kind):
    """Vertex hyperparameter tuning sends integers as ``3.0``; a boolean, which is a number to Python, is refused."""
    if isinstance(value, bool):
        raise BadSetting(f"{str(value).lower()} is a boolean, not a number")
    try:
        number = float(value)
    except ValueError:
        raise BadSetting(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise BadSetting(f"{value!r} is not a finite number")
    if kind is int and number != int(number):
        raise BadSetting(f"{value!r} is not a whole number")
    return kind(number)


def _default_text(field):
    if not field.default and field.default is not False:  # left to something else
        return ""
    shown = (
        {True: "on", False: "off"}.get(field.default, field.default)
        if isinstance(field.default, bool)
        else field.default
    )
    return f" (default: {shown})".replace("%", "%%")
