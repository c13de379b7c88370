"""What the C++ implementation's server and the clients have in common."""

import asyncio
import os
import sys

import capnp

here = os.path.dirname(os.path.abspath(__file__))
# The standard schemas came with it: `-> stream` is defined there.
imports = [os.path.dirname(os.path.dirname(capnp.__file__))]


def load(schema):
    return capnp.load(schema, imports=imports)


plain = load(os.path.join(here, "plain.capnp"))


class Counter(plain.Counter.Server):
    """Counts, and is counted."""

    alive = 0
    changed = None

    def __init__(self):
        self.total = 0
        Counter.alive += 1
        self.note()

    def __del__(self):
        Counter.alive -= 1
        self.note()

    @staticmethod
    def note():
        if Counter.changed is not None:
            Counter.changed.set()

    async def add(self, n, **_):
        self.total += n
        return self.total


async def connect(address):
    """Connects to unix:PATH or HOST:PORT; gives the connection, which must be kept, and the bootstrap capability."""
    path = address.removeprefix("unix:")
    if path != address:
        stream = await capnp.AsyncIoStream.create_unix_connection(path)
    else:
        host, port = address.rsplit(":", 1)
        stream = await capnp.AsyncIoStream.create_connection(host, int(port))
    return capnp.TwoPartyClient(stream)


async def listen(address, service):
    """Serves a new `service` to each who connects to unix:PATH or HOST:PORT, and says where that is."""

    async def serve(stream):
        await capnp.TwoPartyServer(stream, bootstrap=service()).on_disconnect()

    path = address.removeprefix("unix:")
    if path != address:
        server = await capnp.AsyncIoStream.create_unix_server(serve, path)
    else:
        host, port = address.rsplit(":", 1)
        server = await capnp.AsyncIoStream.create_server(serve, host, int(port))
        address = f"{host}:{server.sockets[0].getsockname()[1]}"
    say(address)
    async with server:
        await server.serve_forever()


def say(line):
    print(line, flush=True)


def run(main):
    asyncio.run(capnp.run(main(*sys.argv[1:])))
