@0xbf5147cbbecf40c1;

struct Settings {
  retries @0 :UInt8 = 256;
  name @1 :Text = 3;
  level @2 :Level = hihg;
  tags @3 :List(Text) = ["a", 2];
  enum Level { low @0; high @1; }
}
const settings :Settings = (retires = 3);
const first :Int32 = .second;
const second :Int32 = .first;
