//! What is to be served: what the flags say, and what the config does.

use std::path::{Path, PathBuf};

use vatmux::toml_file::{self, Misplaced, ReadFileError};

use crate::arguments::Serve;
use crate::failure::Failure;

/// What cannot be said together: the second makes the first mean nothing, or something else.
const EXCLUSIVE: [(&str, &str); 7] = [
    ("dir", "bundles"),
    ("allow-anyone", "allow"),
    ("policy", "allow"),
    ("policy", "allow-anyone"),
    ("policy", "installer"),
    ("policy", "operator"),
    ("policy", "registrar"),
];

/// What is about something else that has to be there.
const NEEDS: [(&str, &str); 4] = [
    ("publisher", "bundles"),
    ("installer", "bundles"),
    ("bundle-quota", "bundles"),
    ("insecure-plain-tcp", "import"),
];

/// What makes a node that offers something. Each has a registry, where a policy and registrars may let others offer.
const OFFERS: [&str; 6] = ["dir", "bundles", "state", "import", "registrar", "policy"];

/// The flags together with the config that they name, once both make sense together.
pub(super) fn settled(flags: &Serve) -> Result<Serve, Failure> {
    let file = flags.config.as_deref().map(read).transpose()?;
    let sources = Sources { flags, file: flags.config.as_deref().zip(file.as_ref()) };
    sources.judge()?;
    Ok(flags.clone().over(file.unwrap_or_default()))
}

/// A config, with its paths as they are called from here.
fn read(path: &Path) -> Result<Serve, Failure> {
    let config: Serve = toml_file::read("config", path, |text| {
        toml::from_str(text).map_err(|error| Misplaced::parsing(text, &error))
    })?;
    let directory = std::path::absolute(path).map_err(|error| ReadFileError::Io {
        what: "config",
        path: path.to_owned(),
        error,
    })?;
    Ok(config.within(directory.parent().unwrap_or(&directory)))
}

/// Who said what.
struct Sources<'a> {
    flags: &'a Serve,
    file: Option<(&'a Path, &'a Serve)>,
}

impl Sources<'_> {
    fn judge(&self) -> Result<(), Failure> {
        for (one, other) in EXCLUSIVE {
            if let (Some(one), Some(other)) = (self.said(one), self.said(other)) {
                return Err(usage(&format!("{one} cannot be used with {other}")));
            }
        }
        for (one, other) in NEEDS {
            if let Some(said) = self.said(one)
                && self.said(other).is_none()
            {
                return Err(usage(&format!("{said} is about {flag}, which is missing", flag = flag(other))));
            }
        }
        if !OFFERS.iter().any(|name| self.said(name).is_some()) {
            let flags: Vec<_> = OFFERS.iter().map(|name| flag(name)).collect();
            return Err(usage(&format!("there is nothing to serve: add one of {}", flags.join(", "))));
        }
        if self.said("listen").is_none() {
            return Err(usage("the node must listen somewhere: add --listen ADDR"));
        }
        Ok(())
    }

    /// Where this was said, for people; `None` where it was not.
    fn said(&self, name: &str) -> Option<String> {
        if names(self.flags).contains(&name) {
            return Some(flag(name));
        }
        let (path, _) = self.file.filter(|(_, file)| names(file).contains(&name))?;
        Some(format!("`{name}` in `{}`", path.display()))
    }
}

/// How the command line says it.
fn flag(name: &str) -> String {
    if name == "dir" { "DIR".to_owned() } else { format!("--{name}") }
}

fn usage(problem: &str) -> Failure {
    Failure::Usage(format!("{problem}; see: vatmux serve --help"))
}

/// What is said of all that this module judges, by the names of the flags.
fn names(serve: &Serve) -> Vec<&'static str> {
    let some = |path: &Option<PathBuf>| path.is_some();
    let all = [
        ("dir", some(&serve.dir)),
        ("bundles", some(&serve.bundles)),
        ("publisher", !serve.publisher.is_empty()),
        ("installer", !serve.installer.is_empty()),
        ("bundle-quota", serve.bundle_quota.is_some()),
        ("state", some(&serve.state)),
        ("registrar", !serve.registrar.is_empty()),
        ("listen", !serve.listen.is_empty()),
        ("allow", !serve.allow.is_empty()),
        ("allow-anyone", serve.allow_anyone),
        ("policy", some(&serve.policy)),
        ("import", !serve.import.is_empty()),
        ("insecure-plain-tcp", serve.insecure_plain_tcp),
        ("operator", !serve.operator.is_empty()),
    ];
    all.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
}
