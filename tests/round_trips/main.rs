//! Every method of every service, over every kind of link: the good call, each typed refusal, a deadline, a cut link in the middle,
//! and a cancelled call.
//!
//! The suite is a table of claims ([`claim`]), one module for each service. Each claim is put to the test in each of the worlds
//! of [`world`]: over memory (on one thread, where time passes when a claim lets it, and between threads), over Unix sockets and
//! over TCP, between threads and between processes. Services are real, and so is what they keep things on ([`scene`]). [`list`] reads the
//! descriptors, and fails where a method or a status has no claim.
//!
//! With `VATMUX_CLAIMS=TEXT` only the claims run whose names have that in them.

#![cfg(unix)]

mod backstage;
mod bundlemgr;
mod claim;
mod device;
mod health;
mod link;
mod list;
mod packagefs;
mod packed;
mod samgr;
mod scene;
mod sink;
mod stage;
mod statefs;
mod time;
mod visit;
mod world;

use claim::Claim;
use list::Contract;
use world::LinkKind;

/// All that is claimed.
fn claims() -> Vec<Claim> {
    [health::claims(), packagefs::claims(), statefs::claims(), bundlemgr::claims(), samgr::claims()]
        .into_iter()
        .flatten()
        .collect()
}

/// What the services' schemas say of refusals.
fn contracts() -> Vec<Contract> {
    vec![
        health::contract(),
        packagefs::contract(),
        statefs::contract(),
        bundlemgr::contract(),
        samgr::contract(),
    ]
}

#[test]
fn every_claim_holds_over_memory() {
    world::put_all_to_the_test(LinkKind::Memory, &claims());
}

#[test]
fn every_claim_holds_over_memory_between_threads() {
    world::put_all_to_the_test(LinkKind::MemoryBetweenThreads, &claims());
}

#[test]
fn every_claim_holds_over_a_unix_socket_between_threads() {
    world::put_all_to_the_test(LinkKind::UnixBetweenThreads, &claims());
}

#[test]
fn every_claim_holds_over_tcp_between_threads() {
    world::put_all_to_the_test(LinkKind::TcpBetweenThreads, &claims());
}

#[test]
fn every_claim_holds_over_a_unix_socket_between_processes() {
    world::put_all_to_the_test(LinkKind::UnixBetweenProcesses, &claims());
}

#[test]
fn every_claim_holds_over_tcp_between_processes() {
    world::put_all_to_the_test(LinkKind::TcpBetweenProcesses, &claims());
}

/// Not a test by itself: the tests between processes start this binary again, with this name and an address to serve at.
#[test]
fn another_process() {
    world::serve_as_another_process();
}
