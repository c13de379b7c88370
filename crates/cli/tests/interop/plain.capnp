@0xd4be1c1f21b9f8e3;

# What the C++ implementation offers, and calls, on both sides of a bridge.

interface Plain {
  echo @0 (n :UInt64, blob :Data) -> (n :UInt64, blob :Data);

  counter @1 () -> (counter :Counter);
  # A new counter, at zero.

  later @2 () -> (counter :Counter);
  # A new counter, once somebody called `open`.

  open @3 () -> ();

  countTwice @4 (counter :Counter) -> (total :UInt64);
  # Calls the counter that it is given twice.

  giveBack @5 (counter :Counter) -> (counter :Counter);

  hold @6 (held :Counter) -> ();
  # Never answers, and holds what it was given for as long as the call lasts.

  keep @7 (counter :Counter) -> ();
  # Keeps the counter when the call is over. `release` lets it go.

  callKept @8 () -> (total :UInt64);

  release @9 () -> ();

  write @10 (bytes :Data) -> stream;
  # Takes a millisecond for each, one after the other.

  written @11 () -> (bytes :UInt64);
  # How much was written, on all connections.

  refuse @12 (reason :Text) -> ();
  # Refuses, for this reason.

  settled @13 (counters :UInt32, running :UInt32, canceled :UInt32) -> ();
  # Answers once so many counters live, so many calls of `hold` run, and so many of them have been canceled.

  leave @14 () -> ();
  # Ends the server's process, without a word.
}

interface Counter {
  add @0 (n :UInt64) -> (total :UInt64);
}
