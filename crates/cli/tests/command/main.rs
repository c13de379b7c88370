//! The built command, run as people and programs run it: two processes, real sockets, real files.
//!
//! Every process has a limit of time, after which it is killed and its test fails.

#![cfg(unix)]

mod bridging;
mod bundles;
mod calling;
mod config;
mod cuts;
mod destinations;
mod fetching;
mod harness;
mod health;
mod keys;
mod paths;
mod policy;
mod programs;
mod reading;
mod reconnecting;
mod relay;
mod schemas;
mod services;
mod serving;
mod showing;
mod state;
mod strangers;
mod tree;
mod usage;
