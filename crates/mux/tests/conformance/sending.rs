//! MUX-8: the order in which frames leave.

use vatmux_mux::Ticks;
use vatmux_mux::wire::Frame;

use crate::support::{
    Fresh, LIMITS, Victim, frames, id, name, next_incoming, on_every_storage, priority, read,
};

on_every_storage! {
    control_leaves_in_its_order,
}

/// MUX-4.4, MUX-8.1.
fn control_leaves_in_its_order<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let half = LIMITS.initial_window_bytes / 2;
    victim.open(1).unwrap();
    victim.data(1, &vec![1; half as usize]).unwrap();
    let ours = victim.session.open(&name("ours"), priority(0)).unwrap();
    victim.session.write(ours, b"data").unwrap();
    victim.session.finish(ours).unwrap();
    let stream = id(1);
    assert_eq!(next_incoming(&mut victim.session), Some(stream));
    victim.session.accept(stream).unwrap();
    read(&mut victim.session, stream).unwrap();
    victim.session.finish(stream).unwrap();
    victim.session.handle_timeout(Ticks(3));
    victim.now = Ticks(3);
    victim.send(&Frame::Ping(77)).unwrap();
    let bytes = crate::support::transmitted(&mut victim.session);
    let expected = [
        Frame::Pong(77),
        Frame::Ping(1),
        Frame::Open { stream: ours, priority: priority(0), name: name("ours") },
        Frame::OpenAck { stream },
        Frame::WindowUpdate { stream, increment: half },
        Frame::Close { stream },
        Frame::Data { stream: ours, payload: b"data" },
        Frame::Close { stream: ours },
    ];
    assert_eq!(frames(&bytes), expected);
}
