//! The contract of liveness, claim by claim. Each way to be turned away has a test whose name begins with `test_reject`.

mod backoff;
mod correlation;
mod properties;
mod redial;
mod retry;
mod run;
mod support;
