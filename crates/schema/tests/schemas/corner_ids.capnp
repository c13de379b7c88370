@0xffffffffffffffff;
# Ids that are written down, and ids that follow from them.

struct Derived { struct Inner { g :group { a @0 :Int8; u :union { b @1 :Int8; c @2 :Int8; } } } }
struct Given @0x8000000000000000 {
  struct Derived { g :group { a @0 :Int8; } }
  struct Given @0x9000000000000001 { u :union { b @0 :Int8; c @1 :Int8; } }
  enum E @0x9000000000000002 { a @0; }
  interface I @0x9000000000000003 { m @0 (a :Int8) -> (b :Int8); n @1 () -> (); }
  const c @0x9000000000000004 :Int8 = 3;
  annotation d @0x9000000000000005 (*) :Text;
}
interface Face { first @1 (a :Int8) -> (b :Int8); second @0 (a :Int8) -> (b :Int8); third @2 () -> (); }
const value :Int8 = 1;
annotation note(*) :Void;
enum Kind { a @0; }
