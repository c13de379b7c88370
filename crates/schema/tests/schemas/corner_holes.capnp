@0xd1a0000000000001;
# Where fields go in the data section when they come in awkward orders.

struct BitsThenWords {
  a @0 :Bool;
  b @1 :Int64;
  c @2 :Int8;
  d @3 :Bool;
  e @4 :Int32;
  f @5 :Int16;
  g @6 :Bool;
  h @7 :Int8;
  i @8 :Int16;
  j @9 :Float64;
  k @10 :Float32;
}

struct SmallestHoleFirst {
  a @0 :Int64;
  b @1 :Int8;
  c @2 :Int16;
  d @3 :Int8;
  e @4 :Int32;
  f @5 :Int8;
  g @6 :Int32;
  h @7 :Int16;
  i @8 :Int8;
  j @9 :Int64;
}

struct SixtyFiveBits {
  b00 @0 :Bool; b01 @1 :Bool; b02 @2 :Bool; b03 @3 :Bool; b04 @4 :Bool; b05 @5 :Bool; b06 @6 :Bool; b07 @7 :Bool;
  b08 @8 :Bool; b09 @9 :Bool; b10 @10 :Bool; b11 @11 :Bool; b12 @12 :Bool; b13 @13 :Bool; b14 @14 :Bool; b15 @15 :Bool;
  word @16 :Int32;
  b17 @17 :Bool; b18 @18 :Bool; b19 @19 :Bool; b20 @20 :Bool; b21 @21 :Bool; b22 @22 :Bool; b23 @23 :Bool;
  byte @24 :UInt8;
  b25 @25 :Bool; b26 @26 :Bool; b27 @27 :Bool; b28 @28 :Bool; b29 @29 :Bool; b30 @30 :Bool; b31 @31 :Bool;
  half @32 :UInt16;
  last @33 :Bool;
}

struct NothingTakesNoRoom {
  a @0 :Void;
  b @1 :Void;
  c @2 :Bool;
  d @3 :Void;
}

struct Empty {}

struct PointersAreApart {
  a @0 :Text;
  b @1 :Int8;
  c @2 :Data;
  d @3 :Int8;
  e @4 :List(Empty);
  f @5 :Empty;
  g @6 :AnyPointer;
  h @7 :Nothing;
  i @8 :Capability;
  j @9 :AnyList;
  k @10 :AnyStruct;
}

interface Nothing {}

struct OutOfOrder {
  # The order of the text is not the order of the ordinals.
  e @4 :Int8;
  c @2 :Int64;
  a @0 :Int16;
  d @3 :Bool;
  b @1 :Text;
}
