"""The world over HTTP, for clients in other processes."""

import hmac
import io
import json
import logging
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.request import Request
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from autostop_local.world import wire
from autostop_local.world.world import World

_TICK_SECONDS = 0.1
_JOURNAL = "/_world/journal"

_log = logging.getLogger(__name__)


@contextmanager
def serve(world: World, port: int = 0) -> Iterator[str]:
    """Serve an entered world on the loopback, and give the endpoint's URL; port 0 takes a free one.

    One endpoint for EC2, SSM and CloudWatch (and whatever else moto has); any credentials, and no page of a browser.
    Its path is a secret of this run: another user of this machine finds the port, and Run Command is root here. Events
    go out and machines boot in their time, without a call. `GET` and `DELETE /_world/journal` read and clear
    the journal.
    """
    place = f"/{secrets.token_urlsafe(16)}"
    server = make_server("127.0.0.1", port, _Application(world, place), threaded=True, request_handler=_Quiet)
    closing = threading.Event()

    def tick() -> None:
        while not closing.wait(_TICK_SECONDS):
            try:
                world.tick()
            except Exception:  # noqa: BLE001 - the world goes on, and what went wrong is told
                _log.exception("a tick failed")

    threads = [
        threading.Thread(target=server.serve_forever, args=(_TICK_SECONDS,), daemon=True),
        threading.Thread(target=tick, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{place}"
    finally:
        closing.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    """Keeps connections open, as boto3 likes it, and tells nothing of each request: that is in the journal."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


def _why_refused(environ: dict[str, Any]) -> str | None:
    """Why a request comes from no program of this machine: a page that its owner looks at could send it, too.

    A page's browser names the page, or a host that was pointed here, or signs nothing.
    """
    if "HTTP_ORIGIN" in environ:
        return "A page has nothing to ask here."
    if environ.get("HTTP_HOST", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
        return "Ask 127.0.0.1."
    if environ.get("PATH_INFO") != _JOURNAL and not environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4-"):
        return "Sign it, with any credentials."
    return None


class _Application:
    """The WSGI application: the world's own calls, the journal, and moto for the rest."""

    def __init__(self, world: World, place: str) -> None:
        self._world, self._place = world, place
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        place, environ["PATH_INFO"] = environ["PATH_INFO"][: len(self._place)], environ["PATH_INFO"][len(self._place) :]
        why_not = _why_refused(environ) if hmac.compare_digest(place, self._place) else "Ask at the URL of this run."
        if why_not is not None:
            return Response(why_not, 403)(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ.get("PATH_INFO") == _JOURNAL:
            return self._journal(environ["REQUEST_METHOD"])(environ, start_response)
        request = Request(environ)
        asked = wire.read(request)
        answered = None if asked is None else wire.answer(request, asked, self._world.call)
        if answered is not None:
            status, headers, text = answered
            return Response(text, status, headers)(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        passed = Response.from_app(self._moto, environ)
        if asked is not None:
            self._world.passed_on(asked, wire.error_code(passed.status_code, passed.get_data()))
        return passed(environ, start_response)

    def _journal(self, method: str) -> Response:
        if method == "DELETE":
            self._world.journal.clear()
            return Response(status=204)
        calls = [
            {
                "at": call.at,
                "service": call.service,
                "operation": call.operation,
                "parameters": call.parameters,
                "error": call.error,
            }
            for call in self._world.journal.calls()
        ]
        return Response(json.dumps(calls, default=str), content_type="application/json")
