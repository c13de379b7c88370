@0xdacdbc4e67100113;

# What the tests of this crate call.

interface Probe {
  echo @0 (n :UInt64) -> (n :UInt64);

  never @1 (held :Counter) -> (counter :Counter);
  # Never answers. What it was given it holds for as long as the call lasts.

  after @2 (millis :UInt64) -> (counter :Counter);
  # Answers after this long, with a new counter.

  counter @3 () -> (counter :Counter);
  # A new counter, at zero.

  countTwice @4 (counter :Counter) -> (total :UInt64);
  # Calls the counter it is given twice.

  write @5 (bytes :Data) -> stream;
  # Takes the bytes when the test lets it.

  written @6 () -> (bytes :UInt64);

  blob @7 (bytes :UInt64) -> (blob :Data);

  blobAndCounter @8 (bytes :UInt64) -> (blob :Data, counter :Counter);

  fail @9 (reason :Text) -> ();
}

interface Counter {
  add @0 (n :UInt64) -> (total :UInt64);

  self @1 () -> (counter :Counter);
  # The same counter.
}
