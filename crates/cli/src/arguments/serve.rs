//! What `vatmux serve` can be told, by flags and by a config.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};
use vatmux::bundle::PublisherId;
use vatmux_host::{AddressError, Endpoint};
use vatmux_noise::NodeId;

use super::tcp;

/// How many threads may serve.
const WORKERS: std::ops::RangeInclusive<i64> = 1..=1024;

/// The same by flags and by a config, whose keys are the names of the flags, so that nothing can be said by one of them only.
///
/// What goes with what is judged where both are known, in `commands::serve::config`, and not by clap, which knows the flags alone.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Serve {
    /// The directory; symbolic links that lead out of it are not followed
    #[serde(deserialize_with = "path")]
    pub(crate) dir: Option<PathBuf>,

    /// Serve what FILE names as well; flags add to its lists, and stand in for its other values
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Say what would be served, and to whom, and serve nothing
    #[arg(long)]
    #[serde(skip)]
    pub(crate) check: bool,

    /// Serve the bundles in the store STORE, each as a directory of its name; the store is made if there is none
    #[arg(long, value_name = "STORE")]
    #[serde(deserialize_with = "path")]
    pub(crate) bundles: Option<PathBuf>,

    /// A publisher whose bundles may be installed, as `vatmux bundle keygen` prints it; may be given several times
    #[arg(long, value_name = "PUBLISHER", num_args = 1..)]
    #[serde(deserialize_with = "list")]
    pub(crate) publisher: Vec<PublisherId>,

    /// A node that may install and remove bundles; it must be allowed as well; may be given several times
    #[arg(long, value_name = "NODE-ID", num_args = 1..)]
    #[serde(deserialize_with = "list")]
    pub(crate) installer: Vec<NodeId>,

    /// Store at most BYTES of bundles; as many as the disk has unless given
    #[arg(long, value_name = "BYTES")]
    pub(crate) bundle_quota: Option<u64>,

    /// Keep keys and values in DIR, which is made if it is not there: every node that is named by --allow may read and change
    /// all of them
    #[arg(long, value_name = "DIR")]
    #[serde(deserialize_with = "path")]
    pub(crate) state: Option<PathBuf>,

    /// A node that may offer services of its own here, under any name, to all that may connect (`vatmux services`); it must be allowed
    /// as well; may be given several times
    #[arg(long, value_name = "NODE-ID", num_args = 1..)]
    #[serde(deserialize_with = "list")]
    pub(crate) registrar: Vec<NodeId>,

    /// Listen on host:port (port 0: any free one) or on unix:PATH; may be given several times
    #[arg(long, value_name = "ADDR")]
    #[serde(deserialize_with = "list")]
    pub(crate) listen: Vec<Endpoint>,

    /// A node that may connect, as `vatmux id` prints it there; may be given several times
    #[arg(long, value_name = "NODE-ID", num_args = 1..)]
    #[serde(deserialize_with = "list")]
    pub(crate) allow: Vec<NodeId>,

    /// Let every node connect
    #[arg(long)]
    pub(crate) allow_anyone: bool,

    /// Let FILE say which nodes may connect, and what each may do; `vatmux policy check FILE` shows what it comes to
    #[arg(long, value_name = "FILE")]
    #[serde(deserialize_with = "path")]
    pub(crate) policy: Option<PathBuf>,

    /// Offer what a plain Cap'n Proto RPC server offers at ADDR (unix:PATH or tcp:HOST:PORT) as the service NAME; may be
    /// given several times. The server does not learn which node calls it
    #[arg(long, value_name = "NAME=ADDR")]
    #[serde(deserialize_with = "list")]
    pub(crate) import: Vec<Import>,

    /// Let --import use TCP addresses that are not this machine's alone: what passes there can be read and changed on the
    /// way
    #[arg(long)]
    pub(crate) insecure_plain_tcp: bool,

    /// A node that may see all of this one with `vatmux stat`, and not only its own session; it must be allowed as well;
    /// may be given several times
    #[arg(long, value_name = "NODE-ID", num_args = 1..)]
    #[serde(deserialize_with = "list")]
    pub(crate) operator: Vec<NodeId>,

    /// Threads that serve; one for each processor unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(WORKERS))]
    #[serde(deserialize_with = "workers")]
    pub(crate) workers: Option<u16>,
}

impl Serve {
    /// What is said in either: the lists of both, and of the rest what these flags say rather than what `file` says.
    pub(crate) fn over(self, file: Self) -> Self {
        Self {
            dir: self.dir.or(file.dir),
            config: self.config,
            check: self.check,
            bundles: self.bundles.or(file.bundles),
            publisher: [file.publisher, self.publisher].concat(),
            installer: [file.installer, self.installer].concat(),
            bundle_quota: self.bundle_quota.or(file.bundle_quota),
            state: self.state.or(file.state),
            registrar: [file.registrar, self.registrar].concat(),
            listen: [file.listen, self.listen].concat(),
            allow: [file.allow, self.allow].concat(),
            allow_anyone: self.allow_anyone || file.allow_anyone,
            policy: self.policy.or(file.policy),
            import: [file.import, self.import].concat(),
            insecure_plain_tcp: self.insecure_plain_tcp || file.insecure_plain_tcp,
            operator: [file.operator, self.operator].concat(),
            workers: self.workers.or(file.workers),
        }
    }

    /// The same, with relative paths taken to begin in `directory`.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        let paths =
            [&mut self.dir, &mut self.bundles, &mut self.state, &mut self.policy].into_iter().flatten();
        let endpoints = self.listen.iter_mut().chain(self.import.iter_mut().map(|import| &mut import.server));
        let sockets = endpoints.filter_map(|endpoint| match endpoint {
            Endpoint::Unix(path) => Some(path),
            Endpoint::Tcp { .. } => None,
        });
        for path in paths.chain(sockets) {
            *path = directory.join(&path);
        }
        self
    }
}

/// A plain server and what it is called as a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) server: Endpoint,
}

impl FromStr for Import {
    type Err = String;

    /// `NAME=unix:PATH` or `NAME=tcp:HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, server) =
            text.split_once('=').ok_or("it looks like NAME=unix:PATH or NAME=tcp:HOST:PORT")?;
        let server = match server.strip_prefix("tcp:") {
            Some(address) => tcp(address)?,
            None if server.starts_with("unix:") => {
                server.parse().map_err(|error: AddressError| error.to_string())?
            }
            None => return Err("behind the = comes unix:PATH or tcp:HOST:PORT".into()),
        };
        Ok(Self { name: name.to_owned(), server })
    }
}

/// What is written as a text, as a flag has it. It is read while the parser is at the text, so that an error has its place.
struct Written<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Reader<T> {
            type Value = Written<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Written<T>, E> {
                text.parse().map(Written).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

fn list<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let all = Vec::<Written<T>>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|Written(one)| one).collect())
}

/// A path that names something: clap takes no empty one either.
fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.as_os_str().is_empty() {
        return Err(D::Error::invalid_value(Unexpected::Str(""), &"a path"));
    }
    Ok(Some(path))
}

fn workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let workers = u16::try_from(number).ok().filter(|_| WORKERS.contains(&number));
    let expected = format!("a number from {} to {}", WORKERS.start(), WORKERS.end());
    workers.map(Some).ok_or_else(|| D::Error::invalid_value(Unexpected::Signed(number), &expected.as_str()))
}

/// Examples, and what `--json` prints.
pub(super) const HELP: &str = "\
Example:
  vatmux serve ./docs --listen 127.0.0.1:7070 --allow vat1…

  vatmux serve --import org.example.search=unix:/run/search.sock --listen 127.0.0.1:7070 --allow vat1…
  vatmux serve --bundles ./store --publisher vatpub1… --installer vat1… --listen 127.0.0.1:7070 --allow vat1…
  vatmux serve --state ./state --policy policy.toml --listen 127.0.0.1:7070
  vatmux serve --config node.toml --check

Prints one address per listener as soon as it listens. Comings and goings of peers are told on standard error, and so is each \
change of state or bundles that a peer makes or is refused: who, what, and what came of it (--log off is silent of those). \
Ends on SIGINT and SIGTERM.

--allow, --installer, --registrar and --operator are short for a policy that gives every named node all of the state and all \
services. With --policy a node has what the file says, and nothing else; to change it, start the node again.

The keys of a config are the names of the flags, and `dir`; docs/guide/serve.md has an example. Relative paths in it begin where it is.

With --import the bootstrap capability of a plain Cap'n Proto RPC server (C++, Python, Go …) becomes a service; every \
stream of a peer is a connection of its own to it. `vatmux bridge` is the way back.

JSON: {\"node_id\", \"listening\": [ADDRESS, …]} on standard output; on standard error one object per event: \
{\"event\": \"connected\"|\"left\"|\"refused\"|\"dropped\"|\"accept_failed\"|\"task_panicked\"|\"worker_died\"|\"untold\"|\"import_failed\", \"detail\"} and \"peer\" where it is known. \
With --check: {\"dir\", \"bundles\", \"publishers\", \"bundle_quota_bytes\", \"state\", \"imports\": [{\"name\", \"server\"}, …], \"listen\", \
\"workers\"}, where what is not said is null, and then one object per node as of `vatmux policy check`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_a_name_and_where_its_server_is() {
        let at = |text: &str| {
            format!("a.b={text}").parse::<Import>().map(|import| (import.name, import.server.to_string()))
        };
        assert_eq!(at("tcp:[::1]:70"), Ok(("a.b".into(), "[::1]:70".into())));
        assert_eq!(at("tcp:127.0.0.1:70"), Ok(("a.b".into(), "127.0.0.1:70".into())));
        #[cfg(unix)]
        assert_eq!(at("unix:/a=b"), Ok(("a.b".into(), "unix:/a=b".into())));
        for wrong in ["", "127.0.0.1:70", "tcp:", "tcp:unix:/x", "tcp:host", "tcp:host:65536", "unix:"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        assert!("a.b".parse::<Import>().is_err());
        assert!(tcp("unix:/x").is_err());
    }
}
