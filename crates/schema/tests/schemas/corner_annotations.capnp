@0xd1a0000000000007;
# Annotations of every type, on everything that can have them.

$onFile("the file");
$anywhere;
$anywhere;
$listed([1, 2]);

annotation onFile(file) :Text;
annotation onConst @0xd1a0000000000071 (const) :Void;
annotation onEnum(enum) :Int8;
annotation onEnumerant(enumerant) :UInt64;
annotation onStruct(struct) :Small $onAnnotation(1.5);
annotation onField(field) :List(Text);
annotation onUnion(union) :Data;
annotation onGroup(group) :Bool;
annotation onInterface(interface) :Kind;
annotation onMethod(method) :Float64;
annotation onParam(param) :Float32;
annotation onAnnotation(annotation) :Float64;
annotation several(struct, field, method) :List(Small);
annotation anywhere(*) :Void;
annotation listed(*) :List(Int8);
annotation nowhere() :Text;
annotation any(*) :Small;

struct Small { a @0 :Int8 = 3; b @1 :Text; c :group { d @2 :Bool; } union { e @3 :Void; f @4 :Int64; } }
enum Kind { first @0; second @1; }

const constantBehind :Int8 = 3 $onConst $any(a = 1, b = "x");

enum AnnotatedEnum $onEnum(-1) $listed([]) {
  a @0 $onEnumerant(18446744073709551615);
  b @1 $anywhere $any(f = -1);
}

struct AnnotatedStruct @0xd1a0000000000072 $onStruct(a = 1, b = "b", c = (d = true), f = 3) $several([(a = 1), ()]) {
  a @0 :Int8 = 5 $onField(["x", "y"]) $Scope.inner("i");
  b @1 :Text $anywhere;
  c :group $onGroup(true) { d @2 :Text $onField([]); }
  e :union $onUnion(0x"01") { f @3 :Int8; g @4 :Text $several([]); }
  union { h @5 :Int8 $anywhere; i @6 :Int8; }
}

interface AnnotatedInterface @0xd1a0000000000073 $onInterface(second) {
  a @0 (b :Int8 = 3 $onParam(1.5), c :Text $anywhere) -> (d :Text $onParam(inf)) $onMethod(2) $several([]);
}

struct Scope $inner("outside") {
  annotation inner(*) :Text;
  struct Deeper $inner("inside") {}
  const word :Text = "referred";
}

struct Referring $Scope.inner(Scope.word) $any(b = .aWord) {}
const aWord :Text = "a word";
