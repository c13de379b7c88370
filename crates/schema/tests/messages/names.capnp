@0xbf5147cbbecf40c1;

struct Person {
  name @0 :Txet;
  friends @1 :List(Persn);
  address @2 :Address.Street;
  struct Address {}
}

struct person {}
interface Directory { look_up @0 (name :Text) -> (person :Person); }
