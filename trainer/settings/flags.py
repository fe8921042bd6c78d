"""Frozen dataclasses as the one place of a setting: command line, file and documentation derive from the fields.

Used by the trainer and by the predictor; standard library only. A setting's name, type, default and help stand once,
in ``option(...)``.
"""

import argparse
import dataclasses
import math
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from trainer.console.errors import UserError
from trainer.settings.spelling import nearest


class BadSetting(UserError):
    """A value or a name that a setting does not take; the message says what would be right."""


def option(default: Any, help: str, parse: Callable[[Any], Any] | None = None, metavar: str | None = None):
    """A dataclass field that knows how to be a flag. ``parse`` checks and converts one value."""
    return dataclasses.field(default=default, metadata={"help": help, "parse": parse, "metavar": metavar})


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

    def error(self, message):
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = next((word for word in unknown.split() if word.startswith("--")), None)
            known = [name for action in self._actions for name in action.option_strings]
            message = (
                f"unknown flag {flag}{nearest(flag.split('=')[0], known)}" if flag else f"unexpected argument {unknown}"
            )
        self.exit(2, f"{self.prog}: {message}\nTry --help for all flags.\n")

    def add_settings(self, settings: type) -> None:
        """One group of flags for a settings dataclass; its docstring is the group's text."""
        title, _, text = (settings.__doc__ or "").partition("\n")
        group = self.add_argument_group(title.rstrip("."), textwrap.fill(" ".join(text.split()), 78) or None)
        for field in dataclasses.fields(settings):
            _add_flag(group, field, type_of(settings, field))


def given(settings: type, options: argparse.Namespace) -> dict[str, Any]:
    """The fields that the command line set."""
    return {f.name: getattr(options, f.name) for f in dataclasses.fields(settings) if hasattr(options, f.name)}


def parsed(settings: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check values that come from a file or the environment; ``where`` opens the error message.

    Raises ``BadSetting`` for an unknown name (with the nearest one) or a wrong value.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            raise BadSetting(f"{where}: unknown setting {name!r}{nearest(name, list(fields))}")
        try:
            checked[name] = _convert(fields[name], type_of(settings, fields[name]), value)
        except (ValueError, TypeError) as error:
            raise BadSetting(f"{where}: {name}: {error}") from None
    return checked


def type_of(settings: type, field: dataclasses.Field) -> Any:
    """The field's type; ``int | None`` counts as ``int``."""
    kind = typing.get_type_hints(settings)[field.name]
    if isinstance(kind, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _add_flag(group, field, kind):
    flag = "--" + field.name.replace("_", "-")
    help = field.metadata["help"] + _default_text(field)
    metavar = field.metadata["metavar"] or getattr(kind, "__name__", "value").upper()
    if kind is bool:
        group.add_argument(
            flag, dest=field.name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help
        )
        return
    many = typing.get_origin(kind) is tuple
    item = typing.get_args(kind)[0] if many else kind
    group.add_argument(
        flag, dest=field.name, default=argparse.SUPPRESS, help=help, type=checked(lambda text: _one(field, item, text)),
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
