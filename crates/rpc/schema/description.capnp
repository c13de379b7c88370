@0xfacc4f045b5bbeac;
# What a service says of itself to whoever finds that the two do not understand each other. The capability that a stream
# begins with answers this beside its own interface, where the service was offered with a descriptor.

interface Described @0xdfa896d51624d5d7 {
  describe @0 () -> (
      service :Text,                # The name of its stream.
      interfaceId :UInt64,
      interfaceName :Text,
      digest :Data,                 # 32 bytes: BLAKE2s of the schema, as the build script computes it.
      methods :List(Text));         # In the order of their ordinals.
}
