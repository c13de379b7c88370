//! OpenSSH's sftp, reading the same file through a real sshd on loopback, with the configuration that it has of itself.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::figures::{Figures, Purpose};
use crate::payload::Source;
use crate::side::{self, DONE_WITHIN, READY_WITHIN};
use crate::transfer;
use crate::usage::Usage;

/// Where sshd wants an empty directory when it is run by root; the system's own start script makes it.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// What sftp answers to `pwd`, and so says that everything before it is done.
const ANSWER_TO_PWD: &str = "Remote working directory";

/// Programs, fresh keys and a configuration of OpenSSH.
pub(crate) struct Sftp {
    client: PathBuf,
    server: PathBuf,
    directory: TempDir,
}

impl Sftp {
    /// `Ok(None)` where OpenSSH's client or server is not installed.
    pub(crate) fn find() -> Result<Option<Self>> {
        let (Some(client), Some(server), Some(keygen)) = (find("sftp"), find("sshd"), find("ssh-keygen"))
        else {
            return Ok(None);
        };
        let directory = tempfile::Builder::new().prefix("vatmux-bench-ssh-").tempdir()?;
        for name in ["host", "user"] {
            let made = Command::new(&keygen)
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(directory.path().join(name))
                .status()
                .context("cannot run ssh-keygen")?;
            ensure!(made.success(), "ssh-keygen failed: {made}");
        }
        fs::copy(directory.path().join("user.pub"), directory.path().join("authorized"))?;
        let path = directory.path().display();
        let configuration = format!(
            "HostKey {path}/host\nAuthorizedKeysFile {path}/authorized\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PidFile none\nPrintLastLog no\nLogLevel ERROR\nSubsystem sftp internal-sftp\n"
        );
        fs::write(directory.path().join("configuration"), configuration)?;
        // Where this fails sshd says so, if it needs the directory at all.
        let _ = fs::create_dir(PRIVILEGE_SEPARATION);
        Ok(Some(Self { client, server, directory }))
    }

    /// One transfer of `file`, which has `bytes` bytes. In a warm-up it is written to a file and compared.
    pub(crate) fn run(&self, file: &Path, bytes: u64, checksum: u64, purpose: Purpose) -> Result<Figures> {
        let copy = file.with_extension("sftp");
        let destination = if purpose == Purpose::WarmUp { &copy } else { Path::new("/dev/null") };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();

        let dialed = Instant::now();
        let mut client = Process(self.client(port)?);
        let server = Process(self.accept(listener)?);
        let mut input = client.0.stdin.take().context("sftp has a standard input")?;
        let lines = side::lines_of(client.0.stdout.take().context("sftp has a standard output")?);
        order(&mut input, &["pwd"])?;
        wait_for_answer(&lines, READY_WITHIN).with_context(|| self.log())?;
        let handshake = dialed.elapsed();

        let usage = |process: &Process| Usage::of(process.0.id());
        let before = (usage(&server)?, usage(&client)?);
        let asked = Instant::now();
        let get = format!("get \"{}\" \"{}\"", file.display(), destination.display());
        order(&mut input, &[&get, "pwd"])?;
        wait_for_answer(&lines, DONE_WITHIN).with_context(|| self.log())?;
        let seconds = asked.elapsed().as_secs_f64();
        let after = (usage(&server)?, usage(&client)?);
        drop(input);
        if purpose == Purpose::WarmUp {
            let received = Source::File { path: copy.clone() }.checksum(1 << 20);
            fs::remove_file(&copy)?;
            ensure!(received? == checksum, "sftp wrote other bytes than were sent");
        }
        Ok(transfer::figures(seconds, bytes, (before.0, after.0), (before.1, after.1))
            .with("handshake_ms", handshake.as_secs_f64() * 1e3))
    }

    fn client(&self, port: u16) -> Result<Child> {
        let option = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
        let identity = self.directory.path().join("user");
        Command::new(&self.client)
            .args(["-q", "-b", "-", "-F", "none"])
            .args(option("Port", &port.to_string()))
            .args(option("IdentityFile", &identity.display().to_string()))
            .args(option("IdentitiesOnly", "yes"))
            .args(option("StrictHostKeyChecking", "no"))
            .args(option("UserKnownHostsFile", "/dev/null"))
            .args(option("LogLevel", "ERROR"))
            .arg("127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run sftp")
    }

    /// Runs sshd on the first connection, so that no port is taken before it is known.
    fn accept(&self, listener: TcpListener) -> Result<Child> {
        let (sender, accepted) = mpsc::channel();
        thread::spawn(move || sender.send(listener.accept()));
        let (stream, _) = accepted.recv_timeout(READY_WITHIN).context("sftp did not connect")??;
        stream.set_nodelay(true)?;
        Command::new(&self.server)
            .args(["-i", "-f"])
            .arg(self.directory.path().join("configuration"))
            .arg("-E")
            .arg(self.directory.path().join("log"))
            .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(stream)))
            .spawn()
            .context("cannot run sshd")
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        format!("sshd says: {}", if log.is_empty() { "nothing" } else { log.trim() })
    }
}

/// Ends with its owner: a client whose input is closed, a server whose client is gone.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        side::end(&mut self.0);
    }
}

fn order(input: &mut ChildStdin, commands: &[&str]) -> Result<()> {
    let text: String = commands.iter().flat_map(|command| [command, "\n"]).collect();
    input.write_all(text.as_bytes()).context("sftp takes no commands any more")
}

fn wait_for_answer(lines: &Receiver<String>, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line =
            lines.recv_timeout(left).map_err(|error| anyhow!("sftp did not do as it was told: {error}"))?;
        if line.starts_with(ANSWER_TO_PWD) {
            return Ok(());
        }
    }
}

/// A program on the search path, or where the system keeps its servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}
