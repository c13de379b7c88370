@0xd1a000000000000b;
# It and the one that imports it import each other.

using Deeper = import "deeper.capnp".Deeper;

struct Beside {
  back @0 :Deeper;
}
