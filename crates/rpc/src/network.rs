//! The vat as capnp-rpc sees it: a network of two, with one connection.

use std::future::{pending, poll_fn};
use std::rc::Rc;

use capnp::Error;
use capnp::capability::Promise;
use capnp_rpc::{FlowController, IncomingMessage};

use crate::flow::FixedWindow;
use crate::outgoing::OutgoingMessage;
use crate::shared::Shared;

/// Which end of the stream this is: it says who asks whom for the bootstrap capability, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Opened the stream.
    Caller,
    /// Offers the service.
    Server,
}

/// A network in which the only other vat is the peer. There is nothing to tell vats apart by.
pub(crate) struct Network {
    connection: Option<Box<Connection>>,
    side: Side,
}

impl Network {
    pub(crate) fn new(shared: Rc<Shared>, side: Side) -> Self {
        Self { connection: Some(Box::new(Connection(shared))), side }
    }
}

impl capnp_rpc::VatNetwork<()> for Network {
    fn connect(&mut self, (): ()) -> Option<Box<dyn capnp_rpc::Connection<()>>> {
        Some(self.connection.take()?)
    }

    // capnp-rpc prints what these futures fail with to standard output: they never fail.

    fn accept(&mut self) -> Promise<Box<dyn capnp_rpc::Connection<()>>, Error> {
        match (self.side, self.connection.take_if(|_| self.side == Side::Server)) {
            (Side::Server, Some(connection)) => Promise::ok(connection),
            (Side::Server | Side::Caller, _) => Promise::from_future(pending()),
        }
    }

    fn drive_until_shutdown(&mut self) -> Promise<(), Error> {
        // The vat's task knows by itself when the vat is over.
        Promise::from_future(pending())
    }
}

struct Connection(Rc<Shared>);

impl capnp_rpc::Connection<()> for Connection {
    fn get_peer_vat_id(&self) {}

    fn new_outgoing_message(&mut self, first_segment_words: u32) -> Box<dyn capnp_rpc::OutgoingMessage> {
        Box::new(OutgoingMessage::new(self.0.clone(), first_segment_words))
    }

    fn receive_incoming_message(&mut self) -> Promise<Option<Box<dyn IncomingMessage>>, Error> {
        let shared = self.0.clone();
        Promise::from_future(poll_fn(move |cx| shared.poll_receive(cx)))
    }

    fn new_stream(&mut self) -> (Box<dyn FlowController>, Promise<(), Error>) {
        let (window, watch) = FixedWindow::new(self.0.options.stream_window_bytes);
        (Box::new(window), watch)
    }

    fn shutdown(&mut self, result: capnp::Result<()>) -> Promise<(), Error> {
        self.0.shut_down(result);
        Promise::ok(())
    }
}
