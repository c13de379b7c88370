//! health: whether a node answers, and how fast.

use std::rc::Rc;

use crate::schema::health_capnp::health;

/// The name under which every node offers health.
pub const SERVICE_NAME: &str = "vatmux.health";

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

/// Sends one ping and waits for its answer. How long that took is for the caller's clock to say, and how long it may take
/// is the deadline that the caller's vat puts on every call.
pub async fn ping(remote: &health::Client, nonce: u64) -> Result<(), PingError> {
    let mut request = remote.ping_request();
    request.get().set_nonce(nonce);
    let received = request.send().promise.await?.get()?.get_nonce();
    if received != nonce {
        return Err(PingError::WrongNonce { sent: nonce, received });
    }
    Ok(())
}
