//! samgr as its clients see it: who finds whom, what it refuses, and what a watch tells, under virtual time.

mod finding;
mod rejects;
mod watching;
mod world;
