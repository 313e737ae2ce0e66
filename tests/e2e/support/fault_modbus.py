"""A Modbus TCP server that lies in just one way, until it is healed.

Holding register i of unit u holds 1000 * u + i until it is written, so that a value tells where it
comes from. `fault` names what is wrong with the answers; "" is a device that is well. The faults are
those that devices and networks really have; each is a function from the good answer to what is sent
instead.
"""

import contextlib
import socket
import struct
import threading
import time

HEAD = struct.Struct(">HHHBB")
READ_HOLDING, WRITE_COIL, WRITE_REGISTER, WRITE_REGISTERS, MASK = 3, 5, 6, 16, 22
LATE_S = 0.45
BACKLOG = 16


def frame(transaction, unit, function, body, protocol=0):
    return HEAD.pack(transaction, protocol, len(body) + 2, unit, function) + body


class FaultServer:
    def __init__(self, fault="", port=0):
        self.fault = fault
        self.written = {}
        self.asked = []  # (unit, function, start, count)
        self.refused = set()  # functions answered with exception 1
        self.closed = False
        self.socket = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def heal(self):
        self.fault = ""

    def kill(self):
        self.closed = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.socket.close()

    # ------------------------------------------------------------------------------ connections

    def _accept(self):
        while not self.closed:
            if self.fault == "half open":  # the kernel completes the connection, nobody serves it
                time.sleep(0.01)
                continue
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _take(self, peer, size):
        data = b""
        while len(data) < size:
            piece = peer.recv(size - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def _serve(self, peer):
        try:
            while True:
                transaction, _, length, unit, function = HEAD.unpack(self._take(peer, HEAD.size))
                body = self._take(peer, length - 2)
                self._answer(peer, transaction, unit, function, body)
        except (OSError, struct.error):
            peer.close()

    # ------------------------------------------------------------------------------ the device

    def register(self, unit, i):
        return self.written.get((unit, i), 1000 * unit + i) & 0xFFFF

    def _good(self, unit, function, body):
        """The function and body of a true answer."""
        start, count = struct.unpack(">HH", body[:4])
        self.asked.append((unit, function, start, count))
        if function in self.refused:
            return function | 0x80, b"\x01"
        if function == READ_HOLDING:
            values = [self.register(unit, start + i) for i in range(count)]
            return function, struct.pack(f">B{count}H", 2 * count, *values)
        if function == WRITE_REGISTER:
            self.written[unit, start] = count
        elif function == WRITE_REGISTERS:
            for i, value in enumerate(struct.unpack(f">{count}H", body[5:])):
                self.written[unit, start + i] = value
        elif function == MASK:
            keep, put = struct.unpack(">HH", body[2:6])
            self.written[unit, start] = self.register(unit, start) & keep | put & ~keep
            return function, body
        else:
            return function | 0x80, b"\x01"
        return function, body[:4]

    def _answer(self, peer, transaction, unit, function, body):
        fault = self.fault
        function, body = self._good(unit, function, body)
        good = frame(transaction, unit, function, body)
        if fault == "silent":
            return
        if fault == "late":
            time.sleep(LATE_S)
        elif fault == "reset in mid-frame":
            peer.sendall(good[:9])
            # Closing with a linger time of zero sends a reset instead of an end.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            raise ConnectionError
        elif fault == "half a frame":
            good = good[:9]
        elif fault == "byte by byte":
            for byte in good:
                peer.sendall(bytes([byte]))
                time.sleep(0.002)
            return
        peer.sendall(LIES.get(fault, lambda *_: good)(transaction, unit, function, body))


LIES = {
    "another transaction id": lambda t, u, f, b: frame(t ^ 0x5555, u, f, b),
    "another protocol id": lambda t, u, f, b: frame(t, u, f, b, protocol=7),
    "another unit id": lambda t, u, f, b: frame(t, u + 1, f, b),
    "wrong function": lambda t, u, f, b: frame(t, u, f + 1, b),
    "short frame": lambda t, u, f, b: frame(t, u, f, bytes([b[0] - 2]) + b[1:-2]),
    "long frame": lambda t, u, f, b: frame(t, u, f, bytes([b[0] + 2]) + b[1:] + b"\0\0"),
    "wrong byte count": lambda t, u, f, b: frame(t, u, f, bytes([b[0] - 2]) + b[1:]),
    "exception": lambda t, u, f, b: frame(t, u, f | 0x80, b"\x04"),
}
