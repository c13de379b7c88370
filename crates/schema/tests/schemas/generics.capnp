# Generic parameters, brands and what inherits them.
@0xc1c1d4aa8a8c1003;

using Other = import "imported.capnp";
using import "imported.capnp".Branded;
using TextBranded = Branded(Text);

struct Box(T) {
  value @0 :T;
  struct Lid(U) {
    of @0 :T;
    own @1 :U;
    again @2 :Lid(T);
    outer @3 :Box(U);
    unbound @4 :Box;
    handle @5 :Handle;
    elsewhere @6 :Box(Text).Lid(Data);
  }
  struct Handle { lid @0 :Lid(Text); }
  lid @1 :Lid(Data);
  handle @2 :Handle;
  using Alias = Lid;
  alias @3 :Alias(List(Text));
  interface Opener { open @0 (value :T) -> (lid :Lid(T)); }
  opener @4 :Opener;
  group :group { grouped @5 :T; union { a @6 :T; b @7 :Lid(AnyPointer); } }
}

struct User {
  a @0 :Box(Text);
  b @1 :TextBranded.Inside;
  c @2 :Box(Box(List(Int8)));
  d @3 :Box(Other.Used).Handle;
  e @4 :List(Box(Text).Lid(Data));
  f @5 :Box(Interface(Text, Data));
  g @6 :Branded(AnyPointer).Inside;
  h @7 :Box.Lid(Text);
  i @8 :Other.Branded(List(Box(Text)));
  j @9 :Box(Text).Alias(Data);
}

interface Interface(K, V) extends(Super(K), Other.Base) {
  get @0 (key :K) -> (value :V);
  pair @1 Entry -> Entry;
  generic @2 [T, U] (t :T, u :Box(U)) -> (both :Pair(T, U));
  named @3 [T] Box(T) -> Pair(T, V);
  struct Entry { key @0 :K; value @1 :V; }
  nothing @4 () -> ();
  write @5 (bytes :Data) -> stream;
  writeGeneric @6 [T] (value :T) -> stream;
}
interface Super(T) { use @0 (t :T) -> Box(T); }
interface Sub extends(Interface(Text, Box(Data)), Super) {}
struct Pair(A, B) { a @0 :A; b @1 :B; }
struct Annotations(T) { annotation typed(*) :T; annotation fixed(*) :Text; }
struct Annotated $Annotations(Text).typed("x") $Annotations(Data).fixed("y") $Annotations.fixed("z") {}
interface Nulls { m @0 [T] (a :Text = null, b :Super = null, c :T = null, d :List(Int8) = null, e :Data = null) -> (f :Text = null); }
struct Through(T) {
  using A = Pair;
  using B = Other.Used;
  using C = import "imported.capnp";
  using D = Branded(T);
  struct Within { using E = Box(Text).Lid; }
  a @0 :A;
  b @1 :A(Text, Data);
  c @2 :B;
  d @3 :C.Needed;
  e @4 :D;
  f @5 :Within.E;
  g @6 :Through(Text).A;
  h @7 :Through(Text).Within.E(Data);
  i @8 :Through.B;
  j @9 :B.Kind;
  k @10 :Through(Text).D.Inside;
}
