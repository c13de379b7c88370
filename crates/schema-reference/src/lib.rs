//! The C++ schema compiler as the reference that `vatmux-schema` is held against.
//!
//! Both compile the same files, and what they make of them is compared:
//! - [`difference`] says which parts of two requests mean different things, and [`generated_code`] what Rust they become;
//! - [`Reference`] is the C++ tool, with its requests and its complaints; [`Memory`] and [`Within`] are where ours reads;
//! - [`corpus`] finds the schemas that others wrote and this machine has;
//! - [`generate`] writes random valid schemas, and makes one that shows a difference small;
//! - [`mutated`] breaks schemas, for the two to agree on what is none.
//!
//! The tests that need the C++ tool are ignored unless asked for: `cargo xtask test reference` provides the tool and
//! asks for them.

#![forbid(unsafe_code)]

mod code;
pub mod corpus;
pub mod generate;
mod meaning;
mod mutate;
mod reference;
mod side;
mod tree;

pub use code::generated_code;
pub use meaning::{Difference, MAY_DIFFER, difference};
pub use mutate::mutated;
pub use reference::{Complaint, Reference, Refusal, have_reference};
pub use side::{Memory, Within};
