@0xbf5147cbbecf40c1;

struct Entry {
  key @0 :Text;
  value @0 :Data;
  size @3 :UInt32;
  union {
    only @1 :Void;
  }
}
