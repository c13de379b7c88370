//! A capability with the vat that it came through, and the calls that are made on it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use capnp::ErrorKind;
use capnp::capability::{
    FromClientHook, FromTypelessPipeline, Promise, RemotePromise, Request, Response, StreamingRequest,
};
use capnp::traits::{Owned, Pipelined};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::{Descriptor, Error, Fault, Method, Mismatch, NoStatus, describe};
use crate::settled::innermost;
use crate::{Remote, deadline};

/// A capability, and the vat that it came through where that lives as long as its stubs.
///
/// The vat ends with the last stub of a capability that came through it.
#[derive(Clone)]
pub struct Capability<C> {
    client: C,
    connection: Option<Rc<Connection>>,
}

/// The stream of a service, as a stub holds it.
pub(crate) struct Connection {
    remote: Remote<capnp::capability::Client>,
    descriptor: &'static Descriptor,
}

impl Connection {
    pub(crate) fn new(remote: Remote<capnp::capability::Client>, descriptor: &'static Descriptor) -> Self {
        Self { remote, descriptor }
    }
}

impl<C: FromClientHook> Capability<C> {
    /// A capability that belongs to somebody who sees to its vat.
    pub fn of(client: C) -> Self {
        Self { client, connection: None }
    }

    pub(crate) fn bootstrap(connection: Connection) -> Self {
        let client = C::new(connection.remote.as_client_hook().add_ref());
        Self { client, connection: Some(Rc::new(connection)) }
    }

    /// capnpc's client.
    pub fn client(&self) -> &C {
        &self.client
    }

    /// Makes a request by `new`, which is given what the capability has become by now.
    ///
    /// A promise that became an object of this process is left behind here: capnp-rpc loses the capabilities in a request
    /// that was made of the promise itself (docs/spec/rpc-limits.md). Whoever makes a request writes and sends it without
    /// waiting in between.
    pub fn request<T>(&self, new: impl FnOnce(&C) -> T) -> T {
        match self.client.as_client_hook().get_resolved() {
            None => new(&self.client),
            Some(became) => new(&C::new(innermost(became))),
        }
    }

    /// As [`request`](Self::request), for a call of a stream: what is the peer's stays the promise that it was, because
    /// that knows how far the stream has come.
    pub fn stream_request<T>(&self, new: impl FnOnce(&C) -> T) -> T {
        let hook = self.client.as_client_hook();
        match hook.get_resolved().map(innermost) {
            Some(became) if became.get_brand() != hook.get_brand() => new(&C::new(became)),
            Some(_) | None => new(&self.client),
        }
    }

    /// A capability that came through this one, or will.
    pub fn derive<D: FromClientHook>(&self, client: D) -> Capability<D> {
        Capability { client, connection: self.connection.clone() }
    }

    /// Sends a call, with the schema's deadline unless the caller has one of their own.
    pub fn send<P, R>(&self, method: &'static Method, request: Request<P, R>) -> Sent<R>
    where
        P: Owned,
        R: Pipelined + Owned + Unpin + 'static,
        R::Pipeline: FromTypelessPipeline,
    {
        let RemotePromise { promise, pipeline } =
            deadline::as_schema_says(method.deadline, || request.send());
        Sent { method, connection: self.connection.clone(), promise, pipeline }
    }

    /// Sends a call of a stream. Its future is done when there is room for the next.
    pub fn stream<P: Owned>(&self, method: &'static Method, request: StreamingRequest<P>) -> Calling<()> {
        let promise = deadline::as_schema_says(method.deadline, || request.send());
        calling(method, self.connection.clone(), promise, Ok)
    }
}

/// A call that was sent, and whose results nobody has read yet.
pub struct Sent<R: Pipelined> {
    method: &'static Method,
    connection: Option<Rc<Connection>>,
    promise: Promise<Response<R>, capnp::Error>,
    /// What can be called on the results before they are there.
    pub pipeline: R::Pipeline,
}

impl<R: Pipelined + Owned + 'static> Sent<R> {
    /// Has the results read by `read` when they are there.
    pub fn read<T, S>(
        self,
        read: impl for<'a> FnOnce(R::Reader<'a>) -> Result<T, Fault<S>> + 'static,
    ) -> Calling<T, S> {
        calling(self.method, self.connection, self.promise, |response: Response<R>| read(response.get()?))
    }

    /// Gives the results as they come, once `check` has nothing against them.
    pub fn check<S>(
        self,
        check: impl for<'a> FnOnce(R::Reader<'a>) -> Result<(), Fault<S>> + 'static,
    ) -> Calling<Response<R>, S> {
        calling(self.method, self.connection, self.promise, |response: Response<R>| {
            check(response.get()?)?;
            Ok(response)
        })
    }
}

fn calling<A: 'static, T, S>(
    method: &'static Method,
    connection: Option<Rc<Connection>>,
    answer: Promise<A, capnp::Error>,
    read: impl FnOnce(A) -> Result<T, Fault<S>> + 'static,
) -> Calling<T, S> {
    let answer = async move {
        let source = match answer.await {
            Ok(answer) => return read(answer).map_err(|fault| fault.of(method)),
            Err(source) => source,
        };
        match mismatch(connection.as_deref(), &source).await {
            Some(mismatch) => Err(Error::Mismatch { method, mismatch: Box::new(mismatch) }),
            None => Err(Error::Call { method, source }),
        }
    };
    Calling(answer.boxed_local())
}

/// What the peer takes its service for, where it does not know a method and has another schema.
async fn mismatch(connection: Option<&Connection>, error: &capnp::Error) -> Option<Mismatch> {
    let connection = connection.filter(|_| error.kind == ErrorKind::Unimplemented)?;
    let theirs = describe::ask(&connection.remote).await.ok()?;
    let ours = connection.descriptor;
    (theirs.digest != ours.digest).then_some(Mismatch { ours, theirs })
}

/// A call that was sent: its results, in the future.
///
/// Dropping it cancels the call at both ends, where the call has no results that were called already. A call of a streaming
/// method that has left goes on at the server, to its end or its deadline there.
#[must_use = "a call that nobody waits for is canceled"]
pub struct Calling<T, S = NoStatus>(LocalBoxFuture<'static, Result<T, Error<S>>>);

impl<T: 'static, S: 'static> Calling<T, S> {
    /// The same call, of whose results only what `choose` makes of them is wanted.
    pub fn map<U>(self, choose: impl FnOnce(T) -> U + 'static) -> Calling<U, S> {
        Calling(async move { self.0.await.map(choose) }.boxed_local())
    }
}

impl<T, S> Future for Calling<T, S> {
    type Output = Result<T, Error<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx)
    }
}
