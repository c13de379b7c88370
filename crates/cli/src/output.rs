//! Standard output, written to from the driver's thread without ever blocking it.
//!
//! A reader of the output that pauses, such as a pager, must not keep this node from answering its peer: the peer would
//! take it for dead. A thread of its own writes; a few buffers go back and forth.

use std::cell::Cell;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::task::{Context, Poll, ready};
use std::thread;

use futures::StreamExt;
use futures::channel::mpsc;
use futures::io::{AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;

/// How many buffers there are, and so how much waits at most, with [`BUFFER_BYTES`].
const BUFFERS: usize = 4;

/// How much goes into one buffer.
const BUFFER_BYTES: usize = 256 * 1024;

/// Standard output for one command.
pub(crate) struct Output {
    /// To the thread. Never more than [`BUFFERS`] are on their way.
    full: blocking::Sender<Vec<u8>>,
    /// From the thread: a buffer to use again, or why it could not be written.
    empty: mpsc::UnboundedReceiver<io::Result<Vec<u8>>>,
    at_hand: Vec<Vec<u8>>,
    /// True while the reader of the output keeps us waiting.
    blocked: std::rc::Rc<Cell<bool>>,
}

impl Output {
    /// Takes standard output.
    pub(crate) fn standard() -> Result<Self, Failure> {
        Self::over(io::stdout()).map_err(Failure::system("a thread"))
    }

    fn over(mut sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (full, to_write) = blocking::channel::<Vec<u8>>();
        let (written, empty) = mpsc::unbounded();
        thread::Builder::new().name("vatmux-output".into()).spawn(move || {
            for mut buffer in to_write {
                let outcome = sink.write_all(&buffer).and_then(|()| sink.flush());
                buffer.clear();
                let failed = outcome.is_err();
                // Nobody waits where the command is over.
                if written.unbounded_send(outcome.map(|()| buffer)).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok(Self { full, empty, at_hand: vec![Vec::new(); BUFFERS], blocked: std::rc::Rc::default() })
    }

    /// Tells whether it is the reader of the output that keeps us waiting.
    pub(crate) fn blocked(&self) -> std::rc::Rc<Cell<bool>> {
        self.blocked.clone()
    }

    /// Writes text.
    pub(crate) async fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.write_all(text.as_bytes()).await.map_err(Failure::output)
    }

    /// Waits until all of it is written.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.flush().await.map_err(Failure::output)
    }

    /// Waits until at least `wanted` buffers are at hand, or one could not be written.
    fn poll_buffers(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<()>> {
        while self.at_hand.len() < wanted {
            match self.empty.poll_next_unpin(cx) {
                Poll::Ready(Some(buffer)) => self.at_hand.push(buffer?),
                // The thread ends early only after an error that it told.
                Poll::Ready(None) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Poll::Pending => {
                    self.blocked.set(true);
                    return Poll::Pending;
                }
            }
        }
        self.blocked.set(false);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_buffers(cx, 1))?;
        let taken = &bytes[..bytes.len().min(BUFFER_BYTES)];
        let mut buffer = self.at_hand.pop().unwrap_or_default();
        buffer.extend_from_slice(taken);
        match self.full.send(buffer) {
            Ok(()) => Poll::Ready(Ok(taken.len())),
            // The thread is gone, and its last word is why.
            Err(_) => self.poll_buffers(cx, BUFFERS + 1).map(|last| last.map(|()| 0)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_buffers(cx, BUFFERS)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// Writes a line to standard output from a command that has no driver to keep running.
pub(crate) fn print_line(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Tells something that is no result on standard error.
pub(crate) fn tell(line: &str) {
    // There is nowhere to say that standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use vatmux_host::Local;
    use vatmux_noise::SecretKey;

    use super::*;

    fn driver() -> Local {
        Local::new(SecretKey::from_bytes([7; 32]).unwrap()).unwrap()
    }

    /// Takes its bytes only while nobody holds the lock.
    #[derive(Clone, Default)]
    struct Gate(Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Write::write(&mut *self.0.lock().unwrap(), bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_arrive_in_order_and_all_of_them() {
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES * BUFFERS).map(|at| (at / 1000) as u8).collect();
        let gate = Gate::default();
        let mut output = Output::over(gate.clone()).unwrap();
        let written = async {
            output.write_all(&bytes).await.unwrap();
            output.finish().await
        };
        assert!(driver().drive_until(written).unwrap().is_ok());
        assert!(*gate.0.lock().unwrap() == bytes);
    }

    #[test]
    fn a_reader_that_pauses_blocks_the_writer_only_and_shows() {
        let gate = Gate::default();
        let mut output = Output::over(gate.clone()).unwrap();
        let blocked = output.blocked();
        let paused = gate.0.lock().unwrap();
        let mut driver = driver();
        let chunk = vec![1; BUFFER_BYTES];
        let filled = async {
            for _ in 0..BUFFERS {
                output.write_all(&chunk).await.unwrap();
            }
        };
        driver.drive_until(filled).unwrap();
        assert!(!blocked.get());
        let next = driver.drive_until(async { futures::poll!(output.write_all(&chunk)) }).unwrap();
        assert!(next.is_pending() && blocked.get());
        drop(paused);
        driver.drive_until(output.write_all(&chunk)).unwrap().unwrap();
        assert!(!blocked.get());
    }

    #[test]
    fn what_the_system_said_is_what_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::over(Full).unwrap();
        let written = async {
            loop {
                output.print("more and more").await?;
            }
        };
        let failure: Result<(), Failure> = driver().drive_until(written).unwrap();
        assert!(matches!(failure, Err(Failure::Output(error)) if error.kind() == io::ErrorKind::StorageFull));
    }
}
