"""The example driver, built outside the tree with nothing but its header, loaded and used."""

import pathlib
import socket
import subprocess
import threading

import pytest

from conftest import PROGRAM, TOP, wait_until

SOURCE = TOP / "examples/driver/line_driver.c"
LINES_MAX = 150

CONFIG = """\
name: plugin
modules: [gateway, api]
listen: {{http: 127.0.0.1:0}}
plugins: {plugins}
devices:
  - name: tank
    driver: line
    address: 127.0.0.1:{port}
    groups:
      - name: levels
        interval: 100ms
        tags:
          - {{name: level, address: level, type: double, uom: m}}
          - {{name: flow, address: flow, type: double, scale: 2}}
          - {{name: nothing, address: nothing, type: double}}
"""


class LineServer:
    """The made-up device: names with numbers, asked for in lines."""

    def __init__(self):
        self.values = {"level": 12.5, "flow": 3.25}
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def kill(self):
        self.socket.close()

    def _accept(self):
        try:
            while True:
                peer, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()
        except OSError:
            return

    def _serve(self, peer):
        for line in peer.makefile("r"):
            words = line.split()
            if words[0] == "W":
                self.values[words[1]] = float(words[2])
            number = self.values.get(words[1])
            answer = f"{words[1]} {'! no such value' if number is None else number}\n"
            peer.sendall(answer.encode())


@pytest.fixture
def plugins(tmp_path):
    """Copies of the two files that a driver needs, and what the compiler makes of them."""
    include = tmp_path / "outside/include/lotline"
    include.mkdir(parents=True)
    (include / "driver.h").write_bytes((TOP / "include/lotline/driver.h").read_bytes())
    source = tmp_path / "outside/line_driver.c"
    source.write_bytes(SOURCE.read_bytes())
    folder = tmp_path / "plugins"
    folder.mkdir()
    words = ["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I"]
    words += [include.parent, "-o", folder / "line.so", source]
    subprocess.run([str(w) for w in words], check=True)
    return folder


def check(tmp_path, config):
    path = tmp_path / "check.yaml"
    path.write_text(config)
    return subprocess.run([PROGRAM, "check", "-c", path], capture_output=True, text=True)


def test_the_example_is_short():
    assert len(SOURCE.read_text().splitlines()) <= LINES_MAX
    includes = [x for x in SOURCE.read_text().splitlines() if x.startswith("#include")]
    assert [x for x in includes if "lotline" in x] == ["#include <lotline/driver.h>"]


def test_a_plugin_reads_writes_and_refuses(plugins, tmp_path, children, start_node):
    tank = LineServer()
    children.append(tank)
    node = start_node(CONFIG.format(plugins=plugins, port=tank.port))
    wait_until(lambda: node.tag("tank.levels.level")["value"] == 12.5, "the level")
    assert node.tag("tank.levels.flow")["value"] == 6.5
    wait_until(lambda: node.tag("tank.levels.nothing")["quality"] == "refused", "the refusal")
    assert node.post("/write", {"tag": "tank.levels.flow", "value": 8})["ok"] is True
    assert tank.values["flow"] == 4
    wait_until(lambda: node.tag("tank.levels.flow")["value"] == 8, "the new value")


def test_what_is_no_driver_is_refused_with_its_file(plugins, tmp_path):
    config = CONFIG.format(plugins=plugins, port=1)
    assert check(tmp_path, config).returncode == 0
    wrong = check(tmp_path, config.replace("address: level,", 'address: "two words",'))
    assert wrong.returncode == 1 and "one short word" in wrong.stderr
    (pathlib.Path(plugins) / "broken.so").write_bytes(b"no library")
    broken = check(tmp_path, config)
    assert broken.returncode == 1 and "broken.so" in broken.stderr


def test_another_version_of_the_api_is_refused(plugins, tmp_path):
    source = SOURCE.read_text().replace("LOTLINE_DRIVER_ABI", "LOTLINE_DRIVER_ABI + 1")
    (tmp_path / "other.c").write_text(source)
    words = ["cc", "-shared", "-fPIC", "-I", TOP / "include", "-o", plugins / "line.so"]
    subprocess.run([str(w) for w in [*words, tmp_path / "other.c"]], check=True)
    answer = check(tmp_path, CONFIG.format(plugins=plugins, port=1))
    assert answer.returncode == 1
    assert "version 2" in answer.stderr and "line.so" in answer.stderr
