"""A client of the C++ implementation: client.py SCENARIO ADDRESS SCHEMA. Says `ok` when all was as it should be."""

import asyncio
import gc

import capnp

from peer import Counter, connect, load, plain, run, say

PATIENCE = 20


async def bootstrap(service):
    for n in (0, 1, 2**64 - 1):
        assert (await service.echo(n, b"")).n == n
    # Larger than one segment, a pipe's buffer or a stream's window.
    blob = bytes(range(256)) * 4096
    assert (await service.echo(7, blob)).blob == blob
    answers = await asyncio.gather(*(service.echo(n, b"") for n in range(500)))
    assert [answer.n for answer in answers] == list(range(500))


async def pipelining(service):
    # The calls are under way before there is anything to call, and reach it in their order.
    later = service.later()
    totals = [later.counter.add(n) for n in (1, 10, 100)]
    await service.open()
    assert [(await total).total for total in totals] == [1, 11, 111]
    counter = service.counter().counter
    assert (await counter.add(5)).total == 5


async def streaming(service, _schema, address):
    chunk = bytes(20_000)
    for _ in range(200):
        await service.write(chunk)
    # The server takes a millisecond for each. Whoever writes waits for it, and not for all of it.
    observer = await connect(address)
    written = (await observer.bootstrap().cast_as(plain.Plain).written()).bytes
    assert 200 * len(chunk) - written < 1_000_000, written
    # An answer behind them all comes behind them all.
    assert (await service.written()).bytes == 200 * len(chunk)


async def exceptions(service):
    for _ in range(2):
        try:
            await service.refuse("no such luck")
            raise AssertionError("it was not refused")
        except capnp.KjException as error:
            assert "no such luck" in error.description and error.type == "FAILED", error
    # What is called on what never came fails for the same reason.
    try:
        await service.giveBack().counter.add(1)
        raise AssertionError("there was a counter")
    except capnp.KjException as error:
        assert error.type == "FAILED", error
    assert (await service.echo(1, b"")).n == 1


async def unknown_method(service):
    # A newer client than the server.
    try:
        await service.cast_as(plain.Counter).add(1)
        raise AssertionError("the server has no such interface")
    except capnp.KjException as error:
        assert error.type == "UNIMPLEMENTED", error


async def capabilities(service):
    mine = Counter()
    assert (await service.countTwice(mine)).total == 2 and mine.total == 2
    # Out and home again.
    back = (await service.giveBack(mine)).counter
    assert (await back.add(1)).total == 3 and mine.total == 3
    # And one of theirs, home and out again.
    theirs = (await service.counter()).counter
    assert (await service.countTwice(theirs)).total == 2
    assert (await theirs.add(1)).total == 3
    # Called when the call that brought it is over.
    await service.keep(mine)
    assert (await service.callKept()).total == 4
    await service.release()


async def cancel(service):
    calls = [asyncio.ensure_future(as_future(service.hold(Counter()))) for _ in range(20)]
    await service.settled(0, 20, 0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await service.settled(0, 0, 20)
    assert (await service.echo(1, b"")).n == 1


async def release(service):
    counters = [(await service.counter()).counter for _ in range(10)]
    await service.settled(10, 0, 0)
    del counters
    gc.collect()
    await service.settled(0, 0, 0)
    # What is given away lives until it is given back.
    mine = Counter()
    await service.keep(mine)
    del mine
    gc.collect()
    assert Counter.alive == 1
    await service.release()
    await gone(lambda: Counter.alive == 0)


async def embargo(service):
    # Calls on a promise that leads home stay in their order, also when it has come home.
    mine = Counter()
    promise = service.giveBack(mine)
    counter = promise.counter
    totals = [counter.add(1) for _ in range(50)]
    await promise
    totals += [counter.add(1) for _ in range(50)]
    totals = [(await total).total for total in totals]
    assert totals == list(range(1, 101)), totals


async def crowd(service, _schema, address):
    async def one(number):
        connection = await connect(address)
        mine = connection.bootstrap().cast_as(plain.Plain)
        counter = mine.counter().counter
        for n in range(1, 21):
            assert (await counter.add(number)).total == n * number
        blob = bytes([number]) * 50_000
        assert (await mine.echo(number, blob)).blob == blob

    await asyncio.gather(*(one(number) for number in range(20)))
    assert (await service.echo(1, b"")).n == 1


async def killed(service):
    """Says when its calls are under way, and is killed."""
    calls = [as_future(service.hold(Counter())) for _ in range(5)]
    counter = (await service.counter()).counter
    # The other client's, and ours.
    await service.settled(2, 5, 0)
    say("held")
    await asyncio.gather(*calls)
    del counter


async def survivor(service):
    """Works before, while and after another client is killed."""
    counter = (await service.counter()).counter
    assert (await counter.add(1)).total == 1
    say("here")
    # What the killed one had is gone; this counter is there.
    await service.settled(1, 0, 5)
    assert (await counter.add(1)).total == 2


async def severed(service):
    """Has a call under way, says so, and tells what it fails with, and what calls after it do."""
    counter = (await service.counter()).counter
    held = asyncio.ensure_future(as_future(service.hold(Counter())))
    await service.settled(1, 1, 0)
    say("held")
    for call in (held, as_future(counter.add(1)), as_future(service.echo(1, b""))):
        try:
            await call
            raise AssertionError("there was an answer")
        except capnp.KjException as error:
            assert error.type == "DISCONNECTED", error
            say(error.description.replace("\n", " "))


async def leave(service):
    """The server goes in mid-call; then what there is of it fails."""
    try:
        await service.leave()
        raise AssertionError("there was an answer")
    except capnp.KjException as error:
        assert error.type == "DISCONNECTED", error
    try:
        await service.echo(1, b"")
        raise AssertionError("there was an answer")
    except capnp.KjException as error:
        assert error.type == "DISCONNECTED", error


async def refused(service):
    """Tells what its calls fail with."""
    try:
        await service.echo(1, b"")
        raise AssertionError("there was an answer")
    except capnp.KjException as error:
        say(f"{error.type}: {error.description}".replace("\n", " "))


async def too_large(service):
    """A message over the limit of the bridge ends this program's connection and says why."""
    await refused_with(service.echo(1, bytes(9 << 20)), "over the limit of 8388608")


async def slow(service):
    """A call that outlasts the bridge's deadline fails, says so, and is canceled behind it."""
    await refused_with(service.hold(Counter()), "no answer within 1s")
    await service.settled(0, 0, 1)


async def files(service, schema):
    """Reads the packagefs of a node: listings, a small file, and a large one that is streamed into a sink of ours."""
    packagefs = load(schema)
    files = service.cast_as(packagefs.PackageFs)
    listed = await files.list("")
    assert [entry.name for entry in listed.entries] == ["large", "small"], listed
    small = await files.readSmall("small")
    assert small.status == "ok" and small.content == b"content", small
    assert (await files.stat("missing")).status == "notFound"

    class Sink(packagefs.ByteSink.Server):
        def __init__(self):
            self.taken = bytearray()
            self.total = None

        async def write(self, bytes, **_):
            self.taken += bytes

        async def end(self, totalBytes, **_):
            self.total = totalBytes

    sink = Sink()
    # Not opened yet when it is asked to stream.
    streamed = await files.open("large").file.stream(0, 2**64 - 1, sink)
    expected = b"0123456789abcdef" * 200_000
    assert streamed.status == "ok" and streamed.sentBytes == sink.total == len(expected), streamed
    assert sink.taken == expected


async def health(service, schema):
    ping = service.cast_as(load(schema).Health).ping
    for nonce in (0, 7, 2**64 - 1):
        assert (await ping(nonce)).nonce == nonce


async def refused_with(call, words):
    try:
        await call
        raise AssertionError("there was an answer")
    except capnp.KjException as error:
        assert words in error.description, error


async def as_future(promise):
    return await promise


async def gone(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def main(scenario, address, schema):
    connection = await connect(address)
    service = connection.bootstrap().cast_as(plain.Plain)
    function = globals()[scenario]
    arguments = (service, schema, address)[: function.__code__.co_argcount]
    await asyncio.wait_for(function(*arguments), PATIENCE)
    say("ok")


run(main)
