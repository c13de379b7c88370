//! What must hold after every step of an honest run.

#[cfg(test)]
mod tests;

use vatmux_mux::{End, Session, Storage, StreamId};

use crate::fresh::{Fresh, STREAMS};
use crate::world::World;

impl<S: Fresh> World<S> {
    /// Bounds are kept, credit is conserved, and nobody ended the session but those who may.
    pub(crate) fn check(&self) {
        let over = self.is_over();
        for (receiver, party) in self.parties.iter().enumerate() {
            let sender = &self.parties[1 - receiver];
            self.assert_its_end_is_just(receiver);
            let session = &party.session;
            let limits = session.limits();
            let mut grown = 0;
            let mut could_send = false;
            for stream in party.streams.keys() {
                let Some(statistics) = session.stream_statistics(*stream) else {
                    panic!("stream {stream} is held and unknown")
                };
                assert!(statistics.unread_bytes <= statistics.window_bytes);
                assert!(statistics.window_bytes <= limits.max_window_bytes);
                assert!(statistics.unsent_bytes <= limits.send_buffer_bytes);
                grown += statistics.window_bytes - limits.initial_window_bytes;
                could_send |=
                    (statistics.supplied || statistics.unsent_bytes > 0) && statistics.send_credit_bytes > 0;
                let truth = &self.truth[stream];
                if over || truth.cut[0] || truth.cut[1] || !sender.streams.contains_key(stream) {
                    continue;
                }
                let partial = sender
                    .in_flight
                    .front()
                    .filter(|frame| {
                        frame.stream == *stream && frame.is_data() && frame.start + 8 <= sender.delivered
                    })
                    .map_or(0, |frame| frame.end - sender.delivered);
                assert_conserved(&sender.session, session, *stream, truth.granting[receiver], partial);
            }
            for stream in &party.lingering {
                let one = session.stream_statistics(*stream).filter(|one| one.unsent_bytes > 0);
                // What arrives on it is dropped, and its credit given back: the peer must come to its end.
                assert!(
                    one.is_none_or(|one| one.granted_bytes + one.owed_bytes == one.window_bytes),
                    "the credit of stream {stream}, which was released: {one:?}"
                );
            }
            assert!(grown <= limits.session_window_budget_bytes);
            assert!(session.statistics().streams <= STREAMS);
            assert!(
                over || !could_send || session.wants_transmit(),
                "a stream could send and nobody says so"
            );
        }
    }

    fn assert_its_end_is_just(&self, end: usize) {
        let (party, peer) = (&self.parties[end], &self.parties[1 - end]);
        match party.session.end() {
            None => assert_eq!(party.closed, None),
            Some(End::Closed(code)) => assert_eq!(party.closed, Some(code)),
            Some(End::PeerClosed(code)) => match peer.session.end() {
                Some(End::KeepaliveTimeout) => assert_eq!(code, vatmux_mux::CloseCode::KEEPALIVE_TIMEOUT),
                _ => assert_eq!(peer.closed, Some(code)),
            },
            Some(End::KeepaliveTimeout) => {
                let silence = self.now.since(party.heard);
                assert!(
                    silence >= party.session.limits().dead_after_ticks,
                    "it was heard of {silence:?} ago"
                );
            }
            Some(End::Violation(violation)) => panic!("an honest peer was accused: {violation}"),
        }
    }

    /// No wake-up is lost: whoever still waits after all events has reason to.
    pub(crate) fn assert_nobody_sleeps(&self, end: usize) {
        let party = &self.parties[end];
        for (stream, application) in &party.streams {
            let Some(statistics) = party.session.stream_statistics(*stream) else { continue };
            if application.reader_parked {
                assert_eq!(statistics.unread_bytes, 0, "the reader of stream {stream} was not woken");
                let nothing = party.session.readable(*stream);
                assert_eq!(nothing, Err(vatmux_mux::ReadError::Blocked), "stream {stream} was not woken");
            }
            if application.writer_parked {
                let full = party.session.limits().send_buffer_bytes;
                assert_eq!(statistics.unsent_bytes, full, "the writer of stream {stream} was not woken");
            }
        }
    }

    /// The link has carried all that it takes: what has not moved waits for an application, and for nothing else.
    pub(crate) fn assert_nothing_could_move(&self) {
        if self.is_over() || self.is_stalled() {
            return;
        }
        for (from, sender) in self.parties.iter().enumerate() {
            assert!(!sender.session.wants_transmit(), "the link has room");
            let receiver = &self.parties[1 - from];
            for stream in sender.streams.keys() {
                let Some(sent) = sender.session.stream_statistics(*stream) else { continue };
                if sent.unsent_bytes == 0 && !sent.supplied {
                    continue;
                }
                let received = receiver.session.stream_statistics(*stream);
                assert_eq!(sent.send_credit_bytes, 0, "stream {stream} has bytes and credit");
                assert!(
                    received.is_some_and(|received| received.unread_bytes > 0),
                    "stream {stream} waits for credit, and its reader for bytes"
                );
            }
        }
    }
}

/// Credit is conserved to the byte: what the receiver has granted and not received is what the sender still has, what
/// it has sent and what is being granted; and that, what is unread and what is owed make the window.
///
/// `granting`: bytes in window updates on their way. `partial`: bytes that the DATA frame which is arriving lacks.
fn assert_conserved<S: Storage>(
    from: &Session<S>,
    to: &Session<S>,
    stream: StreamId,
    granting: u64,
    partial: u64,
) {
    let (Some(sender), Some(receiver)) = (from.stream_statistics(stream), to.stream_statistics(stream))
    else {
        return;
    };
    let granted = u64::from(receiver.granted_bytes) + partial;
    let held = u64::from(receiver.unread_bytes) + u64::from(receiver.owed_bytes);
    assert_eq!(
        granted + held,
        u64::from(receiver.window_bytes),
        "the window of stream {stream}: {sender:?} {receiver:?} partial {partial}"
    );
    let in_flight = sender.sent_bytes - receiver.received_bytes;
    let known = u64::from(sender.send_credit_bytes) + in_flight + granting;
    assert_eq!(
        known, granted,
        "the credit of stream {stream}: {sender:?} {receiver:?} granting {granting} partial {partial}"
    );
}
