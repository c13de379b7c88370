//! tonic: gRPC over HTTP/2 in the clear. What its compiler would write for the service is written out here, so that
//! building takes no `protoc`.

use std::convert::Infallible;
use std::future;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::Result;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::caller::{self, Calls};
use super::{listen, runtime};
use crate::side::Bench;

const METHOD: &str = "/bench.Bench/Increment";

/// `message Number { uint64 value = 1; }`
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Number {
    #[prost(uint64, tag = "1")]
    value: u64,
}

/// `rpc Increment(Number) returns (Number)`
struct Increment;

impl UnaryService<Number> for Increment {
    type Response = Number;
    type Future = future::Ready<Result<Response<Number>, Status>>;

    fn call(&mut self, request: Request<Number>) -> Self::Future {
        future::ready(Ok(Response::new(Number { value: request.get_ref().value + 1 })))
    }
}

/// `service Bench`
#[derive(Clone)]
struct Routes;

impl Service<http::Request<Body>> for Routes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != METHOD {
            return future::ready(Ok(Status::unimplemented("there is one method").into_http())).boxed();
        }
        async move { Ok(Grpc::new(ProstCodec::default()).unary(Increment, request).await) }.boxed()
    }
}

pub(super) fn serve(bench: &Bench) -> Result<()> {
    let (listener, contact) = listen()?;
    bench.say(&contact)?;
    runtime()?.block_on(serve_all(listener))
}

pub(super) fn call(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    runtime()?.block_on(call_from_here(bench, server, calls))
}

pub(super) fn both(bench: &Bench, calls: Calls) -> Result<()> {
    let (listener, contact) = listen()?;
    runtime()?.block_on(async {
        let _serving = tokio::spawn(serve_all(listener));
        call_from_here(bench, contact.address, calls).await
    })
}

async fn serve_all(listener: std::net::TcpListener) -> Result<()> {
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?);
    Ok(Server::builder().serve_with_incoming(Routes, incoming.with_nodelay(Some(true))).await?)
}

async fn call_from_here(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    let dialed = Instant::now();
    let channel = Endpoint::from_shared(format!("http://{server}"))?.tcp_nodelay(true).connect().await?;
    let client = tonic::client::Grpc::new(channel);
    caller::increments(bench, dialed, calls, async |value| {
        // As generated clients are cloned for each caller.
        let mut client = client.clone();
        client.ready().await?;
        let method = PathAndQuery::from_static(METHOD);
        let answer = client.unary(Request::new(Number { value }), method, ProstCodec::default());
        Ok::<_, anyhow::Error>(answer.await.map(|answer: Response<Number>| answer.get_ref().value)?)
    })
    .await
}
