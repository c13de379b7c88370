@0xd1a0000000000005;
# Values at the ends of what their types hold, and in all the ways to write them.

const void :Void = void;
const yes :Bool = true;
const no :Bool = false;
const int8Least :Int8 = -128;
const int8Most :Int8 = 0x7f;
const int16Least :Int16 = -0x8000;
const int16Most :Int16 = 077777;
const int32Least :Int32 = -2147483648;
const int32Most :Int32 = 2147483647;
const int64Least :Int64 = -9223372036854775808;
const int64Most :Int64 = 9223372036854775807;
const uint8Most :UInt8 = 0xFF;
const uint16Most :UInt16 = 0177777;
const uint32Most :UInt32 = 4294967295;
const uint64Most :UInt64 = 18446744073709551615;
const negativeZero :Int8 = -0;
const spaced :Int8 = - 3;
const float32 :Float32 = 1.1;
const float32Rounded :Float32 = 16777217;
const float32Most :Float32 = 3.4028235e38;
const float32Least :Float32 = 1e-45;
const float64 :Float64 = 0.1;
const float64Most :Float64 = 1.7976931348623157e308;
const float64Least :Float64 = 5e-324;
const float64Whole :Float64 = 9007199254740993;
const float64Hex :Float64 = 0x10;
const float64NoFraction :Float64 = 1.e3;
const float64NegativeZero :Float64 = -0.0;
const float64IntegerZero :Float64 = -0;
const infinite :Float64 = inf;
const negativeInfinite :Float32 = -inf;
const notANumber :Float64 = nan;
const notANumber32 :Float32 = nan;
const tooLarge :Float64 = 1e400;
const tooLarge32 :Float32 = 1e39;
const empty :Text = "";
const escapes :Text = "\a\b\f\n\r\t\v\"\'\\\?\x41\x7e\101\60";
const pieces :Text = "one, " "two, "
    "three"; # in pieces
const zeroInside :Text = "a\0b";
const unicode :Text = "grüße, 世界 🦀";
const raw :Text = "a	tab";
const bytes :Data = 0x"00 01 fe ff";
const bytesOnLines :Data = 0x"DEad
  be EF";
const textBytes :Data = "text \xff\x00";
const emptyBytes :Data = "";
const file :Text = embed "embedded.txt";
const fileBytes :Data = embed "embedded.txt";

enum Kind { zero @0; one @1; two @2; }
const kind :Kind = two;

struct Everything {
  void @0 :Void = void;
  bool @1 :Bool = true;
  int8 @2 :Int8 = -1;
  int16 @3 :Int16 = -2;
  int32 @4 :Int32 = -3;
  int64 @5 :Int64 = -4;
  uint8 @6 :UInt8 = 5;
  uint16 @7 :UInt16 = 6;
  uint32 @8 :UInt32 = 7;
  uint64 @9 :UInt64 = 8;
  float32 @10 :Float32 = 9.5;
  float64 @11 :Float64 = -10.25;
  text @12 :Text = "text";
  data @13 :Data = 0x"0102";
  kind @14 :Kind = one;
  voids @15 :List(Void) = [void, void];
  bools @16 :List(Bool) = [true, false, true, true, false, false, false, false, true];
  int8s @17 :List(Int8) = [1, -1];
  uint16s @18 :List(UInt16) = [1, 65535];
  int32s @19 :List(Int32) = [-1];
  uint64s @20 :List(UInt64) = [18446744073709551615, 0];
  float32s @21 :List(Float32) = [0.5, inf, -inf, nan];
  float64s @22 :List(Float64) = [1, -1.5];
  texts @23 :List(Text) = ["", "a", "longer than a word of eight bytes"];
  datas @24 :List(Data) = [0x"00", "", "abc"];
  kinds @25 :List(Kind) = [two, zero];
  lists @26 :List(List(Int8)) = [[], [1], [2, 3, 4, 5, 6, 7, 8, 9, 10]];
  deepLists @27 :List(List(List(Bool))) = [[[true], []], []];
  struct @28 :Small = (a = 3, c = "c");
  structs @29 :List(Small) = [(a = 1), (), (b = true, c = "x"), (u = (e = 1.5))];
  structLists @30 :List(List(Small)) = [[(a = 1)], []];
  emptyStruct @31 :Small = ();
  emptyList @32 :List(Text) = [];
  emptyText @33 :Text = "";
  noRoom @34 :List(NoRoom) = [(), (), ()];
  onlyPointers @35 :List(OnlyPointers) = [(a = "a"), (b = "b")];
  onlyByte @36 :List(OnlyByte) = [(a = 1), (a = 2)];
}

struct Small {
  a @0 :Int16 = 7;
  b @1 :Bool = true;
  c @2 :Text = "none";
  u :union { d @3 :Void; e @4 :Float32; f @5 :List(Small); }
}

struct NoRoom {}
struct OnlyPointers { a @0 :Text; b @1 :Data; }
struct OnlyByte { a @0 :UInt8; }

const everything :Everything = (
  bool = false,
  int8 = 0,
  int64 = -4,
  float32 = -0.0,
  text = "",
  struct = (a = 7, b = true, c = "none", u = (f = [(a = 0), (u = (d = void))])),
  structs = [],
  lists = [[1, 2,],],
  noRoom = [()],
);
const small :Small = (b = false, a = -1, u = (e = nan));
const referred :List(Small) = [.small, (a = Scope.answer, c = .pieces)];
const referredStruct :Everything = (struct = .small, structs = .referred, text = Scope.word, float32s = Scope.floats);

struct Scope {
  const answer :Int16 = 42;
  const word :Text = "word";
  const floats :List(Float32) = [1, 2.5, -inf];
  a @0 :Int16 = .negativeZero16;
  b @1 :Text = .pieces;
  c @2 :Small = .small;
  d @3 :UInt64 = .uint64Most;
}
const negativeZero16 :Int16 = -0;
