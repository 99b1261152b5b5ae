"""The owner's word, typed at the terminal."""

import sys
from collections.abc import Callable

import click

# Takes a question and the word that consents; True when it was typed.
Ask = Callable[[str, str], bool]


def typed(question: str, word: str) -> bool:
    """True when the owner types the very word; False for anything else, and when nobody is at the terminal."""
    if not sys.stdin.isatty():
        return False
    answer = click.prompt(f"{question} Type {word} to do it", default="", show_default=False)
    return str(answer).strip() == word
