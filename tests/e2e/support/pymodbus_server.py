"""A Modbus TCP server of other people (Debian's pymodbus) that plays a script.

    pymodbus_server.py --port PORT --script FILE [--ledger FILE]

A line of the script is what changes at a moment:

    {"at_us": 0, "coils": {"0": 1}, "holding": {"100": 17}}

Addresses are the protocol's, from 0. A script of one line is a bank of fixed values. Each line is
written to the ledger with the wall clock just before and just after it was set, so a reader of the
ledger knows between which two moments a value began to be served. Writes of clients are taken.
"""

import argparse
import asyncio
import json
import time

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.server import StartAsyncTcpServer

AREA = 2000
COILS, HOLDING = 1, 3


def wall_us():
    return time.time_ns() // 1000


async def play(unit, lines, ledger):
    began = time.monotonic()
    for line in lines:
        wait_s = began + line["at_us"] / 1e6 - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        before = wall_us()
        for code, area in ((COILS, "coils"), (HOLDING, "holding")):
            for address, value in line.get(area, {}).items():
                unit.setValues(code, int(address), [value])
        if ledger:
            ledger.write(json.dumps({"from_us": before, "until_us": wall_us(), **line}) + "\n")
    if ledger:
        ledger.write('{"end": true}\n')


async def main(options):
    with open(options.script) as script:
        lines = [json.loads(line) for line in script]
    blocks = {area: ModbusSparseDataBlock({i: 0 for i in range(AREA)}) for area in ("co", "hr")}
    unit = ModbusSlaveContext(zero_mode=True, **blocks)
    context = ModbusServerContext(slaves={1: unit}, single=False)
    ledger = open(options.ledger, "w", buffering=1) if options.ledger else None
    server = asyncio.ensure_future(
        StartAsyncTcpServer(
            context=context, address=("127.0.0.1", options.port), allow_reuse_address=True
        )
    )
    await asyncio.gather(server, play(unit, lines, ledger))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--ledger")
    asyncio.run(main(parser.parse_args()))
