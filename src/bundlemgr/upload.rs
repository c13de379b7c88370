//! An upload, on a thread of its own: what it hashes, writes and syncs holds up nobody else.

use std::cell::RefCell;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use capnp::Error;
use futures::channel::oneshot;
use vatmux_noise::NodeId;
use vatmux_rpc::service::{Call, Refusal};

use super::server::{log, of_installed};
use super::status;
use crate::bundle::{Install, Installation, Store, StoreError};
use crate::schema::bundlemgr::{Status, UploadFinishResults, UploadServer};

/// The bytes that a peer sends, on their way to the store.
///
/// What waits for the thread is bounded by the limit that the schema puts on `write`: 64 calls of a good MiB.
pub(super) struct Uploading {
    store: Arc<Store>,
    /// To the thread, until the upload is finished. The thread ends with it.
    jobs: RefCell<Option<mpsc::Sender<Job>>>,
}

enum Job {
    Write(Vec<u8>, oneshot::Sender<Result<(), String>>),
    Finish(oneshot::Sender<Result<Installation, Failure>>),
}

/// Why an upload came to nothing.
enum Failure {
    Store(StoreError),
    /// Nothing came for so long that its place was given up.
    Silent(Duration),
}

impl Failure {
    fn refusal(&self) -> Refusal<Status> {
        match self {
            Self::Store(error) => status::refusal(error),
            Self::Silent(patience) => {
                Refusal::new(Status::SizeMismatch, format!("nothing came for {patience:?}"))
            }
        }
    }
}

impl Uploading {
    pub(super) fn start(
        store: Arc<Store>,
        install: Install,
        peer: Option<NodeId>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let (jobs, work) = mpsc::channel();
        spawn(move || run(install, &work, peer, patience))?;
        Ok(Self { store, jobs: RefCell::new(Some(jobs)) })
    }
}

impl UploadServer for Uploading {
    async fn write(&self, _call: &Call, bytes: &[u8]) -> capnp::Result<()> {
        // Calls arrive in order, and so they are handed on before anything is waited for.
        let (done, outcome) = oneshot::channel();
        let sent = match &*self.jobs.borrow() {
            Some(jobs) => jobs.send(Job::Write(bytes.to_vec(), done)).is_ok(),
            None => return Err(Error::failed("the upload is finished".into())),
        };
        match outcome.await {
            Ok(Ok(())) if sent => Ok(()),
            Ok(Err(why)) => Err(Error::failed(why)),
            Ok(Ok(())) | Err(oneshot::Canceled) => Err(thread_ended()),
        }
    }

    async fn finish(&self, _call: &Call) -> Result<UploadFinishResults, Refusal<Status>> {
        let Some(jobs) = self.jobs.borrow_mut().take() else {
            return Err(Refusal::new(Status::Malformed, "the upload was finished before"));
        };
        let (done, outcome) = oneshot::channel();
        jobs.send(Job::Finish(done)).map_err(|_| thread_ended())?;
        match outcome.await.map_err(|_| thread_ended())? {
            Ok(installation) => {
                let manifest = installation.bundle.manifest();
                let active = self.store.active(manifest.name()) == Some(manifest.version());
                Ok(UploadFinishResults {
                    bundle: of_installed(&self.store, &installation.bundle, active),
                    was_there: installation.was_there,
                })
            }
            Err(failure) => Err(failure.refusal()),
        }
    }
}

/// Does what the upload asks for until that is finished or dropped. What was not finished is dropped with it.
fn run(install: Install, work: &mpsc::Receiver<Job>, peer: Option<NodeId>, patience: Duration) {
    let mut state = Ok(install);
    let mut target = String::new();
    loop {
        let job = match &state {
            // A place is held: it must come to something.
            Ok(_) => match work.recv_timeout(patience) {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    log(peer, "install", &target, "nothing came");
                    state = Err(Failure::Silent(patience));
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    log(peer, "install", &target, "dropped");
                    return;
                }
                Ok(job) => job,
            },
            Err(_) => match work.recv() {
                Ok(job) => job,
                Err(mpsc::RecvError) => return,
            },
        };
        match job {
            Job::Write(bytes, done) => {
                let outcome = match &mut state {
                    Ok(install) => install.write(&bytes).map_err(Failure::Store),
                    // Whoever goes on after a failure hears of that once more.
                    Err(_) => Ok(()),
                };
                if let Ok(install) = &state
                    && target.is_empty()
                    && let Some(signed) = install.manifest()
                {
                    let manifest = signed.manifest();
                    target = format!("{}@{}", manifest.name(), manifest.version());
                }
                if let Err(failure) = outcome {
                    state = Err(failure);
                }
                // Nobody waits where the caller is gone.
                let _ = done.send(match &state {
                    Ok(_) => Ok(()),
                    Err(Failure::Store(error)) => Err(error.to_string()),
                    Err(Failure::Silent(patience)) => Err(format!("nothing came for {patience:?}")),
                });
            }
            Job::Finish(done) => {
                let outcome = state.and_then(|install| install.finish().map_err(Failure::Store));
                match &outcome {
                    Ok(_) => log(peer, "install", &target, "ok"),
                    Err(Failure::Store(error)) => log(peer, "install", &target, &error.to_string()),
                    Err(Failure::Silent(_)) => log(peer, "install", &target, "nothing came"),
                }
                let _ = done.send(outcome);
                return;
            }
        }
    }
}

/// Does something that may wait for a disk on a thread of its own.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (done, outcome) = oneshot::channel();
    spawn(move || {
        // Nobody waits where the caller is gone.
        let _ = done.send(work());
    })?;
    outcome.await.map_err(|_| thread_ended())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name("vatmux-bundles".into()).spawn(work);
    thread.map(drop).map_err(|error| Error::overloaded(format!("there is no thread to work on: {error}")))
}

fn thread_ended() -> Error {
    Error::failed("the thread of the upload ended early".into())
}
