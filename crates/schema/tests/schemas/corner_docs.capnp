# A comment before the id belongs to nobody, or to the file.
@0xd1a0000000000008;
# The documentation of the file.
#
# In two paragraphs.

# Apart: nobody's.

struct BehindTheBrace { # On the line.
  # And below it.
  a @0 :Int8; # Behind the field.
  b @1 :Int8;
  # Below the field.
  #   Indented.
  #
  #No space in front.
  #	A tab in front.

  # Apart from it.
  c @2 :Int8;

  # Not this one's either.

  d :group { # Of the group.
    e @3 :Int8; # Of its field.
  } # Behind the group's end.
  union { # Of the union without a name?
    f @4 :Int8; # f
    g @5 :Int8;
    # g
  }
  h :union
  # Before the brace.
  {
    # Below the brace.
    i @6 :Int8; j @7 :Int8; # Of the last on the line.
  }
  struct Inside { # Inside.
  }
} # Behind the end.

struct BelowTheBrace {
  # It is this.
}

struct Both { # One.
# Two, without indentation.
      # Three, with more.
}

struct EmptyLines { #

  # After an empty line.
}

struct EmptyComment {
  #
}

struct TrailingSpace { # It ends with spaces.   
  # So does this.	  
}

enum Documented { # Of the enum.
  a @0; # Of a.
  b @1;
  # Of b.
}

interface Service { # Of the interface.
  call @0 (a :Int8, # Of a parameter?
           b :Int8) -> (c :Int8); # Of the method.
  other @1 () -> ();
  # Of the other method.
}

const constant :Int8 = 3; # Of the constant.
annotation note(*) :Text; # Of the annotation.
using Alias = Text; # Of nothing that is kept.

struct OnOneLine { a @0 :Int8; b @1 :Int8; } # Of the struct, or of b.

struct Unicode {
  # Grüße, 世界 🦀
}

struct Last {}
# Of the last, without a line end