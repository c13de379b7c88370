@0xf0211e6e00d5d94b;
# health: whether a node answers, and how fast. Every node offers it under the name `vatmux.health`, at the first priority.
#
# Room to grow: what a node can say about itself (uptime, limits, counters) is added as further methods.

interface Health {
  ping @0 (nonce :UInt64) -> (nonce :UInt64);
  # Returns the nonce at once. It touches nothing but the session, so that its time is the time of the path.
}
