"""A TCP proxy that stands between an edge and its hub and makes the link bad.

It understands just enough of MQTT to know a PUBACK on its way back, so that it can drop some of them
at random: the sender must then not know whether its batch arrived. It cuts the link (connections
are reset and new ones refused, or everything is swallowed in silence), restores it, and delays it.

Every random choice comes from one generator whose seed is printed, so that a run can be repeated.
"""

import asyncio
import random
import socket
import struct
import threading

PUBACK = 0x40
PIECE_BYTES = 65536
LENGTH_BYTES_MAX = 4


class Framer:
    """Splits a stream of bytes into MQTT packets; keeps what is not whole yet."""

    def __init__(self):
        self.pending = bytearray()

    def feed(self, data):
        self.pending += data
        while (size := self._size()) is not None and size <= len(self.pending):
            yield bytes(self.pending[:size])
            del self.pending[:size]

    def _size(self):
        """Bytes of the first packet, None as long as its head is not whole."""
        length = 0
        for i in range(LENGTH_BYTES_MAX):
            if len(self.pending) < i + 2:
                return None
            byte = self.pending[i + 1]
            length |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return i + 2 + length
        raise ValueError("the hub sent a packet whose length has more than four bytes")


class Link:
    """One connection of a client, and ours to the server behind."""

    def __init__(self, proxy, reader, writer):
        self.proxy = proxy
        self.client = (reader, writer)
        self.server = None

    async def run(self):
        reader, writer = self.client
        try:
            host, port = self.proxy.target
            self.server = await asyncio.open_connection(host, port)
            up = self._forward(reader, self.server[1], None)
            down = self._forward(self.server[0], writer, Framer())
            tasks = [asyncio.ensure_future(up), asyncio.ensure_future(down)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        finally:
            self.reset()

    async def _forward(self, reader, writer, framer):
        while data := await reader.read(PIECE_BYTES):
            await self.proxy.open.wait()
            if self.proxy.delay_s:
                await asyncio.sleep(self.proxy.delay_s)
            if framer is None:
                self.proxy.bytes_up += len(data)
            else:
                data = b"".join(p for p in framer.feed(data) if self.proxy.passes(p))
            writer.write(data)
            await writer.drain()

    def reset(self):
        """Ends both ends at once, with RST: what was under way is lost."""
        for end in (self.client, self.server):
            if end is None:
                continue
            sock = end[1].get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end[1].transport.abort()


class Proxy:
    """Lives on a thread of its own; its methods may be called from any other."""

    def __init__(self, target, seed, drop_puback=0.0):
        self.target = target
        self.random = random.Random(seed)
        self.drop_puback = drop_puback
        self.delay_s = 0.0
        self.dropped = 0
        self.passed = 0
        self.bytes_up = 0
        self.connections = 0
        self.port = None
        self._links = set()
        self._refusing = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        print(f"proxy on port {self.port}, seed {seed}")

    def _run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._reset_all()

    async def _accept(self, reader, writer):
        link = Link(self, reader, writer)
        if self._refusing:
            link.reset()
            return
        self.connections += 1
        self._links.add(link)
        await link.run()
        self._links.discard(link)

    def passes(self, packet):
        if packet[0] & 0xF0 != PUBACK:
            return True
        if self.random.random() < self.drop_puback:
            self.dropped += 1
            return False
        self.passed += 1
        return True

    def _reset_all(self):
        for link in list(self._links):
            link.reset()

    def _on_loop(self, function):
        done = threading.Event()

        def call():
            function()
            done.set()

        self._loop.call_soon_threadsafe(call)
        done.wait()

    def cut(self):
        """Connections are reset, new ones too, until restore()."""

        def now():
            self._refusing = True
            self._reset_all()

        self._on_loop(now)

    def swallow(self):
        """Connections stay, nothing passes: a cable pulled out somewhere behind a switch."""
        self._on_loop(self.open.clear)

    def restore(self):
        def now():
            self._refusing = False
            self.open.set()

        self._on_loop(now)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
