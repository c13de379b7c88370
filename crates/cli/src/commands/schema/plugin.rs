//! Code generators: programs that read a request from standard input and write files where they are run.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::failure::Failure;

/// A code generator that is there, and the directory that it is to write to.
pub(crate) struct Plugin {
    program: PathBuf,
    directory: PathBuf,
}

impl Plugin {
    /// Looks a plugin up: by its path if it is one, or else as `capnpc-NAME` among the programs of this user.
    pub(crate) fn find(name: &OsStr, directory: Option<&Path>) -> Result<Self, Failure> {
        let here = env::current_dir().map_err(Failure::system("the current directory"))?;
        let directory = here.join(directory.unwrap_or(Path::new("")));
        match fs::metadata(&directory) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Failure::local("write to", &directory)(io::ErrorKind::NotADirectory.into())),
            Err(error) => return Err(Failure::local("write to", &directory)(error)),
        }
        let path = Path::new(name);
        if name.as_encoded_bytes().contains(&b'/') {
            // It is run elsewhere than it was named.
            let program = here.join(path);
            if !program.is_file() {
                return Err(Failure::NoPluginAt { path: path.to_owned() });
            }
            return Ok(Self { program, directory });
        }
        let program = {
            let mut file = OsString::from("capnpc-");
            file.push(name);
            file.push(env::consts::EXE_SUFFIX);
            let directories = env::var_os("PATH").unwrap_or_default();
            let mut candidates =
                env::split_paths(&directories).map(|directory| here.join(directory).join(&file));
            candidates.find(|program| program.is_file())
        };
        match program {
            Some(program) => Ok(Self { program, directory }),
            None => Err(Failure::NoPlugin { name: name.to_string_lossy().into_owned() }),
        }
    }

    /// Hands it the request and waits until it is done.
    pub(crate) fn run(&self, request: &[u8]) -> Result<(), Failure> {
        let cannot_run = |error| Failure::Plugin { program: self.program.clone(), what: error };
        let mut plugin = Command::new(&self.program)
            .current_dir(&self.directory)
            // Some ask this instead of the system.
            .env("PWD", &self.directory)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| cannot_run(format!("cannot be started: {error}")))?;
        let written = match plugin.stdin.take() {
            Some(mut stdin) => stdin.write_all(request),
            None => Ok(()),
        };
        let status = plugin.wait().map_err(|error| cannot_run(format!("cannot be waited for: {error}")))?;
        if !status.success() {
            return Err(cannot_run(format!("failed: {status}")));
        }
        match written {
            Ok(()) => Ok(()),
            // It knew enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(cannot_run(format!("does not take the request: {error}"))),
        }
    }
}
