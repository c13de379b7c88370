@0xbf5147cbbecf40c1;

struct Missing {
  a @0 :Text
  b @1 :Text;
}

struct Colon {
  a @0 Text;
}

const text :Text = "open;

struct Open {
  a @0 :Text;
