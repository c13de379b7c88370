@0xd63f2e3c3d5cc009;
# What the suite `rpc` calls: the smallest call there is, a stream of bytes, and calls that stay open.

interface Bench {
  increment @0 (value :UInt64) -> (value :UInt64);
  # One more than the value, at once.

  push @1 (chunk :Data) -> stream;
  # Takes bytes in, and throws them away.

  pushed @2 () -> (bytes :UInt64, checksum :UInt64);
  # What has been pushed so far. The checksum is that of the bytes only where `watch` was called before them.

  watch @3 () -> ();
  # Has what is pushed from here on added to the checksum.

  hold @4 (value :UInt64) -> (value :UInt64);
  # Is not answered for as long as the caller waits.

  heap @5 () -> (liveBytes :Int64);
  # By how much the heap of the server's thread has grown since it was asked for the first time.
}
