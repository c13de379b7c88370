@0xb0f6a2d9c3e15784;
# Links of a chain, which are capabilities that lead to others, for the tests of what answers can do to callers.

using Vatmux = import "/vatmux/vatmux.capnp";

interface Link $Vatmux.service(name = "test.chain") {
  next @0 () -> (link :Link);

  nested @1 () -> (inner :Inner);

  give @2 (link :Link) -> (total :UInt64);
  # Calls `give` of what it is given, with itself, and adds one.

  pour @3 (link :Link) -> stream;
  # Keeps what it is given.

  after @4 (link :Link) -> (link :Link);
  # What follows the link that it is given, before that is known.

  large @5 (bytes :UInt32) -> (link :Link, bytes :Data);
}

struct Inner {
  link @0 :Link;
}

struct Anything {
  # What a peer may put in the place of any of these results.
  first @0 :AnyPointer;
  second @1 :AnyPointer;
}
