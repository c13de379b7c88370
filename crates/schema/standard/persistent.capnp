# Capabilities that outlive a connection.

@0xb8630836983feed7;

$import "/capnp/c++.capnp".namespace("capnp");

interface Persistent @0xc8cb212fcd9f5691 (SturdyRef, Owner) {
  # A capability that can outlive its connection: what `save` gives can be kept, and exchanged for the capability on a later
  # connection. How that is done, and what `SturdyRef` and `Owner` are, is for each network of vats to say.

  save @0 SaveParams -> SaveResults;
  # Gives something to keep that stands for this capability.

  struct SaveParams {
    sealFor @0 :Owner;
    # Who alone may restore the capability from what is given.
  }

  struct SaveResults {
    sturdyRef @0 :SturdyRef;
    # What to keep.
  }
}

annotation persistent(interface, field) :Void;
# The interface, or what the field holds, is expected to be persistent.
