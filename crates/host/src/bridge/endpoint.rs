//! Where plain text may go.

use std::fmt;
use std::net::IpAddr;

use crate::Endpoint;

/// An address for bytes that are neither encrypted nor authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainEndpoint(Endpoint);

/// Plain text to this address would leave the machine, or may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{endpoint} is not on this machine alone: what passes there can be read and changed on the way, and used by anyone who \
     reaches it; use unix:PATH, or a loopback address such as 127.0.0.1"
)]
pub struct LeavesThisMachine {
    /// The address.
    pub endpoint: Endpoint,
}

impl PlainEndpoint {
    /// Takes a Unix socket, a loopback address, or `localhost`. Another name is refused whatever it stands for now:
    /// tomorrow it may stand for something else.
    pub fn on_this_machine(endpoint: Endpoint) -> Result<Self, LeavesThisMachine> {
        let stays = match &endpoint {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp { host, .. } if host.eq_ignore_ascii_case("localhost") => true,
            Endpoint::Tcp { host, .. } => {
                host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
            }
        };
        if stays { Ok(Self(endpoint)) } else { Err(LeavesThisMachine { endpoint }) }
    }

    /// Takes any address, for a caller who has seen to it that nobody is on the way who should not be.
    #[must_use]
    pub fn anywhere(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }

    /// The address.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl fmt::Display for PlainEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        PlainEndpoint::on_this_machine(text.parse().unwrap()).is_ok()
    }

    #[test]
    fn plain_text_stays_on_this_machine() {
        for text in [
            "127.0.0.1:1",
            "127.9.9.9:0",
            "[::1]:65535",
            "[::ffff:127.0.0.1]:1",
            "localhost:1",
            "LocalHost:1",
        ] {
            assert!(is_taken(text), "{text}");
        }
        #[cfg(unix)]
        assert!(is_taken("unix:/run/x"));
    }

    #[test]
    fn test_reject_addresses_that_leave_this_machine() {
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "192.168.0.1:1",
            "8.8.8.8:1",
            "[fe80::1]:1",
            "[::ffff:10.0.0.1]:1",
            "localhost.example.org:1",
            "127.0.0.1.example.org:1",
            "127.1:1",
            "example.org:1",
        ] {
            assert!(!is_taken(text), "{text}");
            let endpoint: Endpoint = text.parse().unwrap();
            let said = PlainEndpoint::on_this_machine(endpoint.clone()).unwrap_err().to_string();
            assert!(said.contains(&endpoint.to_string()) && said.contains("unix:PATH"), "{said}");
            assert_eq!(PlainEndpoint::anywhere(endpoint.clone()).endpoint(), &endpoint);
        }
    }
}
