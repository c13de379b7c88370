"""A packagefs of two files, by the C++ implementation: files.py SCHEMA ADDRESS. Says where it listens, then serves."""

import capnp

from peer import listen, load, run

CONTENT = {"greeting.txt": b"hello from afar\n", "large": bytes(range(256)) * 2000}


async def main(schema, address):
    packagefs = load(schema)

    def attributes(name):
        return {"kind": "file", "mode": 0o444, "sizeBytes": len(CONTENT[name]), "modified": 0}

    class File(packagefs.File.Server):
        def __init__(self, name):
            self.name = name

        async def stream(self, offset, length, sink, _context, **_):
            data = CONTENT[self.name][offset:][:length]
            for start in range(0, len(data), 65536):
                await sink.write(data[start : start + 65536])
            await sink.end(len(data))
            _context.results.sentBytes = len(data)

    class Files(packagefs.PackageFs.Server):
        async def stat(self, path, _context, **_):
            if path in CONTENT:
                _context.results.attributes = attributes(path)
            elif path == "":
                _context.results.attributes = {"kind": "directory", "mode": 0o555}
            else:
                _context.results.status = "notFound"

        async def list(self, path, _context, **_):
            _context.results.entries = [
                {"name": name, "attributes": attributes(name)} for name in sorted(CONTENT)
            ]

        async def readSmall(self, path, limit, _context, **_):
            if path not in CONTENT:
                _context.results.status = "notFound"
                return
            _context.results.attributes = attributes(path)
            _context.results.content = CONTENT[path][:limit]
            if len(CONTENT[path]) > limit:
                _context.results.file = File(path)

    await listen(address, Files)


run(main)
