//! Counting instructions by callgrind: what code costs, whatever else the machine does.
//!
//! A count is of the whole process, its start included. What an operation costs is the slope between two runs that
//! differ in how many operations they do.

mod counter;

pub use counter::Counter;
