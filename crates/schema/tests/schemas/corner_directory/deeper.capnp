@0xd1a000000000000a;
# Imports go from where the file is.

using Up = import "../corner_names.capnp";
using Beside = import "beside.capnp";
using Roundabout = import "../corner_directory/./beside.capnp";

struct Deeper {
  a @0 :Up.Outer.Inner;
  b @1 :Beside.Beside;
  c @2 :Roundabout.Beside;
  file @3 :Data = embed "../embedded.txt";
}
