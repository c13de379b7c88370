struct BeforeTheId{a@0:Int8;b@0x1:Int8=3;c@02:Text="x";}
#!not a comment apart
annotation  tight ( * ) : Text ;
enum None {}
enum  Spread
  # between
{
  a
    @0
    ; b @1 ;
}
struct Params () { } struct Many ( T , U , V ) { }
const   list:List ( Int8 )=[ 1 , -2,0x3 , ];
const literal :Many(Text,Text,Text) = ( );
interface Face extends ( ) { m@0 [ T ]( a : T ,)->( b : T ) $tight ( "x" ) ; }
struct Grouped { g :group{a@0:Int8;} u :union{b@1:Int8;c@2:Int8;} union{d@3:Int8;e@4:Int8;} }
using A = Many(Text,Text,Text) ;

@0xd1a000000000000c
  ;
struct Windows {
  # A line that ends as on Windows.
  a @0 :Text; # b
}
# Nothing follows, not even an end of line