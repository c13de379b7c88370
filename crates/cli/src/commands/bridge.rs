//! `vatmux bridge`

use std::pin::pin;
use std::sync::Mutex;

use futures::channel::oneshot;
use futures::future::{Either, select};
use serde_json::json;
use vatmux_host::bridge::{BridgeError, BridgeEvent, PlainLimits};
use vatmux_host::{Endpoint, Listener, Local};
use vatmux_mux::Priority;
use vatmux_rpc::Options;

use crate::arguments::{Arguments, Bridge};
use crate::failure::Failure;
use crate::reporter::Reporter;
use crate::text::Harmless;
use crate::visit::{self, Calls};
use crate::{home, interrupt, output, plain};

pub(crate) fn run(arguments: &Arguments, bridge: &Bridge) -> Result<(), Failure> {
    let unix = bridge.unix.iter().cloned().map(Endpoint::Unix);
    let mut endpoints = Vec::new();
    for endpoint in unix.chain(bridge.tcp.iter().cloned()) {
        endpoints.push(plain::endpoint(&endpoint, bridge.insecure_plain_tcp)?);
    }
    let (key, _) = home::key(arguments)?;
    let node_id = key.node_id();
    let (stop, mut stopped) = oneshot::channel();
    let stop = Mutex::new(Some(stop));
    interrupt::on_request(move || {
        let stop = stop.lock().ok().and_then(|mut stop| stop.take());
        // Nobody waits any more where it ends by itself.
        stop.map(|stop| stop.send(()));
    })?;

    let mut local = Local::new(key).map_err(Failure::system("what a node needs"))?.contain_panics();
    let dialer = visit::prepare(local.dialer(), arguments.timeout, Calls::Short);
    let reporter = Reporter::start(arguments.json, line)?;
    let listener = reporter.listener();
    let bridging = async {
        let failed = |error| match error {
            BridgeError::NotAllowed { endpoint } => Failure::NotAllowed { endpoint, node: node_id },
            error => Failure::Bridge(error),
        };
        let priority = Priority::new(bridge.priority).unwrap_or(Priority::LAST);
        let opening = vatmux_host::bridge::Bridge::open(
            dialer,
            bridge.address.clone(),
            &bridge.service,
            priority,
            limits(bridge),
        );
        let opened = match select(pin!(opening), &mut stopped).await {
            Either::Left((opened, _)) => opened.map_err(failed)?,
            Either::Right(_) => return Err(Failure::Interrupted),
        };
        let mut listeners = Vec::new();
        for endpoint in &endpoints {
            listeners.push(Listener::bind_private(endpoint)?);
        }
        announce(bridge, &listeners, arguments.json)?;
        let stopped = async move {
            // The other end is the handler's, which lasts as long as the process.
            let _ = stopped.await;
        };
        opened.serve(listeners, listener, stopped).await.map_err(failed)
    };
    let outcome = local.drive_until(bridging).map_err(Failure::system("to wait for sockets"))?;
    drop(local);
    reporter.finish();
    outcome
}

fn limits(bridge: &Bridge) -> PlainLimits {
    PlainLimits {
        max_connections: bridge.max_connections.into(),
        idle: bridge.idle_timeout,
        vat: Options { call_deadline: bridge.call_timeout, ..Options::default() },
        ..PlainLimits::default()
    }
}

/// Tells where programs can connect, now that they can.
fn announce(bridge: &Bridge, listeners: &[Listener], json: bool) -> Result<(), Failure> {
    let addresses = listeners.iter().map(|listener| listener.local().to_string());
    output::print_line(&if json {
        let node = bridge.address.node.to_string();
        json!({ "service": bridge.service, "node_id": node, "listening": addresses.collect::<Vec<_>>() })
            .to_string()
    } else {
        addresses.collect::<Vec<_>>().join("\n")
    })
}

fn line(event: &BridgeEvent, json: bool) -> String {
    if !json {
        return Harmless(&event.to_string()).to_string();
    }
    let (kind, program, detail) = match event {
        BridgeEvent::Connected(program) => ("connected", Some(program), None),
        BridgeEvent::Ended(program, end) => ("left", Some(program), Some(end.to_string())),
        BridgeEvent::Refused(program, reason) => ("refused", Some(program), Some(reason.clone())),
        BridgeEvent::Dropped => ("dropped", None, Some(event.to_string())),
        BridgeEvent::AcceptFailed(error) => ("accept_failed", None, Some(error.to_string())),
    };
    json!({ "event": kind, "program": program, "detail": detail }).to_string()
}
