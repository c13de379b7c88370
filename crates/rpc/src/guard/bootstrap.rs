//! What the peer answers to the request for its bootstrap capability.
//!
//! Callers hold what it becomes for as long as they hold the vat. capnp-rpc loses the capabilities of a request on a promise
//! that has become an object of the caller's own side, and would panic over them, but for stand-ins, as it would where that
//! has become an error: so a bootstrap capability never becomes either while its vat lives.

use capnp::capability::Client;
use capnp::message::Reader;
use capnp::private::capability::ClientHook;
use capnp::traits::Imbue;
use capnp_rpc::rpc_capnp::{cap_descriptor, message, payload, return_};

use super::Violation;
use crate::VatEnd;
use crate::segments::Segments;

/// Judges a Return. Gives how the vat ends where the peer says that it has no such capability.
pub(super) fn check(message: &Reader<Segments>) -> Result<Option<VatEnd>, Violation> {
    let root = message.get_root::<message::Reader<'_>>()?;
    let Ok(message::Return(answer)) = root.which() else { return Ok(None) };
    match answer?.which()? {
        return_::Results(results) => {
            if gives_its_own(results?)? {
                Ok(None)
            } else {
                Err(Violation::StrangeBootstrap)
            }
        }
        return_::Exception(exception) => {
            let exception = exception?;
            let reason = String::from_utf8_lossy(exception.get_reason()?.as_bytes()).into_owned();
            Ok(Some(VatEnd::no_bootstrap(&reason)))
        }
        return_::Canceled(())
        | return_::ResultsSentElsewhere(())
        | return_::TakeFromOtherQuestion(_)
        | return_::AcceptFromThirdParty(_) => Err(Violation::StrangeBootstrap),
    }
}

/// True where the results are a capability of the peer's and nothing else.
fn gives_its_own(results: payload::Reader<'_>) -> capnp::Result<bool> {
    let mut table: Vec<Option<Box<dyn ClientHook>>> = Vec::new();
    for cap in results.get_cap_table()? {
        let own =
            matches!(cap.which(), Ok(cap_descriptor::SenderHosted(_) | cap_descriptor::SenderPromise(_)));
        let stand_in = || capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook;
        table.push(own.then(stand_in));
    }
    let mut content = results.get_content();
    content.imbue(&table);
    Ok(content.get_as_capability::<Client>().is_ok())
}
