//! The client's reading: whole, counted, at the reader's pace, and with words for what went wrong.

use std::cell::Cell;
use std::fs;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::AsyncWrite;
use vatmux::packagefs::{Error, Kind, Links, Progress, Status};

use crate::served::{Served, block_on, quietly};

fn content(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

#[test]
fn a_file_of_any_length_is_read_whole() {
    let mut served = Served::new();
    served.limits.stream_chunk_bytes = 10_000;
    let client = served.client();
    for bytes in [0, 1, 65_535, 65_536, 65_537, 1_000_000] {
        served.write("file", &content(bytes));
        let (mut read, received) = (Vec::new(), Cell::new(0));
        let progress = |progress| match progress {
            Progress::Found { files, bytes: found } => assert_eq!((files, found), (1, bytes as u64)),
            Progress::Received { bytes } => received.set(received.get() + bytes),
            Progress::FileDone => panic!("this is no tree"),
        };
        assert_eq!(block_on(client.read_to("file", &mut read, &progress)).unwrap(), bytes as u64);
        assert!(read == content(bytes), "{bytes} bytes");
        assert_eq!(received.get(), bytes as u64);
    }
}

#[test]
fn stat_tells_a_link_from_what_it_leads_to() {
    let served = Served::new();
    served.write("file", b"12345");
    std::os::unix::fs::symlink("file", served.path("link")).unwrap();
    let client = served.client();
    let link = block_on(client.stat("link", Links::Inspect)).unwrap();
    assert_eq!((link.kind, link.link_target.as_deref()), (Kind::Symlink, Some("file")));
    let file = block_on(client.stat("link", Links::Follow)).unwrap();
    assert_eq!((file.kind, file.size_bytes, file.link_target), (Kind::File, 5, None));
}

#[test]
fn a_refusal_says_what_was_tried_on_what_and_why() {
    let client = Served::new().client();
    let error = block_on(client.stat("no/such", Links::Inspect)).unwrap_err();
    assert_eq!(error.to_string(), "cannot stat `no/such`: there is nothing at this path");
    let error = block_on(client.read_to("", &mut Vec::new(), &quietly)).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the root: it is a directory");
    let error = block_on(client.list("../up", 10)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list `../up`: this is not a valid path (the path has `.` or `..` in it)"
    );
    let error = block_on(client.stat("\x1b[31m", Links::Inspect)).unwrap_err();
    assert_eq!(error.to_string(), "cannot stat `\\u{1b}[31m`: there is nothing at this path");
}

#[test]
fn a_call_that_is_not_answered_says_so() {
    let remote = capnp_rpc::new_client(Dead);
    let error = block_on(vatmux::packagefs::Client::new(remote).stat("a", Links::Inspect)).unwrap_err();
    assert_eq!(error.to_string(), "cannot stat `a`: the connection ended: cut");
}

struct Dead;

impl vatmux::schema::packagefs_capnp::package_fs::Server for Dead {
    async fn stat(
        self: std::rc::Rc<Self>,
        _: vatmux::schema::packagefs_capnp::package_fs::StatParams,
        _: vatmux::schema::packagefs_capnp::package_fs::StatResults,
    ) -> capnp::Result<()> {
        Err(capnp::Error::disconnected("cut".into()))
    }
}

#[test]
fn test_reject_a_file_that_shrinks_while_it_is_read() {
    let served = Served::new();
    served.write("file", &content(1_000_000));
    let shrink = |progress| {
        if let Progress::Received { .. } = progress {
            fs::File::options().write(true).open(served.path("file")).unwrap().set_len(300_000).unwrap();
        }
    };
    let error = block_on(served.client().read_to("file", &mut Vec::new(), &shrink)).unwrap_err();
    assert!(matches!(error, Error::Refused { status: Status::Changed, .. }), "{error}");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_as_long_as_it_was() {
    let served = Served::new();
    served.write("file", &content(1_000_000));
    let grow = |_| {
        fs::File::options().write(true).open(served.path("file")).unwrap().set_len(2_000_000).unwrap();
    };
    let mut read = Vec::new();
    assert_eq!(block_on(served.client().read_to("file", &mut read, &grow)).unwrap(), 1_000_000);
    assert!(read == content(1_000_000));
}

/// An output with room for so many bytes, which takes at most 1,000 at a time and wants to be asked twice.
struct Narrow {
    room: usize,
    taken: Vec<u8>,
    asked: bool,
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = !self.asked;
        if self.asked {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = bytes.len().min(1000).min(self.room - self.taken.len());
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        self.taken.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_slow_output_sets_the_pace_and_gets_every_byte_in_order() {
    let served = Served::new();
    served.write("file", &content(500_000));
    let mut output = Narrow { room: usize::MAX, taken: Vec::new(), asked: false };
    block_on(served.client().read_to("file", &mut output, &quietly)).unwrap();
    assert!(output.taken == content(500_000));
}

#[test]
fn a_full_output_ends_the_read_with_its_reason() {
    let served = Served::new();
    served.write("file", &content(500_000));
    for room in [10, 65_536, 200_000] {
        let mut output = Narrow { room, taken: Vec::new(), asked: false };
        let error = block_on(served.client().read_to("file", &mut output, &quietly)).unwrap_err();
        assert!(
            matches!(&error, Error::Output { source, .. } if source.kind() == io::ErrorKind::StorageFull)
        );
        assert_eq!(output.taken.len(), room);
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_named_as_what_it_is() {
    let served = Served::new();
    served.write("file", &content(10));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut output = futures::io::AllowStdIo::new(full);
    let error = block_on(served.client().read_to("file", &mut output, &quietly)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write what was read from `file`: the disk is full; make room there, or name another destination"
    );
}
