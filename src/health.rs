//! health: whether a node answers, and how fast.

use std::rc::Rc;

use vatmux_mux::Priority;

use crate::schema::health_capnp::health;

/// The name under which every node offers health.
pub const SERVICE_NAME: &str = "vatmux.health";

/// The priority of its stream: before everything else, since what it measures is the path.
pub const PRIORITY: Priority = Priority::FIRST;

/// A capability of the health service, as [`NodeBuilder::serve`](crate::NodeBuilder::serve) wants it.
#[must_use]
pub fn capability() -> capnp::capability::Client {
    capnp_rpc::new_client::<health::Client, _>(Server).client
}

/// The health service; `capnp_rpc::new_client` makes a capability of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server;

impl health::Server for Server {
    async fn ping(
        self: Rc<Self>,
        params: health::PingParams,
        mut results: health::PingResults,
    ) -> capnp::Result<()> {
        results.get().set_nonce(params.get()?.get_nonce());
        Ok(())
    }
}

/// A ping failed.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// There was no answer.
    #[error("cannot ping: {0}")]
    Call(#[from] capnp::Error),
    /// There was one, and it was not to this ping.
    #[error("cannot ping: the answer has nonce {received:#x}, and {sent:#x} was sent")]
    WrongNonce {
        /// What was sent.
        sent: u64,
        /// What came back.
        received: u64,
    },
}

/// Sends one ping and waits for its answer. How long that took is for the caller's clock to say, and how long
/// it may take is the deadline that the caller's vat puts on every call.
pub async fn ping(remote: &health::Client, nonce: u64) -> Result<(), PingError> {
    let mut request = remote.ping_request();
    request.get().set_nonce(nonce);
    let received = request.send().promise.await?.get()?.get_nonce();
    if received != nonce {
        return Err(PingError::WrongNonce { sent: nonce, received });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    /// Answers with another's nonce.
    struct Confused;

    impl health::Server for Confused {
        async fn ping(
            self: Rc<Self>,
            params: health::PingParams,
            mut results: health::PingResults,
        ) -> capnp::Result<()> {
            results.get().set_nonce(params.get()?.get_nonce() ^ 1);
            Ok(())
        }
    }

    /// Does not answer.
    struct Dead;

    impl health::Server for Dead {}

    #[test]
    fn a_ping_is_answered_with_its_nonce() {
        let remote = capnp_rpc::new_client(Server);
        for nonce in [0, 1, u64::MAX] {
            block_on(ping(&remote, nonce)).unwrap();
        }
    }

    #[test]
    fn test_reject_the_answer_to_another_ping() {
        let error = block_on(ping(&capnp_rpc::new_client(Confused), 6)).unwrap_err();
        assert!(matches!(error, PingError::WrongNonce { sent: 6, received: 7 }), "{error}");
    }

    #[test]
    fn a_ping_without_an_answer_says_why() {
        let error = block_on(ping(&capnp_rpc::new_client(Dead), 6)).unwrap_err();
        assert!(matches!(error, PingError::Call(_)), "{error}");
    }
}
