@0xd1a0000000000002;
# Unions share room, and their tags find a hole.

struct Unnamed {
  before @0 :UInt8;
  union {
    a @1 :Bool;
    b @2 :UInt16;
    c @3 :UInt32;
    d @4 :Text;
    e @5 :UInt64;
    f @6 :Data;
    g @7 :Void;
  }
  after @8 :UInt8;
}

struct Named {
  first :union {
    a @0 :UInt64;
    b @2 :UInt8;
    c @4 :Void;
  }
  second :union {
    d @1 :UInt64;
    e @3 :Bool;
    f @5 :Text;
  }
}

struct OnlyNothing {
  union {
    a @0 :Void;
    b @1 :Void;
  }
}

struct Nested {
  union {
    group :group {
      a @0 :UInt32;
      union {
        b @1 :UInt8;
        c @2 :UInt16;
      }
      inner :union {
        d @5 :Bool;
        e @6 :Text;
        deep :group {
          f @7 :UInt64;
          g @8 :Data;
          h @9 :Bool;
        }
      }
    }
    i @3 :UInt64;
    j @4 :Text;
  }
}

struct GrowsInPlace {
  # What one member leaves free in the shared room, another grows into.
  union {
    a :group { b @0 :UInt8; c @1 :UInt8; d @4 :UInt16; e @7 :UInt32; }
    f :group { g @2 :UInt16; h @3 :UInt8; i @5 :UInt8; j @6 :UInt64; }
    k @8 :UInt32;
  }
}

struct TagComesLate {
  a @0 :UInt64;
  b @1 :UInt64;
  u :union {
    c @2 :Text;
    d @4 :Text;
  }
  e @3 :UInt8;
  f @5 :UInt32;
}

struct Retroactive {
  # A field that was alone once: the tag is where zero means that field.
  u @1! :union {
    a @0 :Int32;
    b @2 :Int8;
  }
  c @3 :Int16;
}

struct NumberedEarly {
  u @0! :union {
    a @1 :Int64;
    b @2 :Int64;
  }
}

struct TwoTagsInOneWord {
  a @0 :UInt16;
  first :union { b @1 :UInt8; c @2 :UInt8; }
  second :union { d @3 :UInt8; e @4 :UInt8; }
  third :union { f @5 :Bool; g @6 :Bool; }
  h @7 :UInt16;
}

struct ManyGroups {
  union {
    a :group { x @0 :Bool; y @3 :UInt16; z @6 :Text; }
    b :group { x @1 :UInt32; y @4 :Bool; z @7 :List(Text); }
    c :group { x @2 :UInt64; y @5 :UInt8; z @8 :Data; w @9 :Text; }
  }
}

struct OldBug {
  # Releases before 0.6 of the C++ tool gave two of these the same place, and later ones refuse it unless told otherwise.
  union {
    u :union { a @2 :Int16; b @1 :Bool; }
    c @0 :Text;
  }
}

struct OldBugBesideAField {
  before @1 :UInt32;
  union {
    u :union { a @0 :Text; b @3 :UInt64; c @2 :Float32; }
    d @4 :Void;
  }
}
