"""The HTTP API: requests of API Gateway (payload 2.0) in, answers out."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from autostop.app.links import are_too_many, open_link
from autostop.app.owner import Owner, RefusedError
from autostop.app.status import days_as_json
from autostop.harmless import harmless
from autostop.link import Link, Scope, is_secret, parse_workstation
from autostop.ports import DeniedError, TransientError
from autostop.static_files import File

_ASK_FOR_A_LINK = "Ask for a new link with `autostop link`."
_CLOSED = ("This link does not open this workstation.", _ASK_FOR_A_LINK)
# Of one promise, in seconds. What its owner allows at most, the setting longest-promise says.
_SHORTEST, _LONGEST = 60, 366 * 86400
_HOW_LONG = 'Send {"seconds": 10800} for three hours, or nothing for as long as keep-awake-for says.'
_WHETHER_TO_TELL = 'Send {"tell": true} for a notice once it is up, or nothing for none.'
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
}


def _start(owner: Owner, link: Link, asked_by: str, body: str) -> None:
    tells = _said(body, "tell", False)
    if not isinstance(tells, bool):
        raise HttpError(HTTPStatus.BAD_REQUEST, "It is not said whether to tell.", _WHETHER_TO_TELL)
    owner.start(link.workstation, asked_by, tells=tells)


def _keep_awake(owner: Owner, link: Link, asked_by: str, body: str) -> None:
    owner.keep_awake(link.workstation, asked_by, _lasts(body), may_start=Scope.START in link.scopes)


_VERBS: Mapping[str, tuple[Scope, Callable[[Owner, Link, str, str], None]]] = {
    "start": (Scope.START, _start),
    "stop": (Scope.STOP, lambda owner, link, asked_by, _: owner.stop(link.workstation, asked_by)),
    "keep-awake": (Scope.KEEP_AWAKE, _keep_awake),
    "end-promise": (Scope.KEEP_AWAKE, lambda owner, link, asked_by, _: owner.end_promise(link.workstation, asked_by)),
}
_WORDS = {"", "w", "api", "workstations", "days", *_VERBS}
# By these a browser, or what previews a link, says that nobody has opened it yet.
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HttpError(Exception):
    """A refusal: what is wrong, and what to do next."""

    status: HTTPStatus
    error: str
    remedy: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpApi:
    """The phone page and its JSON calls. files: of the page, by name."""

    owner: Owner
    files: Mapping[str, File]

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """The answer to one request; every error is one too. Of what is asked by HEAD, all but the body."""
        answer = self._answer(request)
        return answer | {"body": ""} if request["requestContext"]["http"]["method"] == "HEAD" else answer

    def _answer(self, request: Mapping[str, Any]) -> Answer:
        try:
            return self._route(request)
        except HttpError as refusal:
            return _problem(refusal.status, refusal.error, refusal.remedy, refusal.headers)
        except RefusedError as refusal:
            return _problem(HTTPStatus.CONFLICT, str(refusal), refusal.remedy)
        except TransientError as error:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "Try again in a few seconds.")
        except DeniedError as error:
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), "Look at the function's log.")

    def _route(self, request: Mapping[str, Any]) -> Answer:
        headers = request.get("headers", {})
        if any(headers.get(name, "").lower().startswith(("prefetch", "preview")) for name in _PURPOSES):
            raise HttpError(HTTPStatus.FORBIDDEN, "Nothing is opened before its owner opens it.", "Open the link.")
        match request["requestContext"]["http"]["method"], request["rawPath"].strip("/").split("/"):
            case "GET" | "HEAD", ["w", name]:
                found = (self.files.get(name) or self.files["index.html"]).answer(headers)
                return found | {"headers": _SECURITY_HEADERS | found["headers"]}
            case "GET" | "HEAD", ["api", "workstations", text]:
                link = self._allowed(request, text, Scope.STATUS)
                return _unless_known(self.owner.status(link.workstation, link.scopes).as_json(), headers)
            case "GET" | "HEAD", ["api", "workstations", text, "days"]:
                workstation = self._allowed(request, text, Scope.STATUS).workstation
                return _unless_known(days_as_json(*self.owner.days(workstation)), headers)
            case "POST", ["api", "workstations", text, verb] if verb in _VERBS:
                scope, act = _VERBS[verb]
                link = self._allowed(request, text, scope)
                act(self.owner, link, f"the link “{link.label}”", _body_of(request))
                if Scope.STATUS not in link.scopes:
                    return {"statusCode": HTTPStatus.NO_CONTENT.value, "headers": _SECURITY_HEADERS, "body": ""}
                return _json(HTTPStatus.ACCEPTED, self.owner.status(link.workstation, link.scopes).as_json())
            case _, ["w", _] | ["api", "workstations", _] | ["api", "workstations", _, "days"]:
                raise _only("GET, HEAD")
            case _, ["api", "workstations", _, verb] if verb in _VERBS:
                raise _only("POST")
        raise HttpError(HTTPStatus.NOT_FOUND, "There is nothing here.", _ASK_FOR_A_LINK)

    def _allowed(self, request: Mapping[str, Any], text: str, scope: Scope) -> Link:
        """The link of the request. An unknown workstation, a wrong secret and an expired link all look the same."""
        workstation, source = parse_workstation(text), request["requestContext"]["http"].get("sourceIp", "")
        kind, _, secret = request.get("headers", {}).get("authorization", "").partition(" ")
        secret = secret.strip() if kind.lower() == "bearer" else ""
        if workstation is None or not is_secret(secret):
            # By its form it opens nothing, which is not worth a write.
            raise HttpError(HTTPStatus.FORBIDDEN, *_CLOSED)
        ledger, now = self.owner.ledger, self.owner.clock()
        link = open_link(ledger, workstation, secret, now, source)
        if link is None:
            if are_too_many(ledger, workstation, source, now):
                raise HttpError(HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong links.", "Wait a minute.")
            raise HttpError(HTTPStatus.FORBIDDEN, *_CLOSED)
        if scope not in link.scopes:
            raise HttpError(HTTPStatus.FORBIDDEN, f"This link may not be used to {scope}.", _ASK_FOR_A_LINK)
        return link


def _body_of(request: Mapping[str, Any]) -> str:
    """Raises HttpError when it is no text."""
    body = request.get("body") or ""
    try:
        return base64.b64decode(body, validate=True).decode() if request.get("isBase64Encoded") else body
    except ValueError:
        raise HttpError(HTTPStatus.BAD_REQUEST, "The request's body is no text.", _HOW_LONG) from None


def _lasts(body: str) -> timedelta | None:
    """How long from now a promise is wanted, of `{"seconds": 10800}`; None without one. Raises HttpError."""
    if not body.strip():
        return None
    seconds = _said(body, "seconds", None)
    if type(seconds) is not int or not _SHORTEST <= seconds <= _LONGEST:
        raise HttpError(HTTPStatus.BAD_REQUEST, "It is not said for how long to keep it awake.", _HOW_LONG)
    return timedelta(seconds=seconds)


def _said(body: str, name: str, otherwise: object) -> object:
    """What a body of JSON says; None for what is none, or does not say it."""
    if not body.strip():
        return otherwise
    try:
        return json.loads(body)[name]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def loggable(path: str) -> str:
    """A path without what is not of ours: a link whose # became %23 has its secret in it."""
    return "/".join(part if part in _WORDS or parse_workstation(part) else "…" for part in path.split("/"))


def _only(methods: str) -> HttpError:
    allowed = HTTPStatus.METHOD_NOT_ALLOWED
    return HttpError(allowed, "It cannot be asked like this.", f"Ask by {methods}.", {"Allow": methods})


def _unless_known(body: Mapping[str, object], headers: Mapping[str, str]) -> Answer:
    """The body, or that it is still as the one whose ETag the request names; `now` alone makes it no other."""
    facts = json.dumps(_shown({key: value for key, value in body.items() if key != "now"}))
    tag = f'W/"{hashlib.sha256(facts.encode()).hexdigest()[:20]}"'
    if tag in (each.strip() for each in headers.get("if-none-match", "").split(",")):
        return {"statusCode": HTTPStatus.NOT_MODIFIED.value, "headers": {"ETag": tag, **_SECURITY_HEADERS}, "body": ""}
    return _json(HTTPStatus.OK, body, ETag=tag)


def _problem(status: HTTPStatus, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Why not, and what to do: RFC 9457, whose type is left out where the status says it."""
    body = {"title": title, "status": status.value, "detail": detail}
    return _json(status, body, "application/problem+json", **(headers or {}))


def _json(status: HTTPStatus, body: Mapping[str, object], kind: str = "application/json", **headers: str) -> Answer:
    return _answer(status, kind, json.dumps(_shown(body)), **headers)


def _shown(value: Any) -> Any:
    """A part of a body with each of its texts harmless: they may be anybody's, and the page shows them."""
    if isinstance(value, Mapping):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return harmless(value) if isinstance(value, str) else value


def _answer(status: HTTPStatus, kind: str, body: str, **headers: str) -> Answer:
    return {"statusCode": status.value, "headers": {"Content-Type": kind, **_SECURITY_HEADERS, **headers}, "body": body}
