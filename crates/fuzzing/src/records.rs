//! Records of an established session, and somebody who carries them as he likes.

use std::collections::VecDeque;

use vatmux_noise::{MAX_PLAINTEXT, MIN_RECORD, PREFIX_LEN, RecordError, Records, Suite, TAG_LEN};
use vatmux_sim::{Bytes, Choices};

use crate::handshake::both;

/// The most steps of a script. It bounds the time that one input takes.
const MOST_STEPS: usize = 200;
/// How many records that were delivered are kept, to be delivered again.
const MOST_KEPT: usize = 8;

/// Does with records what `bytes` say.
pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Bytes::new(bytes);
    let suite = choices.pick(&[Suite::ChaChaPoly, Suite::AesGcm]);
    let mut path = Path::new(suite);
    for _ in 0..MOST_STEPS {
        if choices.is_empty() {
            break;
        }
        path.step(&mut choices);
    }
}

/// One direction.
struct Path {
    sender: Records,
    receiver: Records,
    /// Sealed and not opened yet: plaintext, and record without its prefix.
    under_way: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Records that were opened.
    used: VecDeque<Vec<u8>>,
    failed: Option<RecordError>,
    sealed: u64,
}

impl Path {
    fn new(suite: Suite) -> Self {
        let [mut dialer, mut acceptor] = both(suite);
        let mut wire = [0; 512];
        while !(dialer.is_complete() && acceptor.is_complete()) {
            let count = dialer.transmit(&mut wire);
            acceptor.receive(&wire[..count]).expect("two honest ends");
            let count = acceptor.transmit(&mut wire);
            dialer.receive(&wire[..count]).expect("two honest ends");
        }
        Self {
            sender: dialer.finish().expect("it is complete").records,
            receiver: acceptor.finish().expect("it is complete").records,
            under_way: VecDeque::new(),
            used: VecDeque::new(),
            failed: None,
            sealed: 0,
        }
    }

    fn step(&mut self, choices: &mut Bytes<'_>) {
        match choices.below(10) {
            0..3 => {
                let length = choices.below(256) as usize;
                self.seal(length, length + PREFIX_LEN + TAG_LEN);
            }
            3 => {
                let length = choices.below(1 << 17) as usize;
                self.seal(length, choices.pick(&[1 << 17, 0, 17, 300]));
            }
            4 | 5 => self.deliver_next(),
            6 => {
                let Some((_, record)) = self.under_way.front() else { return };
                let mut record = record.clone();
                let (position, change) =
                    (choices.below(1 << 16) as usize % record.len(), choices.below(256) as u8);
                record[position] ^= change;
                if change == 0 { self.deliver_next() } else { self.deliver_forged(&record) }
            }
            7 => {
                let Some((_, record)) = self.under_way.front() else { return };
                let kept = choices.below(1 << 16) as usize % record.len();
                let record = record[..kept].to_vec();
                self.deliver_forged(&record);
            }
            8 => {
                // One that was opened before, or whose turn it is not.
                let nth = choices.below(16) as usize;
                let early = self.under_way.iter().skip(1).map(|(_, record)| record);
                let Some(record) = self.used.iter().chain(early).nth(nth).cloned() else { return };
                self.deliver_forged(&record);
            }
            _ => {
                let length = choices.below(256) as usize;
                let record = choices.take(length);
                if let Some(prefix) = record.first_chunk() {
                    let length = usize::from(u16::from_be_bytes(*prefix));
                    let legal = length >= MIN_RECORD;
                    let expected = if legal { Ok(length) } else { Err(RecordError::Length(length)) };
                    assert_eq!(Records::record_len(*prefix), expected);
                }
                self.deliver_forged(record);
            }
        }
    }

    /// Seals `length` bytes into a buffer of `room`.
    fn seal(&mut self, length: usize, room: usize) {
        let plaintext: Vec<u8> = (self.sealed..).take(length).map(|byte| byte as u8).collect();
        let mut buffer = vec![0; room];
        for (slot, byte) in buffer.iter_mut().skip(PREFIX_LEN).zip(&plaintext) {
            *slot = *byte;
        }
        let needed = length + PREFIX_LEN + TAG_LEN;
        match self.sender.seal(&mut buffer, length) {
            Ok(count) => {
                assert_eq!(count, needed);
                let (prefix, record) = buffer[..count].split_first_chunk().expect("longer than its prefix");
                assert_eq!(Records::record_len(*prefix), Ok(record.len()));
                self.under_way.push_back((plaintext, record.to_vec()));
                self.sealed += 1;
            }
            Err(RecordError::Plaintext(count)) => {
                assert!(count == length && !(1..=MAX_PLAINTEXT).contains(&length));
            }
            Err(RecordError::Buffer { needed: bytes }) => assert!(bytes == needed && needed > room),
            Err(error) => panic!("{error}"),
        }
    }

    /// The record whose turn it is arrives as it was sealed.
    fn deliver_next(&mut self) {
        let Some((plaintext, record)) = self.under_way.front() else { return };
        let mut arrived = record.clone();
        match (self.receiver.open(&mut arrived), self.failed) {
            (outcome, Some(error)) => assert_eq!(outcome, Err(error), "the first forgery is final"),
            (outcome, None) => {
                assert_eq!(outcome.as_deref(), Ok(&plaintext[..]));
                self.used.extend(self.under_way.pop_front().map(|(_, record)| record));
                if self.used.len() > MOST_KEPT {
                    self.used.pop_front();
                }
            }
        }
    }

    /// Something else arrives: it ends the session.
    fn deliver_forged(&mut self, record: &[u8]) {
        let error = self.receiver.open(&mut record.to_vec()).expect_err("nobody sealed that for now");
        assert!(matches!(error, RecordError::Forged | RecordError::Length(_)), "{error}");
        assert_eq!(self.failed.unwrap_or(error), error, "the first forgery is final");
        self.failed = Some(error);
    }
}
