//! One module per command.

pub(crate) mod bridge;
pub(crate) mod bundle;
pub(crate) mod call;
pub(crate) mod cat;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod id;
pub(crate) mod ls;
pub(crate) mod new;
pub(crate) mod ping;
pub(crate) mod policy;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod services;
pub(crate) mod stat;
pub(crate) mod state;
