@0xd1a0000000000003;
# Groups are names only: their fields lie among those of the struct.

struct Interleaved {
  a @0 :UInt8;
  g :group {
    b @1 :UInt32;
    c @3 :UInt8;
    h :group {
      d @4 :Text;
      e @6 :Bool;
    }
  }
  f @2 :UInt16;
  i @5 :Text = "default";
}

struct SameNamesInside {
  one :group { value @0 :Int8 = 1; kind @1 :Kind = second; }
  two :group { value @2 :Int8 = 2; kind @3 :Kind; }
  three :union { value @4 :Int8 = -3; kind @5 :Kind = third; }
}

enum Kind { first @0; second @1; third @2; }

struct OnlyGroups {
  a :group { b :group { c :group { d @0 :Text; } } }
}

const filled :SameNamesInside = (
  one = (value = 7),
  three = (kind = second),
);
const nested :OnlyGroups = (a = (b = (c = (d = "deep"))));
