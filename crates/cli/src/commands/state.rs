//! `vatmux state`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use futures::AsyncWriteExt as _;
use serde_json::{Value, json};
use vatmux::statefs::{Condition, Entry, Key, MAX_PAGE_ENTRIES, MAX_VALUE_BYTES, RequestError};
use vatmux_host::NodeAddress;

use crate::arguments::{Arguments, State, StateDelete, StateKey, StateList, StateMark, StatePut, StateUsage};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::text::{self, Harmless};
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, state: &State) -> Result<(), Failure> {
    match state {
        State::Get(of) => visit(arguments, &of.address, |visit| get(visit, of)),
        State::Put(put) => {
            let value = value(put)?;
            let told = visit(arguments, &put.of.address, |visit| give(visit, put, &value))?;
            told.print(arguments.json)
        }
        State::Delete(of) => {
            visit(arguments, &of.of.address, |visit| delete(visit, of))?.print(arguments.json)
        }
        State::List(of) => visit(arguments, &of.address, |visit| list(visit, of, arguments.json)),
        State::Sync(of) => visit(arguments, &of.address, sync)?.print(arguments.json),
        State::Mark(of) => visit(arguments, &of.address, |visit| mark(visit, of))?.print(arguments.json),
        State::Usage(of) => visit(arguments, &of.address, |visit| usage(visit, of))?.print(arguments.json),
    }
}

fn visit<T, W: Future<Output = Result<T, Failure>>>(
    arguments: &Arguments,
    address: &NodeAddress,
    work: impl FnOnce(Visit) -> W,
) -> Result<T, Failure> {
    visit::pay(arguments, address, Calls::Short, None, work)
}

/// What a command has to tell when all is done.
struct Told {
    text: String,
    json: Value,
}

impl Told {
    fn print(&self, json: bool) -> Result<(), Failure> {
        output::print_line(&if json { self.json.to_string() } else { self.text.clone() })
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(RequestError) -> Failure {
    let doing = doing.into();
    move |error| Failure::State { doing, error }
}

fn named(what: &str, key: &Key) -> String {
    format!("{what} `{key}`")
}

async fn mark(visit: Visit, of: &StateMark) -> Result<Told, Failure> {
    let (_, mark) = visit.state()?.since(&of.since).await.map_err(failed("vouch for the state"))?;
    let json = json!({ "mark": mark.to_string(), "version": mark.version() });
    Ok(Told { text: mark.to_string(), json })
}

async fn get(visit: Visit, of: &StateKey) -> Result<(), Failure> {
    let found = visit.state()?.get(&of.key).await.map_err(failed(named("get", &of.key)))?;
    let value = found.ok_or_else(|| Failure::NoKey(of.key.clone()))?;
    let mut output = Output::standard()?;
    output.write_all(&value.bytes).await.map_err(Failure::output)?;
    output.finish().await
}

/// The value that is to be put, read before anybody is asked for anything.
fn value(put: &StatePut) -> Result<Vec<u8>, Failure> {
    if let Some(value) = &put.value {
        return Ok(value.clone().into_bytes());
    }
    let (source, path): (Box<dyn Read>, &Path) = match &put.file {
        Some(path) => (Box::new(File::open(path).map_err(Failure::local("read", path))?), path),
        None => (Box::new(io::stdin()), Path::new("standard input")),
    };
    let mut value = Vec::new();
    source.take(MAX_VALUE_BYTES + 1).read_to_end(&mut value).map_err(Failure::local("read", path))?;
    if value.len() as u64 > MAX_VALUE_BYTES {
        let too_large = io::Error::new(io::ErrorKind::FileTooLarge, "a value has at most 64 MiB");
        return Err(Failure::local("put", path)(too_large));
    }
    Ok(value)
}

async fn give(visit: Visit, put: &StatePut, value: &[u8]) -> Result<Told, Failure> {
    let condition = match put.if_version {
        Some(version) => Condition::Version(version),
        None if put.if_absent => Condition::Absent,
        None if put.if_present => Condition::Present,
        None => Condition::Any,
    };
    let key = &put.of.key;
    let version = visit.state()?.put(key, value, condition).await.map_err(failed(named("put", key)))?;
    Ok(Told {
        text: format!("version {version}"),
        json: json!({ "key": key.as_str(), "version": version.get(), "size_bytes": value.len() }),
    })
}

async fn delete(visit: Visit, delete: &StateDelete) -> Result<Told, Failure> {
    let key = &delete.of.key;
    let condition = delete.if_version.map_or(Condition::Any, Condition::Version);
    let version = visit.state()?.delete(key, condition).await.map_err(failed(named("delete", key)))?;
    Ok(Told {
        text: format!("version {version}"),
        json: json!({ "key": key.as_str(), "version": version.get() }),
    })
}

/// Prints each page as it comes.
async fn list(visit: Visit, list: &StateList, json: bool) -> Result<(), Failure> {
    let state = visit.state()?;
    let mut output = Output::standard()?;
    let mut after = None;
    loop {
        let page = state.list(&list.prefix, after.as_ref(), MAX_PAGE_ENTRIES as u32).await;
        let page = page.map_err(failed(format!("list `{}`", list.prefix)))?;
        output.print(&rendered(&page.entries, list.long, json)).await?;
        match page.next {
            Some(next) => after = Some(next),
            None => return output.finish().await,
        }
    }
}

fn rendered(entries: &[Entry], long: bool, json: bool) -> String {
    let mut text = String::new();
    for Entry { key, version, size_bytes } in entries {
        // Writing to a string cannot fail.
        let _ = if json {
            let entry = json!({ "key": key.as_str(), "version": version.get(), "size_bytes": size_bytes });
            writeln!(text, "{entry}")
        } else if long {
            writeln!(text, "{:>12} {size_bytes:>10} {}", version.get(), Harmless(key.as_str()))
        } else {
            writeln!(text, "{}", Harmless(key.as_str()))
        };
    }
    text
}

async fn sync(visit: Visit) -> Result<Told, Failure> {
    let version = visit.state()?.sync().await.map_err(failed("sync"))?;
    Ok(Told { text: format!("version {version}"), json: json!({ "version": version }) })
}

async fn usage(visit: Visit, of: &StateUsage) -> Result<Told, Failure> {
    let doing = format!("see the usage of `{}`", of.prefix);
    let (usage, quota_bytes) = visit.state()?.usage(&of.prefix).await.map_err(failed(doing))?;
    let mut text = format!(
        "{}, {}",
        text::count(usage.keys, "key", "keys"),
        text::count(usage.value_bytes, "byte", "bytes")
    );
    if quota_bytes > 0 {
        let _ = write!(text, "; the store may hold {}", text::count(quota_bytes, "byte", "bytes"));
    }
    Ok(Told {
        text,
        json: json!({
            "prefix": of.prefix.as_str(),
            "keys": usage.keys,
            "value_bytes": usage.value_bytes,
            "quota_bytes": (quota_bytes > 0).then_some(quota_bytes),
        }),
    })
}
