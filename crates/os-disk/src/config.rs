//! What the image is told: its place in the network, whom it serves, whom it dials, and what it is to do.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use vatmux_noise::NodeId;

/// The most nodes that may be allowed.
pub const MAX_ALLOWED: usize = 16;

/// The most nodes that are dialed.
pub const MAX_DIALS: usize = 4;

/// What the image is told. As text, it is a line for each thing.
///
/// ```text
/// task serve
/// address 10.0.2.15/24
/// gateway 10.0.2.2
/// cable 10.0.3.15/24
/// heap 6144
/// listen 7420
/// allow vat1…
/// dial vat1…@10.0.2.2:7420
/// meet vat1…@10.0.3.16:7420
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What it does.
    pub task: Task,
    /// Its place in the network; `None` for no network.
    pub network: Option<Network>,
    /// Its place on a network of a second card's, which leads to no others: to the image at the other end of a cable.
    pub cable: Option<Network>,
    /// How much of its heap it may use, in KiB; `None` for all of it.
    pub heap_kib: Option<u32>,
    /// The TCP port that it serves on; `None` to serve nobody who dials it.
    pub listen: Option<u16>,
    /// Who may dial it.
    pub allow: Vec<NodeId>,
    /// Whom it dials.
    pub dials: Vec<Dial>,
}

/// What the image does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Says who it is, and powers off.
    #[default]
    Identify,
    /// Tests itself with each node that it dials, and goes on serving.
    Serve,
    /// Tests itself with each node that it dials, and powers off.
    SelfTest,
    /// Tests itself with itself, at a time that begins with a round number, and powers off. It needs no network.
    Alone,
    /// Measures itself with the one node that it dials, and powers off.
    Measure,
}

/// A place in an IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The image's address.
    pub address: Ipv4Addr,
    /// How many bits of it are the network's, at most 32.
    pub prefix_bits: u8,
    /// Who forwards to other networks, if anybody.
    pub gateway: Option<Ipv4Addr>,
}

/// A node that is dialed. As text, a host is a `dial` and an image a `meet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Who it must be.
    pub node: NodeId,
    /// Where it is.
    pub address: Ipv4Addr,
    /// Its TCP port.
    pub port: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a node that is dialed offers, and so what is tested with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A host: health, files, state and bundles.
    Host,
    /// Another image: health and files.
    Image,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not UTF-8.
    #[error("it is no text")]
    NotText,
    /// A line that says nothing of what there is to say, or says it twice.
    #[error("line {line}: {what}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What needs a network, and there is no address.
    #[error("it listens, dials, has a gateway or a cable, and has no address")]
    NoAddress,
}

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut task = None;
        let mut address = None;
        let mut gateway = None;
        let mut cable = None;
        for (line, words) in (1..).zip(text.lines()) {
            let wrong = |what| ConfigError::Line { line, what };
            let (key, value) = words.split_once(' ').ok_or(wrong("it has no value"))?;
            match key {
                "task" => set(&mut task, read_task(value)).map_err(wrong)?,
                "address" => set(&mut address, read_address(value)).map_err(wrong)?,
                "gateway" => {
                    set(&mut gateway, value.parse().map_err(|_| "it is no IPv4 address")).map_err(wrong)?;
                }
                "cable" => set(&mut cable, read_address(value)).map_err(wrong)?,
                "heap" => set(&mut config.heap_kib, read_kib(value)).map_err(wrong)?,
                "listen" => set(&mut config.listen, read_port(value)).map_err(wrong)?,
                "allow" if config.allow.len() == MAX_ALLOWED => return Err(wrong("it allows too many")),
                "allow" => config.allow.push(read_node(value).map_err(wrong)?),
                "dial" | "meet" if config.dials.len() == MAX_DIALS => {
                    return Err(wrong("it dials too many"));
                }
                "dial" => config.dials.push(read_dial(value, Kind::Host).map_err(wrong)?),
                "meet" => config.dials.push(read_dial(value, Kind::Image).map_err(wrong)?),
                _ => return Err(wrong("nobody knows what it means")),
            }
        }
        config.task = task.unwrap_or_default();
        config.network = address.map(|(address, prefix_bits)| Network { address, prefix_bits, gateway });
        config.cable = cable.map(|(address, prefix_bits)| Network { address, prefix_bits, gateway: None });
        let needs_network =
            gateway.is_some() || cable.is_some() || config.listen.is_some() || !config.dials.is_empty();
        if needs_network && config.network.is_none() { Err(ConfigError::NoAddress) } else { Ok(config) }
    }
}

fn set<T>(place: &mut Option<T>, value: Result<T, &'static str>) -> Result<(), &'static str> {
    match place.replace(value?) {
        None => Ok(()),
        Some(_) => Err("it was said before"),
    }
}

fn read_task(text: &str) -> Result<Task, &'static str> {
    match text {
        "identify" => Ok(Task::Identify),
        "serve" => Ok(Task::Serve),
        "selftest" => Ok(Task::SelfTest),
        "alone" => Ok(Task::Alone),
        "measure" => Ok(Task::Measure),
        _ => Err("a task is identify, serve, selftest, alone or measure"),
    }
}

fn read_address(text: &str) -> Result<(Ipv4Addr, u8), &'static str> {
    const WRONG: &str = "an address is one of IPv4, a slash, and a number of bits up to 32";
    let (address, bits) = text.split_once('/').ok_or(WRONG)?;
    let bits = bits.parse().ok().filter(|bits| *bits <= 32).ok_or(WRONG)?;
    Ok((address.parse().map_err(|_| WRONG)?, bits))
}

fn read_kib(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|kib| *kib != 0).ok_or("a heap is a number of KiB from 1 on")
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")
}

fn read_node(text: &str) -> Result<NodeId, &'static str> {
    text.parse().map_err(|_| "it is no node id")
}

fn read_dial(text: &str, kind: Kind) -> Result<Dial, &'static str> {
    const WRONG: &str = "who is dialed is a node id, an at sign, an IPv4 address, a colon and a port";
    let (node, place) = text.split_once('@').ok_or(WRONG)?;
    let (address, port) = place.rsplit_once(':').ok_or(WRONG)?;
    Ok(Dial {
        node: read_node(node)?,
        address: address.parse().map_err(|_| WRONG)?,
        port: read_port(port)?,
        kind,
    })
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "task {}",
            match self.task {
                Task::Identify => "identify",
                Task::Serve => "serve",
                Task::SelfTest => "selftest",
                Task::Alone => "alone",
                Task::Measure => "measure",
            }
        )?;
        if let Some(network) = self.network {
            writeln!(f, "address {}/{}", network.address, network.prefix_bits)?;
            if let Some(gateway) = network.gateway {
                writeln!(f, "gateway {gateway}")?;
            }
        }
        if let Some(cable) = self.cable {
            writeln!(f, "cable {}/{}", cable.address, cable.prefix_bits)?;
        }
        if let Some(kib) = self.heap_kib {
            writeln!(f, "heap {kib}")?;
        }
        if let Some(port) = self.listen {
            writeln!(f, "listen {port}")?;
        }
        for node in &self.allow {
            writeln!(f, "allow {node}")?;
        }
        for dial in &self.dials {
            let key = match dial.kind {
                Kind::Host => "dial",
                Kind::Image => "meet",
            };
            writeln!(f, "{key} {}@{}:{}", dial.node, dial.address, dial.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vatmux_noise::{Entropy, SecretKey};

    use super::*;

    fn node(seed: u8) -> NodeId {
        SecretKey::generate(Entropy::from_bytes([seed; 32]).unwrap()).node_id()
    }

    fn full() -> Config {
        let gateway = Some(Ipv4Addr::new(10, 0, 2, 2));
        Config {
            task: Task::Serve,
            network: Some(Network { address: Ipv4Addr::new(10, 0, 2, 15), prefix_bits: 24, gateway }),
            cable: Some(Network { address: Ipv4Addr::new(10, 0, 3, 15), prefix_bits: 24, gateway: None }),
            heap_kib: Some(6144),
            listen: Some(7420),
            allow: (1..=16).map(node).collect(),
            dials: (1..=4)
                .zip([Kind::Host, Kind::Image].into_iter().cycle())
                .map(|(seed, kind)| Dial {
                    node: node(seed),
                    address: Ipv4Addr::new(10, 0, 2, 2),
                    port: 9,
                    kind,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_fits_its_area() {
        let alone = Config { task: Task::Alone, ..Config::default() };
        for config in [Config::default(), alone, full()] {
            assert_eq!(config.to_string().parse(), Ok(config.clone()));
            assert!(crate::seal_config(&config).is_some());
        }
    }

    #[test]
    fn test_reject_lines_that_make_no_sense() {
        let id = node(1);
        for (line, what) in [
            ("task", "no value"),
            ("task sleep", "identify"),
            ("taks serve", "nobody knows"),
            ("address 10.0.2.15", "slash"),
            ("address 10.0.2.15/33", "up to 32"),
            ("address 10.0.2/24", "IPv4"),
            ("gateway home", "IPv4"),
            ("cable 10.0.3.15", "slash"),
            ("heap 0", "KiB"),
            ("heap all", "KiB"),
            ("listen 0", "1 to 65535"),
            ("listen 65536", "1 to 65535"),
            ("allow vat1x", "node id"),
            ("dial 10.0.2.2:9", "at sign"),
            (&format!("dial {id}@10.0.2.2"), "colon"),
            (&format!("dial {id}@host:9"), "IPv4"),
            ("", "no value"),
        ] {
            let text = format!("task serve\n{line}\n");
            let complaint = text.parse::<Config>().unwrap_err().to_string();
            assert!(complaint.starts_with("line 2: ") && complaint.contains(what), "{line:?}: {complaint}");
        }
    }

    #[test]
    fn test_reject_what_is_said_twice_or_too_often() {
        let twice = "listen 1\nlisten 2\naddress 1.2.3.4/8\n".parse::<Config>();
        assert_eq!(twice, Err(ConfigError::Line { line: 2, what: "it was said before" }));
        let often = format!("allow {}\n", node(1)).repeat(MAX_ALLOWED + 1);
        assert_eq!(
            often.parse::<Config>(),
            Err(ConfigError::Line { line: MAX_ALLOWED + 1, what: "it allows too many" })
        );
        let often = format!("dial {}@1.2.3.4:5\n", node(1)).repeat(MAX_DIALS + 1);
        assert_eq!(
            often.parse::<Config>(),
            Err(ConfigError::Line { line: MAX_DIALS + 1, what: "it dials too many" })
        );
    }

    #[test]
    fn test_reject_a_node_that_is_nowhere() {
        assert_eq!("listen 1\n".parse::<Config>(), Err(ConfigError::NoAddress));
        assert_eq!("cable 10.0.3.15/24\n".parse::<Config>(), Err(ConfigError::NoAddress));
    }
}
