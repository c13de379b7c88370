//! samgr as its clients see it: who finds whom, what it refuses, and what a watch tells, under virtual time.

mod finding;
mod liars;
mod linked;
mod passing;
mod rejects;
mod watching;
mod world;
