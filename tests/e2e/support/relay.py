"""Stands between a node and an MES and does what an MES does on a bad day, path by path.

`trouble["/feeders"] = "status"` and so on; no entry is a good day. `down()` ends the listening socket:
connections are refused until `up()`.
"""

import http.server
import threading
import urllib.error
import urllib.request

HANG_S_MAX = 60


class Relay:
    def __init__(self, target):
        self.target = target  # "127.0.0.1:5040"
        self.trouble = {}  # path: "status", "garbage", "hang", "lost" (only the answer is)
        self.posts = []  # (path, headers, body) that the MES got
        self.tries = 0  # that it did not get
        self.over = threading.Event()
        self.port = 0
        self.up()

    def _answer(self, request, body):
        target = f"http://{self.target}{request.path}"
        ask = urllib.request.Request(target, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return answer.status, answer.read()

    def _handle(self, request, body):
        path = request.path.partition("?")[0]
        trouble = self.trouble.get(path)
        if body is not None and trouble in (None, "lost"):
            self.posts.append((path, dict(request.headers), body))
        elif body is not None:
            self.tries += 1
        if trouble == "hang":
            self.over.wait(HANG_S_MAX)
            return
        status, answer = 500, b"out of order"
        if trouble == "garbage":
            status, answer = 200, b'[{"feeder": "placer_a.f1", "lot'
        elif trouble is None:
            status, answer = self._answer(request, body)
        if trouble == "lost":  # it did what was asked, and nobody hears of it
            self._answer(request, body)
            request.close_connection = True
            return
        request.send_response(status)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def up(self):
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                relay._handle(self, None)

            def do_POST(self):
                relay._handle(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a node that was killed

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        self.server.shutdown()
        self.server.server_close()

    def kill(self):
        self.over.set()
        self.down()
