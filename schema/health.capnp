@0xf0211e6e00d5d94b;
# health: whether a node answers, how fast, and what it is doing. Every node offers it under the name `vatmux.health`, at the
# first priority.
#
# Whoever may connect sees what concerns itself: that the node answers, how long it has been up, the limits that hold
# between the two, and the session that the call came through. Only an operator, whom the node's owner named, sees the
# node as a whole: its counters, and the sessions of others. What a peer may not see looks as if it were not there.
#
# Everything is told as the node sees it: what it has "asked" are its calls to the peer, what it has "served" are the
# peer's calls to it. Counts begin with the session, or with the node, and only grow, unless they are said to be of now.
#
# Nothing here is a secret: no key, no content of a call, no words of an exception.
#
# Room to grow: fields are added at the end of their struct, methods at the end of the interface.

using Vatmux = import "vatmux.capnp";

enum Scope {
  ownSession @0;        # The session that the call came through.
  wholeNode @1;         # The caller is an operator.
}

struct Limits {
  # What one peer may use of the node; 0 where a node does not say.
  maxMessageBytes @0 :UInt64;         # One RPC message; a larger one ends its vat.
  maxCalls @1 :UInt64;                # Calls that are not over, on one vat; more are refused as overloaded.
  maxServedVats @2 :UInt64;           # Streams that are served at once; more are reset.
  callDeadlineNanos @3 :UInt64;       # How long the node waits for answers to its own calls, unless it says otherwise.
  maxStreams @4 :UInt32;              # Streams that the peer may have open.
  initialWindowBytes @5 :UInt32;      # Credit of a new stream.
  maxWindowBytes @6 :UInt32;          # To which it may grow.
  tickNanos @7 :UInt64;               # A keepalive tick.
  pingAfterTicks @8 :UInt64;          # Silent ticks before a ping.
  deadAfterTicks @9 :UInt64;          # Silent ticks before the peer is given up.
}

struct Counters {
  # Of the node as a whole.
  unauthenticated @0 :UInt64;         # Now: links whose peer is not known yet.
  sessions @1 :UInt64;                # Now: sessions.
  connected @2 :UInt64;               # Sessions that there have been.
  refused @3 :UInt64;                 # Links that came to no session: a broken or slow handshake, a wrong key.
  notAllowed @4 :UInt64;              # Links whose peer proved its key and may not connect.
  dropped @5 :UInt64;                 # Links that a bound of the node left no room for.
  acceptFailures @6 :UInt64;          # Links that the system refused to accept.
  violations @7 :UInt64;              # Sessions that ended because of what the peer sent.
  panics @8 :UInt64;                  # Tasks of services that panicked: a defect, unless 0.
  workersDied @9 :UInt64;             # Threads that died: a defect, unless 0.
  rescues @10 :UInt64;                # Wake-ups that were missed and made good: a defect, unless 0.
}

struct Bucket {
  nanos @0 :UInt64;                   # A time, to within 7 %.
  count @1 :UInt64;                   # How many calls took as long.
}

struct Calls {
  started @0 :UInt64;
  ok @1 :UInt64;                      # Ended with results.
  exception @2 :UInt64;               # Failed in another way than the following.
  deadline @3 :UInt64;                # The answer did not come in time. The callee sees such a call as canceled.
  canceled @4 :UInt64;                # The caller gave it up.
  overloaded @5 :UInt64;              # The callee had no room for it.
  disconnected @6 :UInt64;            # Its vat ended first.
  latency @7 :List(Bucket);           # Shortest first. Canceled and disconnected calls are not in it.
}

struct Method {
  # Calls of one method, whose latency is told of the service alone.
  name @0 :Text;                      # Behind that of its interface, as in "StateFs.get"; cut after 255 bytes.
  asked @1 :Calls;                    # Null where there were none; so is the next.
  served @2 :Calls;
}

struct Service {
  name @0 :Text;
  vatsOpened @1 :UInt64;
  vatsOpen @2 :UInt64;                # Now.
  violations @3 :UInt64;              # Vats that ended because of what the peer sent, or did not read.
  asked @4 :Calls;
  served @5 :Calls;
  methods @6 :List(Method);           # Those that were called and that the node knows by name: at most 64 of one session's service.
}

struct Stream {
  # Of now. Bytes are of the stream's payload.
  id @0 :UInt32;
  service @1 :Text;
  priority @2 :UInt8;
  openedHere @3 :Bool;                # By the node that tells.
  sentBytes @4 :UInt64;
  receivedBytes @5 :UInt64;
  queuedBytes @6 :UInt64;             # Of messages that wait for room in the stream.
  unsentBytes @7 :UInt32;             # Written and not transmitted.
  unreadBytes @8 :UInt32;             # Received and not consumed.
  sendCreditBytes @9 :UInt32;         # May still be transmitted.
  grantedBytes @10 :UInt32;           # The peer may still transmit.
  owedBytes @11 :UInt32;              # Consumed and not granted again.
  windowBytes @12 :UInt32;            # The receive window.
  callsAsked @13 :UInt32;             # Not over.
  callsServed @14 :UInt32;            # Not over.
  supplied @15 :Bool;                 # Its source has more to send, besides what is unsent.
}

struct Session {
  id @0 :UInt64;                      # Never 0 for an operator, who turns pages by it; 0 for everybody else.
  peer @1 :Text;                      # The node id that the handshake proved.
  ageNanos @2 :UInt64;
  recordsSent @3 :UInt64;             # Noise records, and their bytes on the link.
  bytesSent @4 :UInt64;
  recordsReceived @5 :UInt64;
  bytesReceived @6 :UInt64;
  framesSent @7 :UInt64;
  framesReceived @8 :UInt64;
  dataBytesSent @9 :UInt64;
  dataBytesReceived @10 :UInt64;
  streamsOpened @11 :UInt64;          # By the node.
  streamsReceived @12 :UInt64;        # Opened by the peer, refused ones included.
  resetsSent @13 :UInt64;
  resetsReceived @14 :UInt64;
  strayFrames @15 :UInt64;            # On streams that were gone.
  framesOwed @16 :UInt64;             # That the starvation bound moved ahead of a higher priority.
  windowsGrown @17 :UInt64;
  windowBudgetBytes @18 :UInt64;      # Now: by how much windows may still grow.
  refusedNoSuchService @19 :UInt64;   # Streams that were turned away, and why.
  refusedNotAllowed @20 :UInt64;
  refusedOverloaded @21 :UInt64;
  streams @22 :List(Stream);
  services @23 :List(Service);
}

interface Health $Vatmux.service(name = "vatmux.health", priority = 0) {
  # Whether the node answers, how fast, and what it is doing.

  ping @0 (nonce :UInt64) -> (nonce :UInt64) $Vatmux.idempotent;
  # Returns the nonce at once. It touches nothing but the session, so that its time is the time of the path.

  node @1 () -> (
      scope :Scope,
      uptimeNanos :UInt64,            # For others than operators, of the thread that serves the caller.
      limits :Limits,
      software :Text,                 # Null unless the scope is the whole node.
      counters :Counters,             # Null unless the scope is the whole node.
      services :List(Service)) $Vatmux.bulk $Vatmux.idempotent;  # Over all sessions of the scope, for a node those that are over, too.
  # The node, as far as the caller may see it.

  sessions @2 (after :UInt64, limit :UInt16 = 16) -> (sessions :List(Session), more :Bool)
      $Vatmux.bulk $Vatmux.idempotent;
  # Sessions of the scope, in the order of their ids: those that come next after the one named, at most `limit`, and never
  # more than 64. `more` where others follow.
}
