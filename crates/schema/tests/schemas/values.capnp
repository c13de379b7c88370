# Constants, defaults and literals of every type.
@0xc1c1d4aa8a8c1001;

using Other = import "imported.capnp";

const void :Void = void;
const flag :Bool = true;
const int8s :List(Int8) = [-128, 127, 0, 0x7f, -0x80, 017];
const int64s :List(Int64) = [-9223372036854775808, 9223372036854775807];
const uint64s :List(UInt64) = [0, 18446744073709551615];
const float32s :List(Float32) = [0, -1, 1.5, 1e10, 1.5e-3, inf, -inf, nan, 3.4028235e38];
const float64s :List(Float64) = [0, -1, 1.5, 1e300, 5e-324, inf, -inf, nan, 18446744073709551615];
const text :Text = "tab\t quote\" backslash\\ bell\a hex\x41 octal\101\0 null" " and joined";
const empty :Text = "";
const accents :Text = "Grüße, 世界";
const data :Data = 0x"00 01 02 fF
  fe";
const dataFromText :Data = "abc";
const lists :List(List(List(Int16))) = [[[1, 2], []], [], [[3]]];
const bits :List(Bool) = [true, false, true, true, false, false, true, false, true, true];
const voids :List(Void) = [void, void, void];
const texts :List(Text) = ["a", "", "ccc"];
const datas :List(Data) = [0x"01", "", "x"];
const colors :List(Color) = [red, blue, green];
const nobody :List(Person) = [];
const people :List(Person) = [
  (name = "Alice", age = 30, tags = ["x", "y"], home = (street = "Main", number = 5)),
  (),
  (name = "Bob", friend = (name = "Carol", friend = (age = 7))),
];
const person :Person = (name = "Dave", color = blue, score = -0.5, phone = (work = "123"), email = "d@example.org");
const copy :Person = .person;
const fromOther :Int32 = Other.answer;
const scoped :Int32 = Person.limit;
const widened :Int64 = .narrow;
const narrow :Int16 = 12;
const asFloat :Float32 = .narrow;
const single :Float64 = .asFloat;
const anything :AnyPointer = .person;
const anyList :AnyPointer = .texts;
const nested :Outer = (inner = (value = 3, list = [(value = 4), (value = 300)]), defaulted = 200);
const nothing :Nothing = ();
const nothings :List(Nothing) = [(), ()];
const genericPair :Pair(Text, Person) = (first = "one", second = (name = "two"));
const embeddedText :Text = embed "values_embedded.txt";
const embeddedData :Data = embed "values_embedded.txt";

enum Color { red @0; green @1; blue @2; }

struct Nothing {}

struct Person {
  const limit :Int32 = 99;
  name @0 :Text = "nobody";
  age @1 :UInt8 = 18;
  color @2 :Color = green;
  score @3 :Float32 = 1.25;
  tags @4 :List(Text) = ["default"];
  friend @5 :Person;
  home :group {
    street @6 :Text;
    number @7 :UInt16 = 1;
  }
  phone :union {
    home @8 :Text;
    work @9 :Text;
    none @10 :Void;
  }
  union {
    email @11 :Text;
    post @12 :Void;
    count @13 :UInt32 = 77;
  }
  wild @14 :AnyPointer;
  alive @15 :Bool = true;
  ratio @16 :Float64 = nan;
  worst @17 :Float64 = -inf;
  best @18 :Person = (name = "best", age = 1);
  raw @19 :Data = 0x"de ad be ef";
  matrix @20 :List(List(Float32)) = [[1, 2], [3, 4]];
  self @21 :List(Person) = [(name = "a"), (self = [])];
}

struct Outer {
  struct Inner { value @0 :UInt16 = 256; list @1 :List(Inner); }
  inner @0 :Inner;
  defaulted @1 :UInt8 = 100;
  fromConst @2 :Text = .text;
  byConst @3 :Person = .person;
  scaled @4 :Int32 = Other.answer;
}

struct Pair(A, B) { first @0 :A; second @1 :B; }
