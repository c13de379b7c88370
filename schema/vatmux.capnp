@0xd623f83ed2d9857c;
# What makes an interface a service. A schema imports this file as `import "/vatmux/vatmux.capnp"`, which vatmux's own
# compiler has built in, and says of its interfaces and methods what two nodes must agree on besides the shape of messages.
#
#     using Vatmux = import "/vatmux/vatmux.capnp";
#
#     interface Notes $Vatmux.service(name = "org.example.notes", priority = 3) {
#       read @0 (key :Text) -> (status :Status, text :Text) $Vatmux.deadline(seconds = 2) $Vatmux.idempotent;
#     }
#
# Nothing here changes a byte on the wire: a program that knows none of it can still speak to the service.

annotation service @0xc6a7b922aa72f8d3 (interface) :Service;
# The interface is what a stream of this name begins with.

struct Service {
  name @0 :Text;
  # The stream's name: 1 to 64 bytes of printable ASCII without spaces. Names that begin with `vatmux.` are those of
  # shipped services.
  priority @1 :UInt8 = 4;
  # The most urgent that its streams may be, from 0 (first) to 7. A client connects at this one.
}

annotation deadline @0xc4b36b29d40f85ce (interface, method) :Time;
# How long a caller waits for the answer, and how long a server may work on it, counted from the moment at which the call
# is sent, or arrives. Of an interface: of those of its methods that say nothing else. Without it a call has its vat's
# deadline, 30 seconds by default. At least a millisecond.

struct Time {
  union {
    millis @0 :UInt32;
    seconds @1 :UInt32;
    minutes @2 :UInt32;
  }
}

annotation idempotent @0xaa074cd4da8e0c7e (method) :Void;
# To make the call twice does no more than to make it once: a caller whose call may or may not have been delivered may
# make it again.

annotation limit @0xb8c35b682d754cc6 (method) :Limit;
# What one vat may use of the method; more is refused as overloaded, before the server sees it.

struct Limit {
  calls @0 :UInt32;
  # Calls that are under way at a time; 0 says nothing.
  paramsBytes @1 :UInt64;
  # Bytes of the parameters of one call; 0 says nothing.
}

annotation bulk @0xf68b08c71d308f60 (method) :Void;
# The results are large: stubs give and take them in the message itself, and copy them into no value of the language.

annotation status @0x9c7a519690bf17d6 (enum) :Void;
# The enum says how calls ended: its first word that all is well, each other one why not. Where results have a field of
# this type, stubs turn any word but the first into an error, with the text of the field `detail`, if there is one.

annotation malformed @0xb0e21aff2250a1f8 (enumerant) :Void;
# Of a word of a status: what a server answers parameters with that cannot be read as the schema says, such as a text that is
# not UTF-8. Where no word says so, such a call ends with an exception.

annotation unknown @0x9fc7672c7f87eac4 (enumerant) :Void;
# What a reader takes a word for that is not in its schema, because it is of a later one. Where no word says so, such a value
# cannot be read. A status has its own error for that, which says the word's number.
