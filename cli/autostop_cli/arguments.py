"""The words of the command line that several commands take."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import click

from autostop.model import WorkstationId
from autostop.settings import parse_duration
from autostop_cli.account import Account
from autostop_cli.naming import workstation_called
from autostop_cli.new_machine import parse_disk

Value = TypeVar("Value")
Run = TypeVar("Run", bound=Callable[..., None])


class Word(click.ParamType[Value]):
    """What a function makes of a word of the command line; its ValueError says what is wrong with the word."""

    def __init__(self, name: str, parse: Callable[[str], Value]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class _Instance(click.ParamType[WorkstationId]):
    """The id of an instance, or its name."""

    name = "instance"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WorkstationId:
        account = ctx.find_object(Account) if ctx is not None else None
        if account is None:
            raise LookupError("an instance is looked up in an account")
        try:
            return workstation_called(account, value)
        except LookupError as error:
            self.fail(f"{value!r} {error}", param, ctx)


def _longer_than_nothing(text: str) -> timedelta:
    if not (duration := parse_duration(text)):
        raise ValueError("must be longer than 0")
    return duration


DURATION: Final = Word("duration", _longer_than_nothing)

an_instance: Final = click.argument("workstation", metavar="INSTANCE", type=_Instance())
instance_or_none: Final = click.argument("workstation", metavar="[INSTANCE]", type=_Instance(), required=False)
yes: Final = click.option("--yes", is_flag=True, help="Do not ask.")


def dry_run(meaning: str) -> Callable[[Run], Run]:
    """meaning: what is shown, and what is not done."""
    return click.option("--dry-run", is_flag=True, help=meaning)


def as_json(meaning: str = "The same as the page's API gives it.") -> Callable[[Run], Run]:
    """meaning: what is printed."""
    return click.option("--json", "as_json", is_flag=True, help=meaning)


def sizes(meaning: str) -> Callable[[Run], Run]:
    """Pairs of a device and GiB. meaning: of which disks."""
    of_disks = Word("size", parse_disk)
    return click.option("--size", "sizes", multiple=True, metavar="DEVICE=GIB", type=of_disks, help=meaning)
