@0xd1a0000000000006;
# Methods and what they take and give.

interface Nothing {}
interface Brackets () {}

interface Left { left @0 () -> (); }
interface Right extends(Nothing) { right @0 (); }
interface Both extends(Left, Right, Generic(Text), ) {
  both @0 (a :Left, b :Right) -> (c :Both);
}

interface Generic(T) {
  get @0 () -> (value :T);
  put @1 (value :T, times :UInt32 = 1) -> ();
}

interface Everything extends(Generic(Everything)) {
  # Out of order, on purpose.
  last @5 (a :Int8 = -1, b :Text = "b", c :List(Int16) = [1, 2], d :Kind = second, e :Params = (a = 2), f :Text = null);
  none @0 ();
  noResults @1 (a :Void);
  structs @2 Params -> Results;
  structThenList @3 Params -> (a :Int8);
  listThenStruct @4 (a :Int8) -> Results;
  streams @6 (chunk :Data) -> stream;
  streamsStruct @7 Params -> stream;
  genericStruct @8 Box(Text) -> Box(Box(Data));
  implicit @9 [A, B] (a :A, b :Box(B)) -> Box(A);
  sameNames @10 (a :Int8) -> (a :Int8);
  capital @11 (Upper :Int8) -> ();
  nested @12 (a :Inner) -> (a :Inner.Deeper);

  struct Params { a @0 :Int8; }
  struct Results { a @0 :Int8; }
  struct Inner { struct Deeper {} }
  enum Kind { first @0; second @1; }
  const limit :UInt8 = 3;
  using Short = Generic(Params);
}

struct Box(T) { value @0 :T; callback @1 :Generic(T); }
