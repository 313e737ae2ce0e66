"""What the behaviour tests share: real nodes, real simulators, waiting for conditions.

A `Node` is the real program on free loopback ports with a data directory of its own; it writes
DATA/run.json when everything listens. Nothing here sleeps for a guessed time: `wait_until` asks
again until a condition holds, and fails with what it last saw.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("LOTLINE_BIN", TOP / "build" / "lotline"))
PATIENCE_S = float(os.environ.get("LOTLINE_PATIENCE_S", "30"))
ASK_AGAIN_S = 0.02


def wait_until(condition, what, timeout_s=PATIENCE_S):
    """Asks condition() until it gives something true, and returns that."""
    deadline = time.monotonic() + timeout_s
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, KeyError, urllib.error.URLError) as problem:
            last = problem
        time.sleep(ASK_AGAIN_S)
    raise AssertionError(f"waited {timeout_s} s for {what}; last seen: {last!r}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, body, headers):
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def json(self):
        return json.loads(self.body)


class Process:
    """A child whose output goes to a file, and who never outlives its test."""

    def __init__(self, arguments, log, environment=None):
        self.log = pathlib.Path(log)
        self.arguments = [str(a) for a in arguments]
        env = dict(os.environ, **(environment or {}))
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                self.arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env
            )

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def stop(self, patience_s=PATIENCE_S):
        """Asks it to end; returns its exit code."""
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.arguments[:3]} did not end:\n{self.output[-3000:]}")

    def kill(self):
        if self.alive():
            self.child.kill()
        return self.child.wait()


class Node(Process):
    def __init__(self, folder, config, name="node", environment=None):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.config = self.folder / "lotline.yaml"
        self.config.write_text(config)
        self.environment = environment or {}
        self.ports = {}
        self.start()

    def start(self):
        run = self.data / "run.json"
        run.unlink(missing_ok=True)
        super().__init__(
            [PROGRAM, "run", "-c", self.config, "--data", self.data],
            self.folder / "log.txt",
            self.environment,
        )

        def listens():
            if not self.alive():
                raise AssertionError(f"the node ended at start:\n{self.output[-3000:]}")
            return run.exists() and json.loads(run.read_text())

        self.ports = wait_until(listens, "the node to listen")
        return self

    @property
    def token(self):
        return (self.data / "admin.token").read_text().strip()

    def request(self, method, path, body=None, token=True, headers=None, timeout_s=PATIENCE_S):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.ports['http']}{path}", data=data, method=method
        )
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for key, value in (headers or {}).items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as problem:
            return Answer(problem.code, problem.read(), problem.headers)

    def get(self, path):
        answer = self.request("GET", f"/api/v1{path}")
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json

    def post(self, path, body):
        answer = self.request("POST", f"/api/v1{path}", body)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json

    def tag(self, name):
        device, group, tag = name.split(".")
        for row in self.get(f"/tags?device={device}&group={group}"):
            if row["tag"] == tag:
                return row
        raise KeyError(name)

    def sql(self, statement, rows_max=100000):
        answer = self.post(
            "/sql", {"sql": statement, "rows_max": rows_max, "timeout_ms": 60000}
        )
        assert not answer["truncated"], "the answer is not whole"
        return answer["rows"]

    def command(self, *arguments, check=False):
        """A subcommand that talks to this node."""
        arguments = [PROGRAM, *arguments, "--data", self.data]
        result = subprocess.run(
            [str(a) for a in arguments], capture_output=True, text=True, timeout=PATIENCE_S
        )
        if check:
            assert result.returncode == 0, (arguments, result.stdout, result.stderr)
        return result

    def mqtt(self):
        host, port = self.ports["mqtt"].rsplit(":", 1)
        return host, int(port)


SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error: ")


def end_all(started):
    """Ends them in reverse order, whatever happens. Under a sanitizer they end by themselves, since
    leaks are looked for at the end, and what it reported fails the test."""
    sanitized = "ASAN_OPTIONS" in os.environ
    reports = []
    for child in reversed(started):
        if not isinstance(child, Process):  # a server of the test's own
            child.kill()
            continue
        if sanitized and child.alive():
            child.child.send_signal(signal.SIGTERM)
            try:
                child.child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                reports.append(f"{child.arguments[:3]} does not end")
        child.kill()
        if any(word in child.output for word in SANITIZER_REPORTS):
            reports.append(child.output[-6000:])
    assert not reports, "\n".join(reports)


@pytest.fixture
def children():
    """Everything started in a test; ended with it."""
    started = []
    yield started
    end_all(started)


@pytest.fixture
def start_node(tmp_path, children):
    def start(config, name="node", environment=None):
        node = Node(tmp_path, config, name, environment)
        children.append(node)
        return node

    return start


@pytest.fixture
def start_press(tmp_path, children):
    """The simulated press on a free port; returns (process, port)."""

    def start(*options, name="press"):
        port = free_port()
        press = Process(
            [PROGRAM, "sim", "press", "--port", port, *options], tmp_path / f"{name}.log"
        )
        children.append(press)

        def answers():
            assert press.alive(), press.output
            with socket.create_connection(("127.0.0.1", port), 1):
                return True

        wait_until(answers, "the press to listen")
        return press, port

    return start
