@0xc0d1a1f6b7e05c2b;

# What the processes of the behaviour tests offer each other.

interface Station {
  echo @0 (n :UInt64) -> (n :UInt64);

  counter @1 () -> (counter :Counter);
  # A new counter, at zero.

  gated @2 (gate :Text) -> (counter :Counter);
  # Answers with a new counter once the gate is open.

  open @3 (gate :Text) -> (nanos :UInt64);
  # Opens a gate for good, and says when that was.

  giveBack @4 (gate :Text, recorder :Recorder) -> (recorder :Recorder);
  # Answers with what it was given once the gate is open.

  promise @5 (gate :Text, recorder :Recorder) -> (recorder :Recorder);
  # Answers at once with the promise of what it was given, which is kept once the gate is open.

  hold @6 (recorder :Recorder) -> ();
  # Never answers, and holds what it was given for as long as the call lasts.

  isOwn @7 (counter :Counter) -> (own :Bool);
  # Whether it is a counter of this process.

  fail @8 (kind :UInt16, reason :Text) -> ();

  take @9 (bytes :Data) -> (length :UInt64);

  give @10 (length :UInt64) -> (bytes :Data);

  write @11 (bytes :Data) -> stream;
  # Takes the bytes when it is let.

  letThrough @12 (writes :UInt32) -> (written :UInt64);
  # Lets as many writes go on, and answers when they have.

  note @13 (recorder :Recorder, from :UInt64, to :UInt64) -> ();
  # Notes the numbers, one by one and without waiting in between; answers when all are noted.

  until @14 (what :What, count :UInt64) -> ();
  # Answers when the process has so many.

  heap @15 () -> (used :UInt64, most :UInt64);
  # Bytes of heap, now and at most since it was last asked.

  enum What {
    counters @0;        # Counters alive.
    holding @1;         # Calls of hold under way.
  }
}

interface Counter {
  add @0 (n :UInt64) -> (total :UInt64, arrived :UInt64);
  # When the call arrived, in nanoseconds of the server's clock.

  addOnce @1 (gate :Text, n :UInt64) -> (total :UInt64);
  # Adds once the gate is open.
}

interface Recorder {
  note @0 (n :UInt64) -> ();
}
