//! Calls as vats make them: driver, both vats, capnp-rpc and pipe, on virtual time.

use std::rc::Rc;

use anyhow::{Result, ensure};
use capnp::capability::{Client, FromClientHook};
use vatmux_driver::{pipe, virtual_time};
use vatmux_rpc::{Options, Remote, Vat};

use crate::probe_capnp::probe;

/// What the pipe holds in each direction.
const PIPE_BYTES: usize = 64 * 1024;

struct Echo;

impl probe::Server for Echo {
    async fn echo(
        self: Rc<Self>,
        params: probe::EchoParams,
        mut results: probe::EchoResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_n(params.get()?.get_n());
        Ok(())
    }
}

/// Calls that carry a number there and back, each of which waits for the one before.
pub(super) fn calls(count: u64) -> Result<()> {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (near, far) = pipe(PIPE_BYTES);
    let options = Options::default();
    let server: probe::Client = capnp_rpc::new_client(Echo);
    let bootstrap = Client::new(server.into_client_hook());
    let _vat = Vat::serve(far, "probe", bootstrap, &handle, &options);
    let probe: Remote<probe::Client> = Vat::connect(near, "probe", &handle, &options);
    driver.drive_until(async {
        for n in 0..count {
            let mut request = probe.echo_request();
            request.get().set_n(n);
            let echoed = request.send().promise.await?.get()?.get_n();
            ensure!(echoed == n, "{n} came back as {echoed}");
        }
        Ok(())
    })?
}
