//! A TCP relay that cuts the link where it is told to, or lets nothing more through.
//!
//! All that a listening node sends, its part of the handshake included, comes in units: two bytes of length and as many
//! bytes as they say. Unit 0 is the handshake's, each later one is a record.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// Where what passes ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// The link is cut behind this unit of the server's.
    After { unit: usize },
    /// The link is cut so many bytes into this unit of the server's, its length counted.
    Within { unit: usize, bytes: usize },
    /// The link is cut after so many of the client's bytes.
    FromClient { bytes: u64 },
    /// Nothing of the server's passes behind this unit, and the link stays.
    Stall { unit: usize },
    /// Nothing of the server's passes behind this unit until the relay is told to go on.
    Pause { unit: usize },
}

/// A relay for one connection.
pub(crate) struct Relay {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    reached: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

impl Relay {
    /// Ends a pause.
    pub(crate) fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Waits until the end of what passes has been reached.
    pub(crate) fn wait_until_reached(&self) {
        self.reached.recv().unwrap();
    }
}

/// Relays one connection to `server_port`.
pub(crate) fn relay(server_port: u16, cut: Cut) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, reached) = mpsc::channel();
    let (go_on, told_to_go_on) = mpsc::channel();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
        let up = {
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                // Either side may be gone first.
                let _ = match cut {
                    Cut::FromClient { bytes } => {
                        let passed = io::copy(&mut (&from).take(bytes), &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                        passed
                    }
                    Cut::After { .. } | Cut::Within { .. } | Cut::Stall { .. } | Cut::Pause { .. } => {
                        io::copy(&mut from, &mut to)
                    }
                };
                // A link that is closed with bytes unread is reset, and what was sent before may be lost with it.
                io::copy(&mut from, &mut io::sink())
            })
        };
        let _ = pass_units(&server, &client, cut);
        let _ = tell.send(());
        if matches!(cut, Cut::Pause { .. }) && told_to_go_on.recv().is_ok() {
            let _ = io::copy(&mut &server, &mut &client);
        }
        if !matches!(cut, Cut::Stall { .. }) {
            let _ = client.shutdown(Shutdown::Write);
            let _ = server.shutdown(Shutdown::Both);
        }
        let _ = up.join().unwrap();
    });
    Relay { port, reached, go_on }
}

fn pass_units(mut from: &TcpStream, mut to: &TcpStream, cut: Cut) -> io::Result<()> {
    for number in 0.. {
        let mut length = [0; 2];
        from.read_exact(&mut length)?;
        let mut unit = vec![0; 2 + usize::from(u16::from_be_bytes(length))];
        unit[..2].copy_from_slice(&length);
        from.read_exact(&mut unit[2..])?;
        match cut {
            Cut::Within { unit: last, bytes } if number == last => {
                return to.write_all(&unit[..bytes.min(unit.len() - 1)]);
            }
            Cut::After { unit: last } | Cut::Stall { unit: last } | Cut::Pause { unit: last }
                if number == last =>
            {
                return to.write_all(&unit);
            }
            _ => to.write_all(&unit)?,
        }
    }
    Ok(())
}
