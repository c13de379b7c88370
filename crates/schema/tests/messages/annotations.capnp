@0xbf5147cbbecf40c1;

annotation deadline(method) :UInt32;

interface Store $deadline(5) {
  get @0 (key :Text) -> (value :Data) $deadline("5 s");
  put @1 (key :Text, value :Data) $deadline;
  list @2 () -> (names :List(Text)) $dedline(3);
}
