"""What a tag means that is spelt like none of ours. Pure."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Final

from autostop.tags import AUTOSTOP

# So much alike two names must be (difflib's ratio) for nothing else to be meant, and for the one to be worth naming.
_CERTAIN: Final = 0.85
_LIKELY: Final = 0.6
_SPEAKS_TO_US: Final = re.compile(r"\W*auto[\W_]*stop[\W_]", re.IGNORECASE)
_ON: Final = frozenset({"on", "yes", "true", "1", "enabled"})


@dataclass(frozen=True, slots=True)
class Meant:
    """name: what the owner seems to mean, such as `idle-after`; empty: nobody knows. certain: nothing else is."""

    name: str
    certain: bool


@lru_cache(4096)
def meant_by(key: str, names: tuple[str, ...]) -> Meant | None:
    """What somebody means by a key that is none of the names behind `autostop:`; None: it is not for Autostop at all.

    Case, blanks, punctuation, a mistyped or missing prefix and mistyped letters are seen through.
    """
    by_letters = {_letters(name): name for name in names}
    prefix = _letters(key.rpartition(":")[0])
    asked, speaks_to_us = _letters(key), bool(_SPEAKS_TO_US.match(key))
    if asked.startswith(AUTOSTOP):
        asked = re.sub(f"^({AUTOSTOP})+", "", asked)
        if not asked:
            return None
    elif not key.startswith("aws:") and (prefix.endswith(AUTOSTOP) or _alike(prefix, AUTOSTOP) >= _CERTAIN):
        asked, speaks_to_us = asked.removeprefix(prefix), True
    else:
        # Without a prefix it may be another's: only a name of several words, letter by letter, is taken for ours.
        name = by_letters.get(asked, "")
        return Meant(name, certain=True) if "-" in name else None
    close = get_close_matches(asked, by_letters, 1, _LIKELY)
    if close and _alike(asked, close[0]) >= _CERTAIN:
        return Meant(by_letters[close[0]], certain=True)
    begun = [letters for letters in by_letters if letters.startswith(asked) or asked.startswith(letters)]
    return Meant(by_letters[(begun or close)[0]] if begun or close else "", certain=False) if speaks_to_us else None


def why_not_adopted(tags: Mapping[str, str]) -> str | None:
    """What is wrong with how an instance says that it is a workstation, or is none, in words; None if nothing is.

    EC2 and IAM compare tags letter by letter, so `Autostop = On` lets Autostop touch nothing.
    """
    is_ours = tags.get(AUTOSTOP) == "on"
    for key, value in tags.items():
        says_on = value.strip().casefold() in _ON
        if _letters(key) == AUTOSTOP and says_on is not is_ours:
            tag = f"tag {key!a} = {value!r}"
            if says_on:
                return f"{tag} makes it no workstation: EC2 and IAM heed only autostop = on, in small letters."
            return f"{tag} contradicts autostop = on. Remove one of them: until then nothing is stopped or shelved."
    return None


@lru_cache(4096)  # the keys of a thousand workstations are few
def _letters(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKC", text).casefold() if each.isalnum())


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
