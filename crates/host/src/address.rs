//! What people type to name a node and something on it: `vat://NODE-ID@host:port/path`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use vatmux_noise::{NodeId, NodeIdError};

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port of a host, by name or by address.
    Tcp {
        /// A host name, an IPv4 address or an IPv6 address without brackets.
        host: String,
        /// The port; 0 when listening means "any".
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// A node, where it listens, and a path within what it serves.
///
/// Two forms: `vat://NODE-ID@host:port/path`, with IPv6 hosts in brackets, and for Unix sockets
/// `vat+unix://NODE-ID@%2Frun%2Fvatmux.sock/path`, with the socket's path percent-encoded. In both the last
/// part is percent-decoded, so that any UTF-8 path can be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The key that the node must prove.
    pub node: NodeId,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What is meant on it, without a leading slash; empty is its root.
    pub path: String,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("an address begins with vat:// or vat+unix://, as in vat://NODE-ID@host:port/path")]
    Scheme,
    /// No `@`.
    #[error("the address lacks the node id: vat://NODE-ID@host:port/path (`vatmux id` prints a node's id)")]
    NodeIdMissing,
    /// The node id does not parse.
    #[error("the node id is not valid: {0}")]
    NodeId(#[from] NodeIdError),
    /// No host.
    #[error("the address lacks a host: vat://NODE-ID@host:port/path")]
    HostMissing,
    /// No port, or not a number up to 65,535.
    #[error("the address needs a port from 0 to 65535 behind the host: vat://NODE-ID@host:port/path")]
    Port,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the address has a broken percent escape, or one that is not UTF-8")]
    Escape,
    /// This system has no Unix sockets.
    #[error("this system has no Unix sockets")]
    NoUnixSockets,
}

impl FromStr for Endpoint {
    type Err = AddressError;

    /// `host:port`, `[v6]:port`, or `unix:PATH`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_endpoint(path.to_owned());
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let port = port.parse().map_err(|_| AddressError::Port)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(AddressError::HostMissing);
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

fn unix_endpoint(path: String) -> Result<Endpoint, AddressError> {
    if path.is_empty() {
        return Err(AddressError::HostMissing);
    }
    if cfg!(unix) { Ok(Endpoint::Unix(PathBuf::from(path))) } else { Err(AddressError::NoUnixSockets) }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for NodeAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (unix, rest) = if let Some(rest) = text.strip_prefix("vat://") {
            (false, rest)
        } else if let Some(rest) = text.strip_prefix("vat+unix://") {
            (true, rest)
        } else {
            return Err(AddressError::Scheme);
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (node, place) = authority.split_once('@').ok_or(AddressError::NodeIdMissing)?;
        let node = node.parse()?;
        let endpoint =
            if unix { unix_endpoint(percent_decode(place)?)? } else { place.parse::<Endpoint>()? };
        if !unix && matches!(endpoint, Endpoint::Unix(_)) {
            return Err(AddressError::Scheme);
        }
        Ok(Self { node, endpoint, path: percent_decode(path)?.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Tcp { .. } => write!(f, "vat://{}@{}", self.node, self.endpoint)?,
            Endpoint::Unix(path) => {
                write!(f, "vat+unix://{}@{}", self.node, percent_encode(&path.to_string_lossy(), false))?;
            }
        }
        write!(f, "/{}", percent_encode(&self.path, true))
    }
}

fn percent_decode(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(AddressError::Escape) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(AddressError::Escape);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Escape)
}

fn percent_encode(text: &str, keep_slashes: bool) -> String {
    use fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'=' | b',' => {
                encoded.push(char::from(byte));
            }
            b'/' if keep_slashes => encoded.push('/'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> NodeId {
        vatmux_noise::SecretKey::from_bytes([7; 32]).unwrap().node_id()
    }

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for (place, path) in
            [("127.0.0.1:7070", ""), ("example.org:1", "a/b c/ü%.txt"), ("[::1]:65535", "deep/er")]
        {
            let endpoint: Endpoint = place.parse().unwrap();
            let address = NodeAddress { node: id(), endpoint, path: path.to_owned() };
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_is_named_by_its_percent_encoded_path() {
        let text = format!("vat+unix://{}@%2Frun%2Fv%20m.sock/some/file", id());
        let address: NodeAddress = text.parse().unwrap();
        assert_eq!(address.endpoint, Endpoint::Unix("/run/v m.sock".into()));
        assert_eq!(address.path, "some/file");
        assert_eq!(address.to_string(), text);
    }

    #[test]
    fn each_way_of_being_wrong_has_its_own_word() {
        let id = id();
        let parse = |text: String| text.parse::<NodeAddress>().unwrap_err();
        assert_eq!(parse("http://x".into()), AddressError::Scheme);
        assert_eq!(parse("vat://host:1/".into()), AddressError::NodeIdMissing);
        assert!(matches!(parse("vat://vat1qqq@host:1/".into()), AddressError::NodeId(_)));
        assert_eq!(parse(format!("vat://{id}@host/")), AddressError::Port);
        assert_eq!(parse(format!("vat://{id}@host:65536/")), AddressError::Port);
        assert_eq!(parse(format!("vat://{id}@:1/")), AddressError::HostMissing);
        assert_eq!(parse(format!("vat://{id}@h:1/%f")), AddressError::Escape);
        assert_eq!(parse(format!("vat://{id}@h:1/%ff")), AddressError::Escape);
    }
}
