"""The owner's word, typed at the terminal."""

import sys
from collections.abc import Callable

import click

from autostop_cli.terminal import FailedError, say

# Takes a question and the word that consents; True when it was typed.
Ask = Callable[[str, str], bool]


def confirm(question: str) -> None:
    """Return when the owner says yes. Raises click.Abort on no, FailedError when nobody is there to ask."""
    if not sys.stdin.isatty():
        raise FailedError("Nobody is at the terminal to confirm it. Nothing was changed. Give --yes.")
    click.confirm(question, abort=True)


def agreed(question: str, *, yes: bool, dry_run: bool) -> bool:
    """True when it is to be done, False in a dry run, which is told. Raises what `confirm` does."""
    if dry_run:
        say("", "Nothing was changed: this was a dry run.")
    elif not yes:
        confirm(f"\n{question}")
    return not dry_run


def typed(question: str, word: str) -> bool:
    """True when the owner types the very word; False for anything else, and when nobody is at the terminal."""
    if not sys.stdin.isatty():
        return False
    answer = click.prompt(f"{question} Type {word} to do it", default="", show_default=False)
    return str(answer).strip() == word
