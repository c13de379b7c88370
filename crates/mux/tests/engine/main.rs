//! What the engine promises, claim by claim, each over every storage.

mod credit;
mod exclusive;
mod hostile;
mod keepalive;
mod lending;
mod scheduling;
mod sessions;
mod streams;
mod support;
mod windows;
