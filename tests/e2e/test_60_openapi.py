"""The description that the server serves is true: every operation in it is called, and every answer
is held against its schema; nothing is served without a token that does not say so.
"""

import datetime
import http.client
import json
import pathlib

import jsonschema
import pytest

from conftest import PROGRAM, TOP, Node, Process, end_all, free_port, wait_until
from support.press import JOB, job_config

pytestmark = pytest.mark.asan

PREFIX = "/api/v1"
LINE = "floor"
ALWAYS = "?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
STREAMS_MEDIA = ("text/event-stream", "application/x-ndjson")


class Service:
    """A node with something in every list, and its description."""

    def __init__(self, node, folder):
        self.node = node
        self.folder = folder
        self.document = node.get("/openapi.json")
        self.serial = wait_until(
            lambda: [u["serial"] for u in node.get("/units") if u["serial"]], "a unit"
        )[0]
        node.post("/write", {"tag": "plc1.press.setpoint", "value": 14.5})
        alarms = wait_until(lambda: node.get("/alarms"), "an alarm")
        self.alarm = alarms[0]["id"]
        wait_until(lambda: node.sql("SELECT count(*) AS n FROM defects")[0]["n"], "a defect")

    def operations(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                if method in ("get", "put", "post", "delete", "patch"):
                    yield method.upper(), path, operation

    # The press's own track over the last minute.
    @property
    def replay(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = (now - datetime.timedelta(minutes=1)).isoformat()
        tracks = JOB[: JOB.index("characteristics:")]
        return {"from": begin, "to": now.isoformat(), "tracks": tracks, "lead": "1m"}

    # How each operation is called: what fills the path, the query and the body.
    def calls(self):
        return {
            ("GET", "/devices"): {},
            ("GET", "/tags"): {"query": "?device=plc1&group=press"},
            ("POST", "/write"): {"body": {"tag": "plc1.press.setpoint", "value": 15.5}},
            ("POST", "/read"): {"body": {"tag": "plc1.press.force"}},
            ("GET", "/streams"): {},
            ("GET", "/rules"): {},
            ("POST", "/tail"): {"body": {"sql": 'SELECT force FROM "plc1.press"'}},
            ("GET", "/events"): {},
            ("GET", "/alarms"): {},
            ("POST", "/alarms/{id}/ack"): {"path": {"id": self.alarm}, "body": {}},
            ("GET", "/audit"): {},
            ("GET", "/sql"): {"query": "?sql=SELECT%20count(*)%20AS%20n%20FROM%20points"},
            ("POST", "/sql"): {"body": {"sql": "SELECT * FROM points LIMIT 3"}},
            ("GET", "/units"): {},
            ("GET", "/containment"): {"query": "?station=press"},
            ("GET", "/trace/{serial}"): {"path": {"serial": self.serial}},
            ("GET", "/trace/{serial}/band"): {"path": {"serial": self.serial},
                                              "query": "?station=press"},
            ("GET", "/lines"): {},
            ("GET", "/lines/{name}"): {"path": {"name": LINE}},
            ("GET", "/lines/{name}/stays"): {"path": {"name": LINE}, "query": ALWAYS},
            ("GET", "/why"): {"query": "?defect=dent"},
            ("POST", "/replay"): {"body": self.replay},
            ("GET", "/sessions"): {},
            ("POST", "/publish"): {"body": {"topic": "a/b", "payload": "hello"}},
            ("GET", "/uplink"): {},
            ("GET", "/node"): {},
            ("GET", "/log-level"): {},
            ("PUT", "/log-level"): {"body": {"level": "info"}},
            ("POST", "/link"): {"body": {}},
            ("POST", "/backup"): {"body": {"dir": str(self.folder / "backup")}},
            ("GET", "/session"): {},
            ("POST", "/session"): {"body": {"token": self.node.token}},
            ("DELETE", "/session"): {},
            ("GET", "/openapi.json"): {},
        }

    def validate(self, value, schema):
        resolver = jsonschema.RefResolver("", self.document)
        jsonschema.Draft202012Validator(schema, resolver=resolver).validate(value)

    def url(self, path, call):
        for name, value in call.get("path", {}).items():
            path = path.replace(f"{{{name}}}", str(value))
        assert "{" not in path, f"the test does not know how to fill {path}"
        return PREFIX + path + call.get("query", "")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    port = free_port()
    press = Process([PROGRAM, "sim", "press", "--port", port, "--speed", "4"], folder / "press.log")
    alarm = (
        "  - name: pressing\n    sql: SELECT force FROM \"plc1.press\" WHERE force > 1\n"
        "    actions: [{alarm: {severity: minor}}]\n"
        "  - name: dents\n    sql: SELECT unit_id() AS unit, 'dent' AS defect, count(force) AS n "
        "FROM \"plc1.press\" GROUP BY UNITWINDOW('press1')\n"
        "    actions: [{trace: {operation: look, defects: [defect], measures: []}}]\n"
        'uplink: {to: "mqtt://127.0.0.1:1", streams: ["*"]}\n'
    )
    line = (
        f"  - name: {LINE}\n    parts: [{{station: table}}]\n    gates:\n"
        "      - {signal: plc1.press.state, into: table}\n"
        "      - {signal: plc1.press.state, edge: falling, out_of: table}\n"
    )
    config = job_config(port).replace("characteristics:", line + "characteristics:")
    node = Node(folder, config + alarm)
    try:
        yield Service(node, folder)
    finally:
        end_all([press, node])


def short(path):
    return path[len(PREFIX) :] if path.startswith(PREFIX) else path


def test_document_is_openapi(service):
    assert service.document["openapi"].startswith("3.1")
    assert service.document["info"]["title"]
    names = [operation["operationId"] for _, _, operation in service.operations()]
    assert len(names) == len(set(names))
    for method, path, operation in service.operations():
        assert operation.get("summary"), (method, path)
        for status, response in operation["responses"].items():
            assert response.get("description") or response.get("$ref"), (method, path, status)
            for body in response.get("content", {}).values():
                if "schema" in body:
                    jsonschema.Draft202012Validator.check_schema(body["schema"])


def test_every_operation_is_known_to_this_test(service):
    described = {(method, short(path)) for method, path, _ in service.operations()}
    assert described == set(service.calls())


def test_every_operation_is_in_the_handbook(service):
    text = (TOP / "docs" / "rest.md").read_text()
    for method, path, _ in service.operations():
        assert f"{method} {short(path)}" in text or (f"`{short(path)}`" in text and method in text)


def first_lines(node, method, url, body, media):
    """The beginning of an answer that never ends."""
    host, port = node.ports["http"].rsplit(":", 1)
    link = http.client.HTTPConnection(host, int(port), timeout=20)
    headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/json"}
    link.request(method, url, None if body is None else json.dumps(body), headers)
    answer = link.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.headers["Content-Type"].startswith(media)
    lines = []
    while not any(lines):
        lines.append(answer.readline().decode().strip().removeprefix("data:").strip())
        if lines[-1].startswith(("event:", ":", "id:", "retry:")):
            lines.pop()
    link.close()
    return [line for line in lines if line]


def call_stream(service, method, path, call, media):
    line = first_lines(service.node, method, service.url(path, call), call.get("body"), media)[0]
    assert isinstance(json.loads(line), dict)


def call_plain(service, method, path, operation, call):
    answer = service.node.request(method, service.url(path, call), call.get("body"))
    assert 200 <= answer.status < 300, (method, path, answer.status, answer.body)
    assert str(answer.status) in operation["responses"], (method, path, answer.status)
    content = operation["responses"][str(answer.status)]["content"]
    media = answer.headers["Content-Type"].split(";")[0]
    assert media in content, (method, path, media)
    assert "schema" in content[media], (method, path)
    if media == "application/json":
        service.validate(json.loads(answer.body), content[media]["schema"])


def test_every_operation_answers_as_described(service):
    problems = []
    calls = service.calls()
    for method, path, operation in service.operations():
        call = calls[method, short(path)]
        content = operation["responses"].get("200", {}).get("content", {})
        try:
            body = operation.get("requestBody")
            if body and "body" in call:
                service.validate(call["body"], body["content"]["application/json"]["schema"])
            media = [m for m in content if m in STREAMS_MEDIA]
            if media:
                call_stream(service, method, short(path), call, media[0])
            else:
                call_plain(service, method, short(path), operation, call)
        except (AssertionError, jsonschema.ValidationError, KeyError, OSError) as problem:
            problems.append(f"{method} {path}: {str(problem)[:600]}")
    assert not problems, "\n\n".join(problems)


def is_problem(answer, service):
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.body
    problem = json.loads(answer.body)
    service.validate(problem, service.document["components"]["schemas"]["Problem"])
    assert problem["status"] == answer.status
    return problem


def test_nothing_without_a_token_but_what_says_so(service):
    calls = service.calls()
    for method, path, operation in service.operations():
        call = calls[method, short(path)]
        answer = service.node.request(
            method, service.url(short(path), call), call.get("body"), token=False
        )
        if operation.get("security") == []:
            assert answer.status != 401, (method, path)
            continue
        assert answer.status == 401, (method, path, answer.status)
        assert answer.headers.get("WWW-Authenticate"), (method, path)
        is_problem(answer, service)
    wrong = service.node.request(
        "GET", PREFIX + "/node", token=False, headers={"Authorization": "Bearer wrong"}
    )
    assert wrong.status == 401


def test_unknown_members_are_named(service):
    for method, path, operation in service.operations():
        call = service.calls()[method, short(path)]
        if "body" not in call or short(path) == "/backup":
            continue
        answer = service.node.request(
            method, service.url(short(path), call), {**call["body"], "nonsense": 1}
        )
        assert answer.status == 400, (method, path, answer.status, answer.body)
        assert "nonsense" in is_problem(answer, service)["detail"], (method, path)


def test_health_and_metrics_need_no_token_here(service):
    assert service.node.request("GET", "/health", token=False).status == 200
    assert service.node.request("GET", "/metrics", token=False).status == 200


def test_cookie_signs_in_and_out(service):
    node = service.node
    answer = node.request("POST", PREFIX + "/session", {"token": node.token}, token=False)
    assert 200 <= answer.status < 300
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite" in cookie
    headers = {"Cookie": cookie.split(";")[0]}
    assert node.request("GET", PREFIX + "/node", token=False, headers=headers).status == 200
    foreign = node.request("DELETE", PREFIX + "/session", token=False, headers=headers)
    assert foreign.status == 403, "a page of another site ended the session"
    own = {**headers, "Origin": f"http://{node.ports['http']}"}
    ended = node.request("DELETE", PREFIX + "/session", token=False, headers=own)
    assert ended.status == 200, ended.body
    assert node.request("GET", PREFIX + "/node", token=False, headers=headers).status == 401


def test_link_signs_in_once(service):
    node = service.node
    link = node.post("/link", {})["link"]
    assert link.startswith("http://")
    path = link.split(node.ports["http"], 1)[1]
    host, port = node.ports["http"].rsplit(":", 1)
    first = open_link(host, int(port), path)
    assert first.status in (302, 303)
    assert "HttpOnly" in first.headers["Set-Cookie"]
    again = open_link(host, int(port), path)
    assert again.headers.get("Set-Cookie") is None


def open_link(host, port, path):
    link = http.client.HTTPConnection(host, port, timeout=20)
    link.request("GET", path)
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer


def test_token_file_is_for_its_owner_alone(service):
    path = pathlib.Path(service.node.data) / "admin.token"
    assert path.stat().st_mode & 0o077 == 0
    assert len(path.read_text().strip()) >= 32


# ------------------------------------------------------------------------- roles

ROLES = ("viewer", "engineer", "admin")


@pytest.fixture
def guarded(start_node):
    """A node with a token of each role; the tokens are in the configuration alone."""
    tokens = {role: f"{role}-token-{'x' * 20}" for role in ROLES}
    lines = [f"    - {{name: {r}1, role: {r}, token: {t}}}" for r, t in tokens.items()]
    config = "name: line1\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\napi:\n  tokens:\n"
    return start_node(config + "\n".join(lines) + "\n"), tokens


def test_roles_are_kept(guarded):
    """Each operation says which role it needs; whoever has less gets 403, and nothing happens."""
    node, tokens = guarded
    document = node.get("/openapi.json")
    checked = {True: 0, False: 0}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation.get("security") == [] or path in ("/events", "/tail", "/session"):
                continue
            for role in ROLES:
                url = PREFIX + path.replace("{id}", "1").replace("{serial}", "X")
                headers = {"Authorization": f"Bearer {tokens[role]}"}
                body = None if method == "get" else {}
                answer = node.request(method.upper(), url, body, token=False, headers=headers)
                enough = ROLES.index(role) >= ROLES.index(operation["x-role"])
                assert (answer.status != 403) == enough, (method, path, role, answer.status)
                checked[enough] += 1
    assert min(checked.values()) > 5
    assert node.get("/log-level")["level"] == "info"


def test_who_one_is(guarded):
    node, tokens = guarded
    for role in ROLES:
        headers = {"Authorization": f"Bearer {tokens[role]}"}
        answer = node.request("GET", PREFIX + "/session", token=False, headers=headers)
        assert answer.json == {"user": f"{role}1", "role": role}


def test_tokens_are_not_in_what_people_read(guarded):
    node, tokens = guarded
    for role, token in tokens.items():
        assert token not in node.output
        assert token not in json.dumps(node.get("/audit"))
