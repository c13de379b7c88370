@0xc1c1d4aa8a8c1004;
# Annotations on everything that can have them.

using Other = import "/capnp/c++.capnp";
using Cxx = Other;
$Cxx.namespace("vatmux::test");

annotation mark @0xc1c1d4aa8a8c1104 (*) :UInt16 $mine("of an annotation");
annotation mine(annotation) :Text;
annotation onlyFile(file) :Void;
annotation onlyConst(const) :Void;
annotation onlyEnum(enum, enumerant) :Void;
annotation onlyStruct(struct, field, union, group) :Void;
annotation onlyInterface(interface, method, param) :Void;
annotation structured(*) :Value;
annotation listed(*) :List(Text);
annotation typed(*) :AnyPointer;
struct Value { a @0 :Int8 = 5; b @1 :Text; c @2 :List(Value); }
const value :Value = (a = 6, b = "six");

struct S $mark(1) $onlyStruct $structured(a = 1, b = "b", c = [(a = 2)]) {
  field @0 :Text $mark(2) $onlyStruct;
  named :union $mark(3) $onlyStruct { a @1 :Void $mark(4); b @2 :Void; }
  group :group $mark(5) { c @3 :Text $listed(["x", "y"]); }
  annotation inner(*) :Void;
  later @4 :Text $inner $S.inner;
}
enum E $mark(6) $onlyEnum { a @0 $mark(7) $onlyEnum; b @1; }
interface I $mark(8) $onlyInterface {
  m @0 (a :Text $mark(9) $onlyInterface, b :Int8 = 3 $mark(10)) -> (c :Text $mark(11)) $mark(12) $onlyInterface;
}
const c :Text = "c" $mark(13) $onlyConst $structured(.value) $typed(.value) $structured();
