//! Sessions with a peer that is another implementation: made of a handshake, records and frames, and nothing else.

mod draft;
mod endings;
mod hellos;
mod peer;
mod records;
mod slow;
