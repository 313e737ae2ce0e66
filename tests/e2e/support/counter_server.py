"""A Modbus TCP server whose registers prove which poll they were served to.

    counter_server.py --port PORT --ledger FILE [--units N]

Each unit id has a counter that goes up by one with every read that begins at its first register.
Register i of the unit then holds (counter + STRIDE * i) mod 65536, so any single value tells the
poll it comes from and that it lies in its own place. What was served is written to the ledger,
one line a poll: unit, counter, and the wall clock in µs when the reply was made.

It knows function 3 and nothing else, and is fast enough for ten thousand registers.
"""

import argparse
import asyncio
import struct
import time

STRIDE = 7
REGISTERS = 125
MODULUS = 65536
HEAD = struct.Struct(">HHHBB")
READ_HOLDING = 3
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS = 1, 2


class Bank:
    def __init__(self, units, ledger):
        self.counters = [0] * (units + 1)
        self.ledger = ledger
        self.packer = struct.Struct(f">{REGISTERS}H")

    def read(self, unit, start, count):
        if not 0 < unit < len(self.counters) or count < 1 or start + count > REGISTERS:
            return None
        if start == 0:
            self.counters[unit] += 1
            self.ledger.write(f"{unit} {self.counters[unit]} {time.time_ns() // 1000}\n")
        first = self.counters[unit]
        values = [(first + STRIDE * i) % MODULUS for i in range(REGISTERS)]
        return self.packer.pack(*values)[2 * start : 2 * (start + count)]


class Session(asyncio.Protocol):
    def __init__(self, bank):
        self.bank = bank
        self.pending = bytearray()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.pending += data
        out = bytearray()
        while len(self.pending) >= HEAD.size:
            transaction, _, length, unit, function = HEAD.unpack_from(self.pending)
            if len(self.pending) < 6 + length:
                break
            body = bytes(self.pending[HEAD.size : 6 + length])
            del self.pending[: 6 + length]
            answer = self.answer(unit, function, body)
            out += HEAD.pack(transaction, 0, len(answer) + 1, unit, answer[0]) + answer[1:]
        self.transport.write(bytes(out))

    def answer(self, unit, function, body):
        if function != READ_HOLDING or len(body) != 4:
            return bytes([function | 0x80, ILLEGAL_FUNCTION])
        data = self.bank.read(unit, *struct.unpack(">HH", body))
        if data is None:
            return bytes([function | 0x80, ILLEGAL_ADDRESS])
        return bytes([function, len(data)]) + data


async def serve(options):
    with open(options.ledger, "w", buffering=1) as ledger:
        bank = Bank(options.units, ledger)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Session(bank), "127.0.0.1", options.port)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--units", type=int, default=80)
    asyncio.run(serve(parser.parse_args()))
