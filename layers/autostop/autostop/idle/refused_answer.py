"""Why a Jupyter server, or the probe that asks for it, gave no answer: in the owner's words, with the remedy.

Pure. Nothing of the answer is repeated but a port number and an HTTP status, so nothing in it can reach a page or log.
"""

import re
from typing import Final

_HTTP: Final = re.compile(r"http([1-9][0-9]{2})", re.ASCII)

_SERVERS: Final = {
    "http403": "refuses the question: set IdentityProvider.token beside the password",
    "http404": "does not know the question (HTTP 404): is another program listening there, or is its base_url wrong?",
    "timeout": "did not answer in time: it hangs or is overloaded; restart it if it stays so",
    "refused": "refuses or drops the connection: does it run in a container or a network namespace of its own?",
    "tls": "failed in the TLS handshake: look at its certificate and its log",
    "bad": "gave an answer of an unknown kind: a version of Jupyter that is not known yet, or another program",
}

_ERRORS: Final = {
    "notroot": "the probe does not run as root, so it cannot see the Jupyter servers of all users",
    "denied": "the probe may not read a directory in which Jupyter keeps its runtime files; name a readable one in the "
    "tag autostop:jupyter-runtime",
    "missing": "the directory named in the tag autostop:jupyter-runtime is not there; correct the tag",
    "gpu": "nvidia-smi fails or hangs, so nothing is known of the GPU: run it there and look at what it says",
    "many": "there are more Jupyter runtime files than the probe reads; remove those of servers that are gone",
    "deadline": "the probe did not finish in time: the workstation or one of its file systems hangs",
}


def broken_server(port: int, status: str) -> str:
    """Why the server of this entry gave no counts. port: 0 for one on a Unix socket, or whose port is not known."""
    if status == "nofile":
        return (
            "a Jupyter server runs whose runtime file cannot be found or trusted: restart it, or name its runtime "
            "directory in the tag autostop:jupyter-runtime; a server in a container cannot be asked"
        )
    who = f"the Jupyter server on port {port}" if port else "a Jupyter server on a Unix socket"
    answered = _HTTP.fullmatch(status)
    if status in _SERVERS:
        return f"{who} {_SERVERS[status]}"
    if answered:
        return f"{who} answered with HTTP {answered[1]}: look at its log"
    return f"{who} could not be asked, for a reason that this version does not know"


def probe_error(word: str) -> str:
    """Why the probe as a whole could not look everywhere."""
    return _ERRORS.get(word, "the probe failed on the workstation; run it there by hand and look at what it prints")
