"""Texts that others may have written, in tags, names, programs and messages, and what no reader of ours may meet."""

# XML, in which EC2 answers, does not carry the last ones.
IN_TAGS = (
    "lab\r\nSubject: owned\r\n\r\nowned",
    "\x9b2J\x9d0;owned\x9c",
    "\u202edenwo\u2066\u200f\u061c",
    "one\u2028two\u2029three\x85four",
    "\x7f\xad\ufeff\u200b",
    "<img src=x onerror=alert(1)></script>",
    "=?utf-8?b?b3duZWQ=?=",
    "https://evil.example/w/i-0123456789abcdef0#owned",
)
HOSTILE = (*IN_TAGS, "\x1b[2J\x1b]0;owned\x07", "\x00\x08\x0b\x0c", "\udc80")


def obeyed(text: str) -> str:
    """What of a text a terminal, a mail program or a browser would obey and not show; line ends are our own."""
    return "".join(each for each in text if not (each.isprintable() or each == "\n"))
