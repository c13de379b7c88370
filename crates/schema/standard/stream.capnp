# What a streaming method gives: `-> stream` means `-> StreamResult`.

@0x86c366a91393f3f8;

$import "/capnp/c++.capnp".namespace("capnp");

struct StreamResult @0x995f9a3377c0b16e {
  # What a method declared with `-> stream` gives: nothing but leave to send more.
}
