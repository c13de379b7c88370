//! An upload, on a thread of its own: what it hashes, writes and syncs holds up nobody else.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use capnp::Error;
use futures::channel::oneshot;
use vatmux_rpc::service::{Call, Refusal};

use super::server::of_installed;
use super::status;
use crate::access::Mutation;
use crate::access::shares::Share;
use crate::bundle::{Install, Installation, Manifest, Right, Rights, Store, StoreError};
use crate::schema::bundlemgr::{Status, UploadFinishResults, UploadServer};

/// How many installs one peer may have under way on a node, over all its streams and sessions. A store has places for four,
/// unless its owner said otherwise: those that are left are for others.
pub const MAX_PEER_INSTALLS: usize = 2;

/// An install, and what its peer may do.
pub(super) struct Permitted {
    pub(super) share: Share,
    pub(super) install: Install,
    pub(super) rights: Arc<Rights>,
    pub(super) activate: bool,
}

/// The bytes that a peer sends, on their way to the store.
///
/// What waits for the thread is bounded by the limit that the schema puts on `write`: 64 calls of a good MiB.
pub(super) struct Uploading {
    store: Arc<Store>,
    rights: Arc<Rights>,
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
        permitted: Permitted,
        mutation: Mutation,
        patience: Duration,
    ) -> Result<Self, Error> {
        let (jobs, work) = mpsc::channel();
        let (refuse, refused) = oneshot::channel();
        let Permitted { share, install, rights, activate } = permitted;
        let target = Arc::new(OnceLock::new());
        let install = {
            let (rights, target) = (rights.clone(), target.clone());
            install.permitted(move |manifest| {
                // Nobody else sets it, and a bundle has one manifest.
                let _ = target.set(format!("{}@{}", manifest.name(), manifest.version()));
                permission(&rights, activate, manifest)
            })
        };
        let worker = Worker {
            patience,
            target,
            mutation: Some(mutation),
            state: State::Open(Box::new((install, share))),
            refuse: Some(refuse),
        };
        spawn(move || worker.run(&work))?;
        let (jobs, refused) = (RefCell::new(Some(jobs)), RefCell::new(Some(refused)));
        Ok(Self { store, rights, jobs, refused })
    }
}

/// What is against installing this bundle.
fn permission(rights: &Rights, activate: bool, manifest: &Manifest) -> Result<(), &'static str> {
    let permits = |right| rights.permit(right, manifest.name(), &manifest.publisher());
    if !permits(Right::Install) {
        return Err("this node may not install such bundles here");
    }
    if activate && !permits(Right::Activate) {
        return Err("this node may not activate such bundles here, only install them");
    }
    Ok(())
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
            bundle: of_installed(&self.store, &self.rights, &installation.bundle, active),
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
    patience: Duration,
    /// The bundle, as soon as it is known which.
    target: Arc<OnceLock<String>>,
    /// Until its end is told.
    mutation: Option<Mutation>,
    state: State,
    refuse: Option<oneshot::Sender<Failure>>,
}

enum State {
    Open(Box<(Install, Share)>),
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
                    // There may be megabytes more, and whoever else wants this core wants it for less.
                    thread::yield_now();
                }
                Ok(Job::Finish(done)) => {
                    let mutation = self.mutation();
                    let outcome = match self.state {
                        State::Open(open) => {
                            let (install, _share) = *open;
                            install.finish().map_err(Failure::from)
                        }
                        State::Refused(failure) => Err(failure),
                    };
                    if let Some(mutation) = mutation {
                        match &outcome {
                            Ok(_) => mutation.done(),
                            Err(failure) => mutation.refused(failure.status),
                        }
                    }
                    let _ = done.send(outcome);
                    return;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let detail = format!("nothing came for {:?}", self.patience);
                    self.refuse(Failure { status: Status::SizeMismatch, detail });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    // Dropped, it is told as abandoned.
                    drop(self.mutation());
                    return;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let State::Open(open) = &mut self.state else { return };
        if let Err(error) = open.0.write(bytes) {
            self.refuse(error.into());
        }
    }

    /// What is to be told, if it was not yet.
    fn mutation(&mut self) -> Option<Mutation> {
        let mut mutation = self.mutation.take()?;
        if let Some(target) = self.target.get() {
            mutation.set_target(target);
        }
        Some(mutation)
    }

    /// Gives up what came, and its place, and says why to whoever wants to know.
    fn refuse(&mut self, failure: Failure) {
        if let Some(mutation) = self.mutation() {
            mutation.refused(failure.status);
        }
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
