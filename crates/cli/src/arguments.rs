//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use vatmux::statefs::{Key, Mark, Prefix, Version};
use vatmux_host::{AddressError, Endpoint, NodeAddress};

mod bundle;
mod serve;
mod services;

pub(crate) use bundle::{Bundle, BundleRef, Install, Pack, Trusted, Unpack, Verify};
pub(crate) use serve::{Import, Serve};
pub(crate) use services::{Services, ServicesBelow, ServicesName, ServicesWait};

/// The longest time that can be asked for, in seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;

/// The most pings of one command: their times are kept, 16 bytes each.
const MAX_PINGS: i64 = 1_000_000;

/// Serve a directory over one secure link, and read from nodes that serve.
#[derive(Debug, Parser)]
#[command(
    name = "vatmux",
    version,
    after_help = "Addresses look like vat://NODE-ID@host:port/path, or vat+unix://NODE-ID@SOCKET-PATH/path with the \
                  slashes of SOCKET-PATH written as %2F. `vatmux serve` prints its own.\n\nExit codes: 0 when all was done, \
                  1 when something could not be, 2 when it was asked wrongly, 130 when interrupted, 141 when \
                  nobody reads the output any more."
)]
pub(crate) struct Arguments {
    /// Keep this node's key in DIR instead of the user's configuration directory, or of what `VATMUX_HOME` names
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Write JSON, one value per line, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Give reaching a node, and then its handshake, this long each, instead of 10 s and 5 s
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Tell on standard error what goes on: sessions (-v), streams as well (-vv), calls as well (-vvv)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Tell on standard error what FILTER lets through, such as `debug`, or `vatmux_rpc=trace,vatmux_host=warn`
    #[arg(long, global = true, value_name = "FILTER", conflicts_with = "verbose")]
    pub(crate) log: Option<Targets>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print this node's id
    #[command(after_long_help = help::ID)]
    Id,
    /// Serve a directory, read-only, and keys and values to the nodes that are allowed
    #[command(after_long_help = serve::HELP)]
    Serve(Serve),
    /// List a directory
    #[command(after_long_help = help::LS)]
    Ls(Ls),
    /// Say what a path names or, without a path, what a node is doing
    #[command(after_long_help = help::STAT)]
    Stat(Stat),
    /// Write a file to standard output
    #[command(after_long_help = help::CAT)]
    Cat(Cat),
    /// Fetch a file, or a whole directory
    #[command(after_long_help = help::GET)]
    Get(Get),
    /// Offer a service of a node to programs that speak plain Cap'n Proto RPC
    #[command(after_long_help = help::BRIDGE)]
    Bridge(Bridge),
    /// Measure how long a node takes to answer
    #[command(after_long_help = help::PING)]
    Ping(Ping),
    /// Read and change the keys and values that a node keeps
    #[command(subcommand)]
    State(State),
    /// See who offers what through a node
    #[command(subcommand)]
    Services(Services),
    /// Check who may do what on a node
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Compile Cap'n Proto schemas, or show what they offer
    #[command(subcommand)]
    Schema(Schema),
    /// Call any method of any service whose schema is at hand
    #[command(after_long_help = help::CALL)]
    Call(Call),
    /// Make a crate with a service of its own: schema, server, client and tests
    #[command(after_long_help = help::NEW)]
    New(New),
    /// Pack, sign and verify bundles, and install them on nodes
    #[command(subcommand)]
    Bundle(Bundle),
    /// Show all of it at work: two nodes, a directory, a ping beside the transfer
    #[command(after_long_help = help::DEMO)]
    Demo(Demo),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print what each node may do by a policy, or what is wrong with it and where
    #[command(after_long_help = help::POLICY_CHECK)]
    Check(PolicyCheck),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheck {
    /// The policy
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The node
    pub(crate) address: NodeAddress,

    /// The method, behind the name of its service or of its interface
    #[arg(value_name = "SERVICE.METHOD")]
    pub(crate) method: String,

    /// The parameters, as a JSON object; those that are left out have their defaults
    #[arg(value_name = "JSON")]
    pub(crate) parameters: Option<String>,

    /// The schema that says what the service is; may be given several times. Without it: those of the shipped services
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) imports: Imports,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The directory to make, whose last part names the crate and its service
    #[arg(value_name = "NAME")]
    pub(crate) directory: PathBuf,

    /// Use the checkout of vatmux in DIR, and what its Cargo.lock names, instead of a published version
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// The directory
    pub(crate) address: NodeAddress,

    /// Show kinds, modes, sizes and times (UTC)
    #[arg(short, long)]
    pub(crate) long: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// The path; or the node, where there is none
    pub(crate) address: NodeAddress,

    /// Describe the served directory itself where there is no path
    #[arg(short, long)]
    pub(crate) files: bool,

    /// Where the path names a symbolic link, describe what it leads to
    #[arg(short = 'L', long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The file
    pub(crate) address: NodeAddress,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The file, or with -r the directory
    pub(crate) address: NodeAddress,

    /// What the copy will be called; for a file also a directory to put it in [default: its own name, here]
    pub(crate) dest: Option<PathBuf>,

    /// Fetch a directory with all that is in it; DEST must not exist yet, or be an empty directory
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Replace the file DEST if there is one; directories are never replaced
    #[arg(short, long, conflicts_with = "recursive")]
    pub(crate) force: bool,

    /// With -r, also make the symbolic links that lead out of the directory; they are left out otherwise
    #[arg(long, requires = "recursive")]
    pub(crate) outside_links: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bridge {
    /// The node
    pub(crate) address: NodeAddress,

    /// The service's name on it
    pub(crate) service: String,

    /// Listen on a Unix socket, which only this user can connect to; may be given several times
    #[arg(long, value_name = "PATH", required_unless_present = "tcp")]
    pub(crate) unix: Vec<PathBuf>,

    /// Listen on HOST:PORT (port 0: any free one), which everybody on this machine can connect to; may be given several
    /// times
    #[arg(long, value_name = "HOST:PORT", value_parser = tcp)]
    pub(crate) tcp: Vec<Endpoint>,

    /// Let --tcp listen where others than this machine reach it: whoever does can use the service, and what passes can be
    /// read and changed on the way
    #[arg(long, requires = "tcp")]
    pub(crate) insecure_plain_tcp: bool,

    /// How urgent the service's streams are, from 0, the first, to 7; the node refuses more than it offers
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u8).range(0..=7))]
    pub(crate) priority: u8,

    /// How long a call through the bridge may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) call_timeout: Duration,

    /// How many programs may be connected at once
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_connections: u16,

    /// Let a program go over whose connection nothing has passed for this long; for ever unless given
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The node
    pub(crate) address: NodeAddress,

    /// How many times
    #[arg(short, long, value_name = "COUNT", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=MAX_PINGS))]
    pub(crate) count: u32,

    /// How long to wait in between
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = pause)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// Write a key's value to standard output
    #[command(after_long_help = help::STATE_GET)]
    Get(StateKey),
    /// Give a key a value, and print its version when it is durable
    #[command(after_long_help = help::STATE_PUT)]
    Put(StatePut),
    /// Remove a key, and print the version that its value had when that is durable
    #[command(after_long_help = help::STATE_DELETE)]
    Delete(StateDelete),
    /// List keys
    #[command(after_long_help = help::STATE_LIST)]
    List(StateList),
    /// Wait until all that was changed before is durable
    #[command(after_long_help = help::STATE_SYNC)]
    Sync(StateSync),
    /// Print a mark of all that was changed by now, from which one can tell later whether the node went back
    #[command(after_long_help = help::STATE_MARK)]
    Mark(StateMark),
    /// Say how many keys and bytes there are
    #[command(after_long_help = help::STATE_USAGE)]
    Usage(StateUsage),
}

#[derive(Debug, Args)]
pub(crate) struct StateKey {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// The key: 1 to 255 bytes, in segments separated by `/`
    pub(crate) key: Key,
}

#[derive(Debug, Args)]
pub(crate) struct StatePut {
    #[command(flatten)]
    pub(crate) of: StateKey,

    /// The file that has the value, of up to 64 MiB; standard input unless given
    pub(crate) file: Option<PathBuf>,

    /// The value itself
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) value: Option<String>,

    /// Only if there is no such key
    #[arg(long)]
    pub(crate) if_absent: bool,

    /// Only if there is such a key, of any version
    #[arg(long, conflicts_with = "if_absent")]
    pub(crate) if_present: bool,

    /// Only if the key has this version
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["if_absent", "if_present"], value_parser = version)]
    pub(crate) if_version: Option<Version>,
}

#[derive(Debug, Args)]
pub(crate) struct StateDelete {
    #[command(flatten)]
    pub(crate) of: StateKey,

    /// Only if the key has this version
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) if_version: Option<Version>,
}

#[derive(Debug, Args)]
pub(crate) struct StateList {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// What the keys begin with; all keys unless given
    #[arg(default_value = "")]
    pub(crate) prefix: Prefix,

    /// Show versions and sizes
    #[arg(short, long)]
    pub(crate) long: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StateSync {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,
}

#[derive(Debug, Args)]
pub(crate) struct StateMark {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// An earlier mark: fail if the node has lost anything that it had acknowledged then
    #[arg(long, value_name = "MARK", default_value = "")]
    pub(crate) since: Mark,
}

#[derive(Debug, Args)]
pub(crate) struct StateUsage {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// What the keys begin with; all keys unless given
    #[arg(default_value = "")]
    pub(crate) prefix: Prefix,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Compile schemas and hand them to code generators, as `capnp compile` does
    #[command(after_long_help = help::COMPILE)]
    Compile(Compile),
    /// Show the services of schemas: their methods, annotations and documentation
    #[command(after_long_help = help::DESCRIBE)]
    Describe(Describe),
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// The schemas
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Hand the compiled schemas to the plugin `capnpc-PLUGIN`, or to the program PLUGIN if it has a slash in it, which
    /// runs in DIR; with `-`, write them to standard output; may be given several times
    #[arg(short, long, value_name = "PLUGIN[:DIR]", required = true, value_parser = output)]
    pub(crate) output: Vec<Output>,

    /// Take PREFIX off the names of FILEs for the names of what is generated; may be given several times
    #[arg(long, value_name = "PREFIX")]
    pub(crate) src_prefix: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) imports: Imports,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// The schemas
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) imports: Imports,
}

/// Where absolute imports are found.
#[derive(Debug, Args)]
pub(crate) struct Imports {
    /// Look for imports that start with a slash in PATH; may be given several times
    #[arg(short = 'I', long, value_name = "PATH")]
    pub(crate) import_path: Vec<PathBuf>,

    /// Look for them there only: neither where the system has schemas nor among those that are built in
    #[arg(long)]
    pub(crate) no_standard_import: bool,
}

/// What becomes of compiled schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) generator: Generator,
    /// Where it is generated; here unless given.
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Generator {
    /// The request itself, on standard output.
    Dump,
    /// A name, or a path.
    Plugin(OsString),
}

/// The command line of whoever calls this program `capnp`, which is what another schema compiler is called.
#[derive(Debug, Parser)]
#[command(
    name = "capnp",
    about = "Compile Cap'n Proto schemas, in the place of the C++ tool",
    disable_version_flag = true
)]
pub(crate) struct CapnpArguments {
    /// Print the version of the C++ tool whose place this takes
    #[arg(long)]
    pub(crate) version: bool,

    #[command(subcommand)]
    pub(crate) command: Option<CapnpCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapnpCommand {
    /// Compile schemas and hand them to code generators
    Compile(CapnpCompile),
    /// Print a new id for a schema
    Id,
}

#[derive(Debug, Args)]
pub(crate) struct CapnpCompile {
    #[command(flatten)]
    pub(crate) compile: Compile,

    /// Accepted, and of no effect
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The directory to serve and fetch; the project's documentation unless given
    pub(crate) dir: Option<PathBuf>,
}

/// `-`, `PLUGIN` or `PLUGIN:DIR`.
fn output(text: &str) -> Result<Output, String> {
    let (name, directory) = match text.split_once(':') {
        Some((_, "")) => return Err("behind the colon comes a directory".into()),
        Some((name, directory)) => (name, Some(PathBuf::from(directory))),
        None => (text, None),
    };
    let generator = match name {
        "" => return Err("it must name a plugin, or be - for standard output".into()),
        "-" if directory.is_some() => return Err("standard output is in no directory".into()),
        "-" => Generator::Dump,
        name => Generator::Plugin(name.into()),
    };
    Ok(Output { generator, directory })
}

/// An address that names a node, and nothing on it.
fn node(text: &str) -> Result<NodeAddress, String> {
    let address: NodeAddress = text.parse().map_err(|error: AddressError| error.to_string())?;
    if address.path.is_empty() {
        return Ok(address);
    }
    Err(format!(
        "the address names a path on the node: write the key `{}` behind it, after a space",
        address.path
    ))
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().ok().and_then(Version::new).ok_or_else(|| "a version is a number from 1 on".to_owned())
}

/// `HOST:PORT`.
fn tcp(text: &str) -> Result<Endpoint, String> {
    match text.parse() {
        Ok(endpoint @ Endpoint::Tcp { .. }) => Ok(endpoint),
        Ok(Endpoint::Unix(_)) | Err(_) => Err("it must be HOST:PORT, with a port from 0 to 65535".into()),
    }
}

/// More than nothing, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    match pause(text)? {
        Duration::ZERO => Err("it must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// From nothing up to a day.
fn pause(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) | Err(_) => Err(format!("it must be a number of seconds, from 0 to {MAX_SECONDS}")),
    }
}

/// Examples, and what `--json` prints.
mod help {
    pub(super) const ID: &str = "\
Example:
  vatmux id

The key is made when it is first needed, in the file node.key, which only its owner can read. Who has that file can \
be this node.

JSON: {\"node_id\", \"key_file\"}";

    pub(super) const CALL: &str = "\
Examples:
  vatmux call vat://vat1…@127.0.0.1:7070/ vatmux.packagefs.stat '{\"path\": \"bash/README\"}'
  vatmux call vat://vat1…@127.0.0.1:7070/ org.example.hello.greet '{\"name\": \"Ada\"}' --schema schema/hello.capnp

Numbers, texts, lists and structs are what JSON has for them; words of an enum are texts, bytes are \"0x0aff\" or [10, 255], of \
a union one member is given. A capability in the results is shown as {\"capability\": \"File\"}; it is dropped when \
the command ends.

A status that says that the service cannot is an error, and so the exit code is 1.

JSON: the results as they are";

    pub(super) const NEW: &str = "\
Example:
  vatmux new hello && cd hello && cargo test

The crate says what everything in it is for; docs/guide/first-service.md goes through it.

JSON: {\"directory\", \"name\"}";

    pub(super) const POLICY_CHECK: &str = "\
Example:
  vatmux policy check policy.toml

What is in a policy, docs/guide/access.md says.

JSON: one object per node: {\"node_id\" (null for anyone else), \"name\", \"operator\", \"files\", \"state\": {\"read\": [PREFIX, …], \
\"write\": [PREFIX, …]}, \"bundles\": [{\"names\": [PATTERN, …], \"publishers\": [PUBLISHER, …] or null for all, \"may\": [RIGHT, …]}, \
…], \"samgr\": {\"see\": [PATTERN, …], \"register\": [PATTERN, …]}, \"services\": [PATTERN, …]}";

    pub(super) const LS: &str = "\
Example:
  vatmux ls -l vat://vat1…@127.0.0.1:7070/guide

JSON: one object per entry: {\"name\", \"kind\": \"file\"|\"directory\"|\"symlink\"|\"other\", \"mode\": \"0644\", \
\"size_bytes\", \"modified_ns\", \"link_target\"}; modified_ns counts from 1970 and is null where it is not known";

    pub(super) const STAT: &str = "\
Example:
  vatmux stat vat://vat1…@127.0.0.1:7070/guide/first.md
  vatmux stat vat://vat1…@127.0.0.1:7070
  vatmux stat --files vat://vat1…@127.0.0.1:7070

With a path, or with --files or -L, it is about files. Without, it is about the node: its sessions, streams, credit, \
queues, calls (by service, and by method where the node has the schema) and rejections, in its own words: what it has asked are its calls, what it has served are its peers'. It \
shows all of that to its operators (vatmux serve --operator), and to others what is theirs: this session.

JSON of a path: {\"path\", \"kind\", \"mode\", \"size_bytes\", \"modified_ns\", \"link_target\"}, as for ls. Of a node: first \
{\"node_id\", \"scope\": \"own_session\"|\"whole_node\", \"software\", \"uptime_seconds\", \"limits\", \"counters\", \"services\"}, then one \
object per session: {\"session\", \"peer\", \"age_seconds\", \"traffic\", \"frames\", \"rejections\", \"streams\", \"services\"}; what the \
node does not show is null. A service has {\"asked\", \"served\", \"methods\": [{\"method\", \"asked\", \"served\"}, …]}: the methods that \
were called, where the node knows their names, at most 64 of each";

    pub(super) const CAT: &str = "\
Example:
  vatmux cat vat://vat1…@127.0.0.1:7070/guide/first.md | less

With --json the file is written as it is, and errors are JSON.";

    pub(super) const GET: &str = "\
Example:
  vatmux get -r vat://vat1…@127.0.0.1:7070/guide ./guide

Nothing gets its name before it is complete and checked: whatever fails before, nothing has changed. Entries that \
cannot be had (such as FIFOs, or links that lead out of the directory) are left out, told on standard error, and make \
the exit code 1.

JSON: {\"path\", \"destination\", \"files\", \"bytes\", \"directories\", \"links\", \"seconds\", \
\"skipped\": [{\"path\", \"reason\"}, …]}";

    pub(super) const STATE_GET: &str = "\
Example:
  vatmux state get vat://vat1…@127.0.0.1:7070 app/settings

With --json the value is written as it is, and errors are JSON.";

    pub(super) const STATE_PUT: &str = "\
Example:
  vatmux state put vat://vat1…@127.0.0.1:7070 app/settings settings.json
  vatmux state put vat://vat1…@127.0.0.1:7070 app/leader --value node-7 --if-absent

What it prints is durable: it survives the loss of the node's process and of its power. Where it fails, the value is the \
one before; where the link is lost meanwhile, it is the one before or the new one, whole.

JSON: {\"key\", \"version\", \"size_bytes\"}";

    pub(super) const STATE_DELETE: &str = "\
Example:
  vatmux state delete vat://vat1…@127.0.0.1:7070 app/leader --if-version 17

JSON: {\"key\", \"version\"}";

    pub(super) const STATE_LIST: &str = "\
Example:
  vatmux state list -l vat://vat1…@127.0.0.1:7070 app/

JSON: one object per key: {\"key\", \"version\", \"size_bytes\"}";

    pub(super) const STATE_SYNC: &str = "\
Example:
  vatmux state sync vat://vat1…@127.0.0.1:7070

Prints the last version that the node gave out.

JSON: {\"version\"}";

    pub(super) const STATE_MARK: &str = "\
Example:
  vatmux state mark vat://vat1…@127.0.0.1:7070 > mark
  vatmux state mark vat://vat1…@127.0.0.1:7070 --since \"$(cat mark)\"

A node whose store was replaced by an older copy, or by another one, cannot show that it has what the mark is about, however much \
was changed since. The mark of a store in which nothing was ever changed is empty.

JSON: {\"mark\", \"version\"}";

    pub(super) const STATE_USAGE: &str = "\
Example:
  vatmux state usage vat://vat1…@127.0.0.1:7070 app/

JSON: {\"prefix\", \"keys\", \"value_bytes\", \"quota_bytes\"}; quota_bytes is what the store may hold in all, null \
where nothing bounds it";

    pub(super) const BRIDGE: &str = "\
Examples:
  vatmux bridge vat://vat1…@127.0.0.1:7070/ org.example.search --unix /run/user/1000/search.sock
  vatmux bridge vat://vat1…@127.0.0.1:7070/ vatmux.health --priority 0 --tcp 127.0.0.1:9000

Programs in C++, Python, Go or whatever has Cap'n Proto RPC connect there with its ordinary two-party protocol; their \
bootstrap capability is the service's. They act as this node: who can connect can do what this node may do.

Prints one address per listener as soon as the service has answered and programs can connect. Each program has a \
stream of its own, and its end touches no other. When the node is gone, programs are told so; the next one that connects \
has it dialed again. Comings and goings are told on standard error. Ends on SIGINT and SIGTERM.

JSON: {\"service\", \"node_id\", \"listening\": [ADDRESS, …]} on standard output; on standard error one object per event: \
{\"event\": \"connected\"|\"left\"|\"refused\"|\"dropped\"|\"accept_failed\", \"program\", \"detail\"}";

    pub(super) const PING: &str = "\
Example:
  vatmux ping -c 100 -i 0.1 vat://vat1…@127.0.0.1:7070/

JSON: one object per answer: {\"sequence\", \"seconds\"}; then {\"node_id\", \"count\", \"dial_seconds\", \"min_seconds\", \
\"median_seconds\", \"p99_seconds\", \"max_seconds\"}";

    pub(super) const COMPILE: &str = "\
Example:
  vatmux schema compile -o- service.capnp > service.request
  vatmux schema compile -I include -oc++:generated --src-prefix=schema schema/service.capnp

It takes the place of `capnp compile` of the C++ tool, for which nothing has to be installed. Called by the name \
capnp (a link to this program will do), it is `capnp compile`, for build systems that ask for that.

What is wrong with a schema is told on standard error, all of it.

JSON: on standard error, one object per thing that is wrong: {\"file\", \"line\", \"column\", \"message\", \"labels\": [{\"file\", \
\"line\", \"column\", \"text\"}, …], \"help\"}";

    pub(super) const DESCRIBE: &str = "\
Example:
  vatmux schema describe schema/packagefs.capnp

JSON: one object per interface: {\"interface\", \"id\", \"file\", \"doc\", \"parameters\", \"extends\", \"annotations\": [{\"name\", \"value\"}, …], \
\"methods\": [{\"name\", \"ordinal\", \"doc\", \"annotations\", \"implicit_parameters\", \"parameters\", \"results\"}, …]}; parameters and results \
are a list of {\"name\", \"type\", \"default\", \"annotations\"} or the name of a struct, and results are \"stream\" where the method streams";

    pub(super) const DEMO: &str = "\
Example:
  vatmux demo /usr/share/doc

Makes two nodes with fresh keys in this process, connects them over TCP on this machine, lists the directory, fetches \
it whole on one stream while pinging on another of higher priority, and compares every byte. A directory too small to \
be a load is fetched again and again, for a second and a half.

JSON: {\"directory\", \"server\", \"client\", \"handshake_seconds\", \"entries\", \"rounds\", \"files\", \"directories\", \
\"links\", \"bytes\" (of one round), \"total_bytes\", \"fetch_seconds\", \
\"received_wire_bytes\", \"received_records\", \"bytes_per_second\", \"streams\": [{\"service\", \"priority\"}, …], \"ping_idle\", \
\"ping_loaded\": {\"count\", \"min_seconds\", \"median_seconds\", \"p99_seconds\", \"max_seconds\"}, \"skipped\": \
[{\"path\", \"reason\"}, …], \"equal\": true}";
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_output_is_a_plugin_and_perhaps_a_directory() {
        let plugin = |name: &str| Generator::Plugin(name.into());
        let at = |text: &str| output(text).map(|output| (output.generator, output.directory));
        assert_eq!(at("-"), Ok((Generator::Dump, None)));
        assert_eq!(at("c++"), Ok((plugin("c++"), None)));
        assert_eq!(at("./a/b:c:d"), Ok((plugin("./a/b"), Some("c:d".into()))));
        for wrong in ["", ":", ":a", "a:", "-:a"] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_of_the_cpp_tool_does_not_contradict_itself() {
        CapnpArguments::command().debug_assert();
        let words = [
            "capnp",
            "compile",
            "-o",
            "-",
            "-Ia",
            "-I",
            "b",
            "--import-path=c",
            "-orust:d",
            "--src-prefix=e",
            "f",
        ];
        let parsed = CapnpArguments::try_parse_from(words).unwrap();
        let Some(CapnpCommand::Compile(CapnpCompile { compile, .. })) = parsed.command else {
            panic!("{parsed:?}")
        };
        assert_eq!(compile.imports.import_path, ["a", "b", "c"].map(PathBuf::from));
        assert_eq!(compile.output.len(), 2);
        assert_eq!((compile.src_prefix, compile.files), (vec!["e".into()], vec!["f".into()]));
    }

    #[test]
    fn seconds_are_read_with_fractions_and_bounds() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(pause("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("86400"), Ok(Duration::from_hours(24)));
        for wrong in ["0", "-1", "86401", "inf", "NaN", "1e999", "ten", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
