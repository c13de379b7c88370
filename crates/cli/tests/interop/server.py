"""A plain server of the C++ implementation: server.py unix:PATH | HOST:PORT. Says where it listens, then serves."""

import asyncio
import os

from peer import Counter, listen, plain, run


class Plain(plain.Plain.Server):
    """One for each connection; what is counted is counted over all of them."""

    running = 0
    canceled = 0
    bytes = 0

    def __init__(self):
        self.opened = asyncio.Event()
        self.kept = None

    async def echo(self, n, blob, **_):
        return n, blob

    async def counter(self, **_):
        return Counter()

    async def later(self, **_):
        await self.opened.wait()
        return Counter()

    async def open(self, **_):
        self.opened.set()

    async def countTwice(self, counter, **_):
        await counter.add(1)
        return (await counter.add(1)).total

    async def giveBack(self, counter, **_):
        return counter

    async def hold(self, held, **_):
        Plain.running += 1
        Counter.note()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            Plain.canceled += 1
            raise
        finally:
            Plain.running -= 1
            Counter.note()

    async def keep(self, counter, **_):
        self.kept = counter

    async def callKept(self, **_):
        return (await self.kept.add(1)).total

    async def release(self, **_):
        self.kept = None

    async def write(self, bytes, **_):
        await asyncio.sleep(0.001)
        Plain.bytes += len(bytes)

    async def written(self, **_):
        return Plain.bytes

    async def refuse(self, reason, **_):
        raise ValueError(reason)

    async def settled(self, counters, running, canceled, **_):
        while (Counter.alive, Plain.running, Plain.canceled) != (counters, running, canceled):
            Counter.changed.clear()
            await Counter.changed.wait()

    async def leave(self, **_):
        os._exit(0)


async def main(address):
    Counter.changed = asyncio.Event()

    await listen(address, Plain)


run(main)
