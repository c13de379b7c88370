//! What an engine transmitted, frame by frame.

use vatmux_mux::wire::{Frame, HEADER_BYTES, Header};

/// The frames in `bytes`, which must be whole and legal.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().expect("only whole frames leave");
        let header = Header::parse(header).expect("only legal frames leave");
        let (payload, rest) =
            rest.split_at_checked(usize::from(header.length)).expect("only whole frames leave");
        bytes = rest;
        Some(Frame::parse(&header, payload).expect("only legal frames leave"))
    })
}
