//! packagefs, in process: a server over a temporary directory, and clients that are honest, hostile and
//! unlucky.
#![cfg(unix)]

mod bundled;
mod fetching;
mod hostile;
mod paging;
mod reading;
mod served;
mod server;
mod wire;
