@0xd1a0000000000004;
# Parameters, and what is bound to them from where.

struct Pair(First, Second) {
  first @0 :First;
  second @1 :Second;
  swapped @2 :Pair(Second, First);
  same @3 :Pair(First, Second);
  unbound @4 :Pair;

  struct Inner {
    inherited @0 :First;
    outer @1 :Pair(Second, Text);
    myself @2 :Inner;
    through @3 :Pair(Data, Data).Inner;
    absolute @4 : .Pair(First, First).Inner;
  }

  struct Own(Third) {
    a @0 :First;
    b @1 :Third;
    c @2 :Own(List(List(Text)));
    d @3 :Pair(Third, Third).Own(First);
    e @4 :Pair(Third, Third).Own;
    f @5 :Pair.Own(Text);
  }

  using Both = Pair(First, Second);
  using Texts = Pair(Text, Text);
  interface Face(Fourth) extends(Source(Second)) {
    get @0 (a :First) -> (b :Fourth);
    group @1 Inner -> Pair(Fourth, First);
  }

  g :group {
    inGroup @5 :First;
    listed @6 :List(Pair(First, Text));
    union { left @7 :First; right @8 :Second; }
  }
}

interface Source(T) {
  next @0 () -> (value :T);
  map @1 [From, To] (from :From, by :Source(To)) -> (to :To, more :Pair(From, T));
  whole @2 [X] Pair(X, T) -> Pair(T, X);
}

struct Users {
  a @0 :Pair(Text, Data);
  b @1 :Pair(List(List(Int8)), AnyPointer).Inner;
  c @2 :Pair(Users, Source(Text)).Own(Pair(Text, Text));
  d @3 :Pair.Inner;
  e @4 :Pair(Text, Text).Both;
  f @5 :Pair.Texts;
  g @6 :Source(Source(Users));
  h @7 :List(Pair(Text, Data).Own(Text));
  i @8 :Alias;
  j @9 :Pair(Alias, Alias);
}

using Alias = Pair(Text, List(Users)).Own(Data);

const bound :Pair(Text, Data) = (first = "a", second = 0x"01 02", swapped = (first = "b", second = "c"));
