@0xbf5147cbbecf40c1;

struct Map(Key, Value) {
  entries @0 :List(Entry);
  struct Entry { key @0 :Key; value @1 :Value; }
}

struct User {
  few @0 :Map(Text);
  many @1 :Map(Text, Data, Text);
  number @2 :Map(Text, Int32);
  none @3 :Text(Data);
  list @4 :List;
  any @5 :List(AnyPointer);
}
