"""The one way by which foreign text is shown: tags, names, labels, AWS's messages, what the probe tells."""


def harmless(text: str) -> str:
    """The text on one line, with escapes for what a program would obey: ESC, line ends, a turn of direction."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
