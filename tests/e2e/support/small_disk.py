"""A node whose data directory is a small file system of its own, to be filled and freed.

The tmpfs is mounted in a mount namespace of the node's (`unshare -rm`), where nobody else sees it;
from outside it is reached through /proc/PID/root as long as the node lives.
"""

import functools
import json
import os
import pathlib
import subprocess

from conftest import PROGRAM, Node, Process, wait_until

MOUNT_AND_RUN = 'mount -t tmpfs -o "size=$1" none "$2" && exec "$3" run -c "$4" --data "$2"'
PIECE = bytes(65536)


@functools.cache
def namespaces_are_allowed():
    words = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(words, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class SmallDiskNode(Node):
    def __init__(self, folder, config, name, size):
        self.size = size
        self.mount_point = pathlib.Path(folder) / name / "data"
        self.mount_point.mkdir(parents=True)
        super().__init__(folder, config, name)

    def start(self):
        words = ["unshare", "-rm", "sh", "-c", MOUNT_AND_RUN, "sh", self.size]
        words += [self.mount_point, PROGRAM, self.config]
        Process.__init__(self, words, self.folder / "log.txt")
        self.data = pathlib.Path(f"/proc/{self.child.pid}/root{self.mount_point}")
        run = self.data / "run.json"

        def listens():
            assert self.alive(), f"the node ended at start:\n{self.output[-3000:]}"
            return run.exists() and json.loads(run.read_text())

        self.ports = wait_until(listens, "the node to listen")
        return self

    def fill(self):
        """Takes every byte that is left."""
        with open(self.data / "filler", "ab", buffering=0) as filler:
            for piece in (PIECE, PIECE[:4096], PIECE[:1]):
                try:
                    while filler.write(piece):
                        pass
                except OSError:
                    pass

    def free(self):
        os.unlink(self.data / "filler")

    def free_bytes(self):
        room = os.statvfs(self.data)
        return room.f_bavail * room.f_frsize
