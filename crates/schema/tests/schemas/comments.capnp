# Not a doc comment: it stands in front.

@0xc1c1d4aa8a8c1005;  # The file's, on the same line,
# and the next,
   #   indented.

# Not this.

struct A {   # Of A, on its line.
  # More of it.
  
  # Not this, behind an empty line.
  a @0 :Text;

  # Not this either.
  b @1 :Text; # Of b.

  g :group {
    # Of the group.
    c @2 :Text;
    # Of c.
    #
    #And no space.	Tab.
  }
  union {
    # Lost: an unnamed union is no node.
    d @3 :Void;
    e @4 :Void; }
  u :union { # Of u.
    f @5 :Void; h @6 :Void; # Of h.
   }
  struct N { x @0 :Int8; } # Of N, behind its end.
} # Not of A, which has one.

struct B { a @0 :Text;
} # Of B.
# 
#	tab
enum E { # Of E.
 a @0; # Of E.a.
 b @1;
 # Of E.b.  
}
interface F {
  # Of F.
  m @0 (a :Text, # Nowhere.
   b :Int8 # Nowhere.
  ) -> (c :Int8); # Of m.
  n @1 () -> (); # Of n.
}
using D = Text; # Of nothing.
const e :Int8 = 3; # Of e.
annotation ann(*) :Void; # Of ann.
