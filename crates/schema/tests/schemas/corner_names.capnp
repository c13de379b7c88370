@0xd1a0000000000009;
# What a name leads to, from where it stands.

using Values = import "corner_values.capnp";
using import "corner_generics.capnp".Pair;
using Renamed = import "corner_generics.capnp".Source;
using import "/capnp/c++.capnp".namespace;
using Cxx = import "/capnp/c++.capnp";
using Rpc = import "/capnp/rpc.capnp";
$Cxx.namespace("corner::names");
$namespace("again");

struct Text(T) { a @0 :T; } # It hides the one of the language.

struct Outer {
  a @0 :Text(Inner);
  b @1 :Inner;
  c @2 : .Inner;
  d @3 :Outer.Inner;
  e @4 :Inner.Inner;
  f @5 :Inner.Inner.Leaf;
  g @6 :Alias;
  h @7 :Alias.Leaf;

  struct Inner {
    a @0 :Inner;
    b @1 : .Inner;
    c @2 :Inner.Leaf;
    d @3 :Outer;
    struct Inner { a @0 :Inner; b @1 :Leaf; struct Leaf {} }
  }
  using Alias = Inner.Inner;
  using Again = Alias;
  i @8 :Again.Leaf;
}

struct Inner {
  a @0 :Int8;
  struct Outer { b @0 : .Outer; c @1 :Outer; d @2 :Inner; }
}

struct Elsewhere {
  a @0 :Values.Small = (a = 1);
  b @1 :import "corner_values.capnp".Scope;
  c @2 :Pair(Values.Small, Data);
  d @3 :Renamed(Data);
  e @4 :Pair.Inner;
  f @5 :Pair(Data, Data).Own(Values.Everything);
  g @6 :Values.Kind = two;
  h @7 :UInt64 = Values.uint64Most;
  i @8 :Int16 = Values.Scope.answer;
  j @9 :Rpc.Message;
  k @10 :import "/capnp/schema.capnp".Node.Parameter;
  l @11 :List(Rpc.CapDescriptor);
}

struct Members {
  # Words of the language as names, which they are here.
  struct @0 :Int8;
  union @1 :Int8;
  group @2 :Int8;
  enum @3 :Int8;
  const @4 :Int8;
  using @5 :Int8;
  annotation @6 :Int8;
  interface @7 :Int8;
  import @8 :Int8;
  embed @9 :Int8;
  void @10 :Void;
  true @11 :Bool;
  inf @12 :Float32;
  extends @13 :Int8;
  stream @14 :Int8;
  import2 :group { union2 @15 :Int8; }
}

const members :Members = (struct = 1, union = 2, import = 3, void = void, true = true, inf = inf, import2 = (union2 = 1));

using L = List;
using LL = List(List(Data));
struct Lists { a @0 :L(Data); b @1 :L(L(Int8)); c @2 :LL; d @3 :L(Bool) = [true]; }

