@0xb74f40994f5543f0;
# What notes are kept on: types and an interface of another file.

struct Place {
  shelf @0 :UInt16;
  label @1 :Text;
  colour @2 :Colour;
  struct Inner { depth @0 :Float64; }
  inner @3 :Inner;
}

enum Colour { red @0; green @1; }

interface Named {
  # Whatever has a name.
  name @0 () -> (name :Text);
}
