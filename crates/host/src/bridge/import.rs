//! A plain server's bootstrap capability as a service of a node.

use std::convert::Infallible;

use capnp::Error;
use capnp::capability::Client;
use futures::channel::oneshot;
use futures::future::{Either, select};
use vatmux_mux::Priority;
use vatmux_rpc::{Remote, Vat, VatEnd};

use super::anchor::anchored;
use super::link::{Place, Places, PlainLink};
use super::{PlainEndpoint, PlainLimits};
use crate::node::Surroundings;
use crate::{DialError, NodeBuilder, NodeEvent, dial};

impl NodeBuilder {
    /// Offers the bootstrap capability of the plain server at `server` under `name`. `priority` is the most urgent that
    /// a peer may ask for.
    ///
    /// Each stream that a peer opens becomes a connection of its own to the server, made at once; what the peer calls
    /// before it is there waits for it. The connection ends with the stream. Where the server cannot be reached, or ends
    /// the connection, the peer's calls fail as disconnected, and the node's owner is told what happened and where.
    ///
    /// **The server does not learn who calls.** It serves every peer that the node allows as the same one.
    pub fn import(self, name: &str, priority: Priority, server: PlainEndpoint, limits: PlainLimits) -> Self {
        let places = Places::new(limits.max_connections);
        let import = Import { name: name.to_owned(), server, limits, places };
        self.services_on(move |services, surroundings| {
            let (import, surroundings) = (import.clone(), surroundings.clone());
            services.serve_named(&import.name.clone(), priority, move |_| import.capability(&surroundings))
        })
    }
}

#[derive(Clone)]
struct Import {
    name: String,
    server: PlainEndpoint,
    limits: PlainLimits,
    places: Places,
}

impl Import {
    /// What one stream starts with.
    fn capability(&self, surroundings: &Surroundings) -> Client {
        let Some(place) = self.places.take() else {
            let most = self.limits.max_connections;
            self.tell(
                surroundings,
                format!("refused a stream: all {most} connections to {} are taken", self.server),
            );
            return Client::new(
                capnp_rpc::new_broken_cap(Error::overloaded(format!(
                    "service {:?} is overloaded: it has {most} users, and no more are let in; try again later",
                    self.name
                )))
                .hook,
            );
        };
        let (import, surroundings) = (self.clone(), surroundings.clone());
        let (in_use, released) = oneshot::channel::<Infallible>();
        let connecting = async move {
            let remote = import.connect(&surroundings, place).await?;
            let client = (*remote).clone();
            surroundings.handle.clone().spawn(async move {
                let vat = remote.vat().clone();
                if let Either::Right((end, _)) = select(released, std::pin::pin!(vat.wait_for_end())).await
                    && end != VatEnd::EndedByPeer
                {
                    import.tell(&surroundings, format!("{} let go: {end}", import.server));
                }
                drop(remote);
            });
            Ok(client)
        };
        anchored(capnp_rpc::new_future_client(connecting), in_use)
    }

    async fn connect(&self, surroundings: &Surroundings, place: Place) -> Result<Remote<Client>, Error> {
        let Surroundings { handle, reactor, .. } = surroundings;
        let connecting = dial::connect(handle, reactor, self.server.endpoint(), self.limits.connect_deadline);
        let link = connecting.await.map_err(|error| {
            self.tell(surroundings, format!("cannot reach its server: {}", cause(&error)));
            // Where the server is, is the node's own business.
            Error::disconnected(format!(
                "service {:?} is not available: the node that offers it cannot reach its server",
                self.name
            ))
        })?;
        let link = PlainLink::new(link, handle, place, None);
        Ok(Vat::connect(link, &self.name, handle, &self.limits.vat))
    }

    fn tell(&self, surroundings: &Surroundings, reason: String) {
        (surroundings.on_event)(NodeEvent::ImportFailed { service: self.name.clone(), reason });
    }
}

/// Why there is no connection, without what only those hear who dial nodes.
fn cause(error: &DialError) -> String {
    match error {
        DialError::Connect { endpoint, error } => format!("{endpoint}: {error}"),
        DialError::Resolve { .. }
        | DialError::Deadline { .. }
        | DialError::Handshake { .. }
        | DialError::Entropy(_) => error.to_string(),
    }
}
