# What other schemas import.
@0xc1c1d4aa8a8c1002;

const answer :Int32 = 42;

struct Used { field @0 :Needed; other @1 :Branded(Text).Inside; enum Kind { a @0; b @1; } }
struct Needed { more @0 :List(Needed); }
struct Unused { nothing @0 :Unused; }
struct Branded(T) { struct Inside { value @0 :T; } value @1 :T; inside @0 :Inside; }
interface Base { base @0 (a :Needed) -> (b :Used.Kind); }
annotation note(*) :Text;
annotation plain(*) :Void;
annotation structured(*) :Needed2;
struct Needed2 { text @0 :Text; list @1 :List(Int16); }
