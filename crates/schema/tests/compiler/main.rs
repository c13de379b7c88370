//! What the compiler makes of schemas, right ones and wrong ones. That it makes the same as the reference
//! implementation is tested beside it; here stand the claims that can be checked without that one.

mod common;
mod errors;
mod imports;
mod layout;
mod limits;
mod nodes;
mod values;
