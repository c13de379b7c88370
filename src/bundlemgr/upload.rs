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
    /// From the thread, to whoever asks first.
    refused: RefCell<Option<oneshot::Receiver<Failure>>>,
}

enum Job {
    Write(Vec<u8>, oneshot::Sender<()>),
    Finish(oneshot::Sender<Result<Installation, Failure>>),
}

/// Why an upload came to nothing.
#[derive(Clone, Debug)]
struct Failure {
    status: Status,
    detail: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { status: status::of(&error), detail: error.to_string() }
    }
}

impl From<Failure> for Refusal<Status> {
    fn from(failure: Failure) -> Self {
        Self::new(failure.status, failure.detail)
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
        let (refuse, refused) = oneshot::channel();
        let worker = Worker {
            peer,
            patience,
            target: String::new(),
            state: State::Open(Box::new(install)),
            refuse: Some(refuse),
        };
        spawn(move || worker.run(&work))?;
        Ok(Self { store, jobs: RefCell::new(Some(jobs)), refused: RefCell::new(Some(refused)) })
    }
}

impl UploadServer for Uploading {
    async fn write(&self, _call: &Call, bytes: &[u8]) -> capnp::Result<()> {
        // Calls arrive in order, and so they are handed on before anything is waited for.
        let (done, taken) = oneshot::channel();
        match &*self.jobs.borrow() {
            Some(jobs) => jobs.send(Job::Write(bytes.to_vec(), done)).map_err(|_| thread_ended())?,
            None => return Err(Error::failed("the upload is finished".into())),
        }
        taken.await.map_err(|_| thread_ended())
    }

    async fn finish(&self, _call: &Call) -> Result<UploadFinishResults, Refusal<Status>> {
        let Some(jobs) = self.jobs.borrow_mut().take() else {
            return Err(Refusal::new(Status::Malformed, "the upload was finished before"));
        };
        let (done, outcome) = oneshot::channel();
        jobs.send(Job::Finish(done)).map_err(|_| thread_ended())?;
        let installation = outcome.await.map_err(|_| thread_ended())??;
        let manifest = installation.bundle.manifest();
        let active = self.store.active(manifest.name()) == Some(manifest.version());
        Ok(UploadFinishResults {
            bundle: of_installed(&self.store, &installation.bundle, active),
            was_there: installation.was_there,
        })
    }

    async fn refused(&self, _call: &Call) -> Result<(), Refusal<Status>> {
        let Some(refused) = self.refused.borrow_mut().take() else {
            return Err(Refusal::new(Status::Malformed, "this was asked before"));
        };
        match refused.await {
            Ok(failure) => Err(failure.into()),
            // The thread is done, and had nothing against it.
            Err(oneshot::Canceled) => Ok(()),
        }
    }
}

/// What happens on the thread.
struct Worker {
    peer: Option<NodeId>,
    patience: Duration,
    /// The bundle, as soon as it is known which.
    target: String,
    state: State,
    refuse: Option<oneshot::Sender<Failure>>,
}

enum State {
    Open(Box<Install>),
    Refused(Failure),
}

impl Worker {
    /// Does what the upload asks for until that is finished or dropped. What was not finished is dropped with it.
    fn run(mut self, work: &mpsc::Receiver<Job>) {
        loop {
            let job = match &self.state {
                // A place is held: it must come to something.
                State::Open(_) => work.recv_timeout(self.patience),
                State::Refused(_) => work.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Write(bytes, done)) => {
                    self.write(&bytes);
                    // Nobody waits where the caller is gone.
                    let _ = done.send(());
                }
                Ok(Job::Finish(done)) => {
                    let outcome = match self.state {
                        State::Open(install) => {
                            let outcome = install.finish().map_err(Failure::from);
                            match &outcome {
                                Ok(_) => log(self.peer, "install", &self.target, "ok"),
                                Err(failure) => log(self.peer, "install", &self.target, &failure.detail),
                            }
                            outcome
                        }
                        State::Refused(failure) => Err(failure),
                    };
                    let _ = done.send(outcome);
                    return;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let detail = format!("nothing came for {:?}", self.patience);
                    self.refuse(Failure { status: Status::SizeMismatch, detail });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    if let State::Open(_) = self.state {
                        log(self.peer, "install", &self.target, "dropped");
                    }
                    return;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let State::Open(install) = &mut self.state else { return };
        let outcome = install.write(bytes);
        if self.target.is_empty()
            && let Some(signed) = install.manifest()
        {
            self.target = format!("{}@{}", signed.manifest().name(), signed.manifest().version());
        }
        if let Err(error) = outcome {
            self.refuse(error.into());
        }
    }

    /// Gives up what came, and its place, and says why to whoever wants to know.
    fn refuse(&mut self, failure: Failure) {
        log(self.peer, "install", &self.target, &failure.detail);
        self.state = State::Refused(failure.clone());
        if let Some(refuse) = self.refuse.take() {
            let _ = refuse.send(failure);
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
    Error::failed("the thread that works on this ended early".into())
}
