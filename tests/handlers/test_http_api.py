"""The HTTP API: routes, links, and what a stranger learns."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autostop.harmless import harmless
from autostop.http_api import HttpApi, loggable
from autostop.link import Scope
from autostop.model import WorkstationId
from autostop.notice import NoticeKind, Told
from autostop.state import State
from autostop.static_files import content_policy, files_in
from tests.app.autostop_at_work import SECRET, START, AtWork, at_work, hearing
from tests.handlers.functions import EXAMPLE, ROOT, request
from tests.hostile import HOSTILE, IN_TAGS, obeyed

FILES = ROOT / "functions/api/page"
PAGE = files_in(FILES)["index.html"].content
WRONG = SECRET[::-1]


@pytest.fixture
def lab(lab_over_http: AtWork) -> AtWork:
    """Wrong secrets are counted by a table that only the HTTP of the world has."""
    return lab_over_http


@pytest.fixture
def workstation(lab: AtWork) -> WorkstationId:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=1))
    return workstation


@pytest.fixture
def api(lab: AtWork) -> HttpApi:
    return HttpApi(lab.owner, files_in(FILES))


def path_of(workstation: str, verb: str = "") -> str:
    return f"/api/workstations/{workstation}" + (f"/{verb}" if verb else "")


def ask(
    api: HttpApi, method: str, path: str, secret: str | None = SECRET, source: str = "192.0.2.7"
) -> tuple[int, Any]:
    answer = api.answer(request(method, path, secret, source))
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 404), ("GET", "/w", 404), ("POST", f"/w/{EXAMPLE}", 405), ("GET", "/api/workstations", 404),
    ("PUT", path_of(EXAMPLE), 405), ("POST", path_of(EXAMPLE), 405), ("GET", path_of(EXAMPLE, "start"), 405),
    ("DELETE", path_of(EXAMPLE, "stop"), 405), ("POST", path_of(EXAMPLE, "days"), 405),
    ("POST", path_of(EXAMPLE, "status"), 404), ("POST", path_of(EXAMPLE, "terminate"), 404),
    ("POST", path_of(EXAMPLE, "start/now"), 404), ("OPTIONS", path_of(EXAMPLE, "start"), 405),
    ("GET", "/../../etc/passwd", 404), ("GET", "/" + "x" * 9000, 404), ("GET", "//", 404), ("TRACE", "/\x00", 404),
])  # fmt: skip
def test_there_is_nothing_anywhere_else(api: HttpApi, method: str, path: str, status: int) -> None:
    asked, body = ask(api, method, path)
    assert asked == status
    assert body.keys() == {"title", "status", "detail"}


def test_what_is_asked_by_head_has_all_but_the_body(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    lab.link(workstation)
    for path in (f"/w/{EXAMPLE}", path_of(workstation), path_of(workstation, "start"), "/"):
        by_head, by_get = (api.answer(request(method, path, SECRET)) for method in ("HEAD", "GET"))
        assert by_head == by_get | {"body": ""}


@pytest.mark.parametrize("verb", ["", "days"])
def test_who_knows_how_it_stands_gets_no_body(lab: AtWork, workstation: WorkstationId, api: HttpApi, verb: str) -> None:
    lab.link(workstation)
    lab.pass_time(timedelta(minutes=1))
    asked = request("GET", path_of(workstation, verb), SECRET)
    tag = api.answer(asked)["headers"]["ETag"]
    asked["headers"]["if-none-match"] = f'"other", {tag}'
    answer = api.answer(asked)
    assert (answer["statusCode"], answer["body"], answer["headers"]["ETag"]) == (304, "", tag)
    lab.owner.stop(workstation, "the test")
    lab.pass_time(timedelta(minutes=10))
    assert api.answer(asked)["statusCode"] == 200
    asked["headers"]["authorization"] = f"Bearer {WRONG}"
    assert api.answer(asked)["statusCode"] == 403


@pytest.mark.parametrize(("header", "value"), [
    ("sec-purpose", "prefetch;prerender"), ("sec-purpose", "prefetch"), ("purpose", "prefetch"), ("x-moz", "prefetch"),
    ("x-purpose", "preview"),
])  # fmt: skip
def test_what_is_fetched_ahead_opens_nothing(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, header: str, value: str
) -> None:
    lab.link(workstation)
    for method, path in (("GET", f"/w/{workstation}"), ("POST", path_of(workstation, "start"))):
        asked = request(method, path, SECRET)
        asked["headers"][header] = value
        assert api.answer(asked)["statusCode"] == 403
    assert lab.state(workstation).version == 0


def test_the_days_are_told_with_their_money(tmp_path: Path) -> None:
    with at_work(tmp_path / "world", over_http=False) as lab:
        workstation = lab.workstation()
        lab.link(workstation)
        lab.asleep(workstation)
        lab.pass_time(timedelta(hours=10))
        lab.owner.start(workstation, "the phone")
        lab.awake(workstation)
        status, body = ask(HttpApi(lab.owner, {}), "GET", path_of(workstation, "days"))
    assert status == 200
    [night, day] = body["runs"]
    assert (night["by"], day["until"], day["why"]) == ("idle", None, None)
    assert night["why"].startswith("idle for")
    [shelved] = body["shelved"]
    assert night["from"] < night["until"] < shelved["from"] < shelved["until"] < day["from"]
    assert body["hours"]["asleep"] == pytest.approx(10, abs=1)
    assert body["prices"]["at"] is not None
    assert body["saved"]["instance"] == pytest.approx(body["hours"]["asleep"] * 0.1664, abs=0.01)
    assert body["cost"]["instance"] == pytest.approx(body["hours"]["awake"] * 0.1664, abs=0.01)


def test_the_page_is_the_same_for_every_workstation_and_needs_no_link(api: HttpApi) -> None:
    known, unknown = (api.answer(request("GET", f"/w/{text}")) for text in (EXAMPLE, "whatever"))
    assert known == unknown
    assert base64.b64decode(known["body"]) == PAGE


@pytest.mark.parametrize(("name", "kind"), [
    (EXAMPLE, "text/html; charset=utf-8"), ("manifest.json", "application/manifest+json"), ("icon.png", "image/png"),
])  # fmt: skip
def test_a_file_of_the_page_comes_packed_and_only_when_it_is_another(api: HttpApi, name: str, kind: str) -> None:
    def got(**headers: str) -> Any:
        asked = request("GET", f"/w/{name}")
        return api.answer(asked | {"headers": asked["headers"] | headers})

    plain, packed = got(), got(**{"accept-encoding": "br, gzip"})
    assert plain["headers"]["Content-Type"] == kind
    assert packed["headers"]["Content-Encoding"] == "gzip"
    content, body = (base64.b64decode(each["body"]) for each in (plain, packed))
    assert gzip.decompress(body) == content
    assert len(body) <= (18_000 if name == EXAMPLE else 5_000)
    tag = plain["headers"]["ETag"]
    assert packed["headers"]["ETag"] == tag
    again = got(**{"if-none-match": f'"x", {tag}'})
    assert (again["statusCode"], again["body"], again["headers"]["ETag"]) == (304, "", tag)
    assert got(**{"if-none-match": '"x"'}) == plain


@pytest.mark.parametrize(
    ("verb", "scope"),
    [("start", "start"), ("stop", "stop"), ("keep-awake", "keep-awake"), ("end-promise", "keep-awake")],
)
def test_a_verb_needs_its_scope(lab: AtWork, workstation: WorkstationId, api: HttpApi, verb: str, scope: str) -> None:
    others = tuple(each for each in Scope if each != scope)
    lab.link(workstation, scopes=others)
    status, body = ask(api, "POST", path_of(workstation, verb))
    assert status == 403
    assert scope in body["title"]
    assert lab.state(workstation).version == 0
    lab.link(workstation, scopes=(Scope(scope), Scope.STATUS))
    assert ask(api, "POST", path_of(workstation, verb))[0] == 202
    lab.link(workstation, scopes=(Scope(scope),))
    answer = api.answer(request("POST", path_of(workstation, verb), SECRET))
    assert (answer["statusCode"], answer["body"]) == (204, "")  # how it stands is told by its own scope alone


def test_the_status_needs_its_scope(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    lab.link(workstation, scopes=(Scope.START,))
    assert ask(api, "GET", path_of(workstation))[0] == 403


def test_a_stranger_cannot_tell_why_the_door_stays_shut(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    other = lab.workstation(disks={})
    lab.link(workstation)
    lab.link(other, secret=WRONG, expires_at=lab.clock())
    withdrawn = "w" * 43
    lab.link(workstation, secret=withdrawn)
    lab.ledger.withdraw_link(next(each for each in lab.ledger.links(workstation) if each.opens_with(withdrawn, START)))
    asked = [
        request("GET", path_of(workstation), SECRET[::-1]),
        request("GET", path_of(workstation), None),
        request("GET", path_of(workstation), ""),
        request("GET", path_of(workstation), "x" * 100_000),
        request("GET", path_of(workstation), withdrawn),
        request("GET", path_of(workstation), "schlüssel"),
        request("GET", path_of(workstation), f"{SECRET} {SECRET}"),
        request("GET", path_of(other), WRONG),
        request("GET", path_of(other), SECRET),
        request("GET", path_of(EXAMPLE), SECRET),
        request("GET", path_of("i-nonsense"), SECRET),
        request("GET", path_of("state"), SECRET),
        request("POST", path_of(EXAMPLE, "start"), SECRET),
        request("POST", path_of(other, "stop"), WRONG),
    ]
    answers = {json.dumps(api.answer(each), sort_keys=True) for each in asked}
    assert len(answers) == 1
    assert json.loads(answers.pop())["statusCode"] == 403


def test_another_kind_of_authorization_opens_nothing(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    lab.link(workstation)
    asked = request("GET", path_of(workstation), SECRET)
    asked["headers"]["authorization"] = f"Basic {SECRET}"
    assert api.answer(asked)["statusCode"] == 403
    del asked["headers"]
    assert api.answer(asked)["statusCode"] == 403
    asked = request("GET", path_of(workstation), SECRET)
    asked["headers"]["authorization"] = f"bearer {SECRET}"
    assert api.answer(asked)["statusCode"] == 200


def test_who_shows_twenty_wrong_secrets_in_a_minute_must_wait(
    lab: AtWork, workstation: WorkstationId, api: HttpApi
) -> None:
    lab.link(workstation)
    seen = [ask(api, "GET", path_of(workstation), WRONG)[0] for _ in range(22)]
    assert seen == [403] * 20 + [429] * 2
    assert ask(api, "GET", path_of(workstation), WRONG, source="192.0.2.8")[0] == 403
    # A right secret of the same household is not shut out.
    assert ask(api, "GET", path_of(workstation), SECRET)[0] == 200
    lab.clock.advance(timedelta(minutes=1))
    assert ask(api, "GET", path_of(workstation), WRONG)[0] == 403


def test_who_guesses_from_many_places_must_wait_and_shuts_nobody_out(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autostop.app.links._MOST_WRONG_FOR_A_WORKSTATION", 30)
    lab.link(workstation)
    seen = [ask(api, "GET", path_of(workstation), WRONG, source=f"192.0.2.{n % 4}")[0] for n in range(32)]
    assert seen == [403] * 30 + [429] * 2
    assert ask(api, "GET", path_of(workstation), SECRET, source="192.0.2.1")[0] == 200
    assert ask(api, "GET", path_of(EXAMPLE), WRONG, source="192.0.2.250")[0] == 403


def test_what_is_no_secret_by_its_form_costs_no_write(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    written: list[str] = []
    with hearing(lab.ledger.client, "before-call", lambda model, **_: written.append(model.name)):
        for path, secret in ((path_of(workstation), "x" * 42), (path_of(workstation), None), (path_of("i-x"), SECRET)):
            assert ask(api, "GET", path, secret)[0] == 403
    assert written == []


def test_looking_changes_nothing(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    lab.link(workstation)
    lab.pass_time(timedelta(minutes=1))
    before = lab.state(workstation)
    lab.world.journal.clear()
    lab.said.clear()
    for _ in range(3):
        assert ask(api, "GET", path_of(workstation))[0] == 200
        api.answer(request("GET", f"/w/{workstation}"))
    assert lab.state(workstation) == before
    assert lab.calls() == []
    assert lab.pass_time(timedelta(seconds=1)) is False
    assert lab.said == []


def test_keep_awake_of_what_sleeps_is_a_conflict_with_a_remedy(
    lab: AtWork, workstation: WorkstationId, api: HttpApi
) -> None:
    lab.link(workstation)
    lab.owner.stop(workstation, "the test")
    status, body = ask(api, "POST", path_of(workstation, "keep-awake"))
    assert (status, body["detail"]) == (409, "Start it instead.")


@pytest.mark.parametrize("encoded", [False, True])
def test_keep_awake_lasts_as_long_as_is_asked(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, encoded: bool
) -> None:
    lab.link(workstation)
    asked = request("POST", path_of(workstation, "keep-awake"), SECRET)
    body = '{"seconds": 10800}'
    asked |= {"body": base64.b64encode(body.encode()).decode() if encoded else body, "isBase64Encoded": encoded}
    told = json.loads(api.answer(asked)["body"])
    kept_until = datetime.fromisoformat(told["keep_awake_until"])
    assert abs(kept_until - lab.clock() - timedelta(hours=3)) < timedelta(seconds=5)
    assert told["keep_awake_for"] == 3600


@pytest.mark.parametrize("body", [
    "3h", "[]", "{}", '"x"', "1", "null", '{"seconds": "10800"}', '{"seconds": true}', '{"seconds": 1e4}',
    '{"seconds": NaN}', '{"seconds": -5}', '{"seconds": 59}', '{"seconds": 1e999}', '{"seconds": 99999999999}',
    "[" * 9999,
])  # fmt: skip
def test_a_promise_for_nobody_knows_how_long_is_refused(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, body: str
) -> None:
    lab.link(workstation)
    asked = request("POST", path_of(workstation, "keep-awake"), SECRET)
    for sent in ({"body": body}, {"body": body, "isBase64Encoded": True}):
        answer = api.answer(asked | sent)
        assert answer["statusCode"] == 400
        assert json.loads(answer["body"]).keys() == {"title", "status", "detail"}
    assert lab.state(workstation).kept_awake_until is None


def test_a_link_of_a_notice_starts_nothing_that_is_stopped(
    lab: AtWork, workstation: WorkstationId, api: HttpApi
) -> None:
    # Shelving goes on for hours where its snapshots take that long; whoever reads a mail may have its link.
    lab.link(workstation, scopes=(Scope.STATUS, Scope.KEEP_AWAKE))
    assert lab.pass_time(timedelta(hours=3), lambda: lab.world.instance(workstation).state == "stopped")
    before = lab.state(workstation)
    status, body = ask(api, "POST", path_of(workstation, "keep-awake"))
    assert (status, body["detail"]) == (409, "Start it, with a link that may.")
    assert lab.state(workstation) == before
    lab.link(workstation, scopes=(Scope.START, Scope.KEEP_AWAKE, Scope.STATUS))
    assert ask(api, "POST", path_of(workstation, "keep-awake"))[0] == 202


@pytest.mark.parametrize(("body", "tells"), [
    ("", False), ("  ", False), ('{"tell": true}', True), ('{"tell": false}', False), ("{}", None), ("yes", None),
    ('{"tell": "true"}', None), ('{"tell": 1}', None), ("[" * 9999, None), ('{"tell": null}', None),
])  # fmt: skip
def test_who_starts_says_whether_to_be_told(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, body: str, tells: bool | None
) -> None:
    lab.link(workstation)
    answer = api.answer(request("POST", path_of(workstation, "start"), SECRET) | {"body": body})
    intent = lab.state(workstation).intent
    assert answer["statusCode"] == (400 if tells is None else 202)
    assert (intent and intent.tells) == tells


@pytest.mark.parametrize(("path", "shown"), [
    (f"/w/{EXAMPLE}", f"/w/{EXAMPLE}"), (f"/w/{EXAMPLE}#{SECRET}", "/w/…"), (f"/w/{EXAMPLE}%23{SECRET}", "/w/…"),
    (path_of(EXAMPLE, "start"), path_of(EXAMPLE, "start")), (path_of(EXAMPLE, SECRET), path_of(EXAMPLE, "…")),
    (f"/{SECRET}", "/…"), ("/w/" + "i" * 4000, "/w/…"), ("", ""), ("/", "/"),
])  # fmt: skip
def test_of_a_path_only_what_is_ours_is_logged(path: str, shown: str) -> None:
    assert loggable(path) == shown


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 503), ("UnauthorizedOperation", 500)])
def test_what_aws_refuses_is_an_answer_too(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, code: str, status: int
) -> None:
    lab.link(workstation)
    lab.world.fail_next("DescribeInstances", code, times=10)
    answer = ask(api, "GET", path_of(workstation))
    assert answer[0] == status
    assert answer[1].keys() == {"title", "status", "detail"}


class Inline(HTMLParser):
    """What stands in <style> and <script>, found another way than the product does."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: dict[str, list[str]] = {"style": [], "script": []}
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in self.texts else None
        if self._inside:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data


def test_the_policy_lets_exactly_the_pages_own_style_and_script_run(api: HttpApi) -> None:
    policy = api.answer(request("GET", f"/w/{EXAMPLE}"))["headers"]["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    inline = Inline()
    inline.feed(PAGE.decode())
    for tag, texts in inline.texts.items():
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert hashes
        assert directives[f"{tag}-src"] == " ".join(f"'sha256-{each}'" for each in hashes)
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


def test_a_changed_script_has_another_hash() -> None:
    page = "<style>a{}</style><script>one()</script>"
    assert content_policy(page) != content_policy(page.replace("one", "two"))


def test_every_answer_forbids_guessing_its_type_and_caching_what_anybody_else_may_not_see(api: HttpApi) -> None:
    for path, cached in (("/", "no-store"), (f"/w/{EXAMPLE}", "no-cache"), (path_of(EXAMPLE), "no-store")):
        headers = api.answer(request("GET", path))["headers"]
        assert headers["Cache-Control"] == cached
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_others_wrote_is_obeyed_from_an_answer(
    lab: AtWork, workstation: WorkstationId, api: HttpApi, hostile: str
) -> None:
    lab.link(workstation, label=hostile)
    name = hostile if hostile in IN_TAGS else "lab"
    lab.world.tag(workstation, {"Name": name, "autostop:idle-after": name})
    told = (Told(NoticeKind.BLOCKED, "", lab.clock(), hostile),)
    lab.ledger.save(State(workstation, note=hostile, lost=hostile, binned=hostile, told=told, waiting_for=hostile))
    answer = api.answer(request("POST", path_of(workstation, "start"), SECRET))
    assert answer["statusCode"] == 202
    said = "\n".join(texts(json.loads(answer["body"])))
    assert obeyed(said + "".join(answer["headers"].values())) == ""
    assert f"“{harmless(hostile)}”" in said


def test_a_hostile_label_and_name_stay_plain_text(lab: AtWork, workstation: WorkstationId, api: HttpApi) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    lab.link(workstation, label=hostile)
    lab.ec2.create_tags(Resources=[workstation], Tags=[{"Key": "Name", "Value": "<b>lab</b>"}])
    answer = api.answer(request("POST", path_of(workstation, "start"), SECRET))
    assert answer["statusCode"] == 202
    assert answer["headers"]["Content-Type"] == "application/json"
    assert not any(hostile in str(value) for value in answer["headers"].values())
    body = json.loads(answer["body"])
    assert hostile in body["intent"]["why"]
    assert body["name"] == "<b>lab</b>"


def test_a_table_that_fails_for_now_is_a_503(api: HttpApi, lab: AtWork, workstation: WorkstationId) -> None:
    lab.link(workstation)
    with hearing(lab.ledger.client, "before-call", failed):
        status, body = ask(api, "POST", path_of(workstation, "start"))
    assert (status, body["detail"]) == (503, "Try again in a few seconds.")


def failed(**_: object) -> tuple[Any, Any]:
    error = {"Code": "InternalServerError", "Message": "Internal server error"}
    return SimpleNamespace(status_code=500), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 500}}
