@0xb74f40994f5543f0;
# What notes are kept on: types and an interface of another file.

struct Place {
  shelf @0 :UInt16;
  label @1 :Text;
  colour @2 :Colour;
  struct Inner { depth @0 :Float64; }
  inner @3 :Inner;
}

using Vatmux = import "/vatmux/vatmux.capnp";

enum Colour { red @0; green @1; other @2 $Vatmux.unknown; }

struct LaterPlace {
  # A `Place` whose colour is no word of `Colour` yet.
  shelf @0 :UInt16;
  label @1 :Text;
  colour @2 :UInt16;
  inner @3 :Place.Inner;
}

interface Named {
  # Whatever has a name.
  name @0 () -> (name :Text);
}
