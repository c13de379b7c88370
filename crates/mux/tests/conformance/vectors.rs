//! The vectors of crates/mux/tests/vectors, replayed.

use vatmux_mux::wire::{Frame, Header, MAX_DATA_BYTES};
use vatmux_mux::{
    CloseCode, End, Event, ExclusiveNames, Hello, HelloError, ReadError, ResetCode, Role, Session, Ticks,
};

use crate::spec::{read, specification};
use crate::support::{
    Fresh, LIMITS, Victim, encoded, frames, id, label, name, on_every_storage, priority, transmitted, write,
};

on_every_storage! {
    bytes_that_are_wrong_are_seen_at_their_last_byte_and_answered_with_their_code,
    conversations_go_as_the_vectors_say,
}

/// The lines of a vector file that mean something, and what it is called in a failure.
fn lines(file: &str) -> Vec<String> {
    let text = read(&format!("crates/mux/tests/vectors/{file}"));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn halves(line: &str) -> (Vec<&str>, Vec<u8>) {
    let (meaning, bytes) = line.split_once('=').expect("a meaning and bytes");
    (meaning.split_whitespace().collect(), hex(bytes))
}

/// Bytes in hex; spaces mean nothing, `XX*N` is the byte `XX` N times.
fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let times: usize = times.parse().expect("a count");
        assert!(digits.is_ascii() && digits.len().is_multiple_of(2), "whole bytes: {word}");
        assert!(times == 1 || digits.len() == 2, "one byte is repeated: {word}");
        for at in (0..digits.len()).step_by(2) {
            let byte = u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
            bytes.extend(std::iter::repeat_n(byte, times));
        }
    }
    bytes
}

fn decimal<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is not a number of its kind"))
}

/// The frame that the words of frames.txt mean.
fn frame<'a>(words: &[&str], payload: &'a mut Vec<u8>) -> Frame<'a> {
    match *words {
        ["OPEN", stream, level, text] => {
            Frame::Open { stream: id(decimal(stream)), priority: priority(decimal(level)), name: name(text) }
        }
        ["OPEN_ACK", stream] => Frame::OpenAck { stream: id(decimal(stream)) },
        ["DATA", stream, bytes] => {
            *payload = hex(bytes);
            Frame::Data { stream: id(decimal(stream)), payload }
        }
        ["WINDOW_UPDATE", stream, increment] => {
            Frame::WindowUpdate { stream: id(decimal(stream)), increment: decimal(increment) }
        }
        ["RST", stream, code] => Frame::Reset { stream: id(decimal(stream)), code: ResetCode(decimal(code)) },
        ["PING", nonce] => Frame::Ping(decimal(nonce)),
        ["PONG", nonce] => Frame::Pong(decimal(nonce)),
        ["CLOSE", stream] => Frame::Close { stream: id(decimal(stream)) },
        ["CLOSE_SESSION", code] => Frame::CloseSession(CloseCode(decimal(code))),
        ref other => panic!("{other:?} is no frame"),
    }
}

/// MUX-2.1, MUX-2.2, MUX-13.1, MUX-14.1.
#[test]
fn hellos_are_the_bytes_of_their_vectors() {
    for line in lines("hellos.txt") {
        let (words, bytes) = halves(&line);
        let decoded = Hello::decode(&bytes);
        match words[..] {
            ["hello", window, streams] => {
                let hello = Hello {
                    version: 1,
                    initial_window_bytes: decimal(window),
                    max_streams: decimal(streams),
                };
                assert_eq!(decoded, Ok(hello), "{line}");
                assert_eq!(hello.encode()[..], bytes, "{line}");
            }
            ["refused", reason] => {
                let found = match decoded.expect_err(&line) {
                    HelloError::Length { .. } => "length",
                    HelloError::Version { .. } => "version",
                    HelloError::Reserved => "reserved",
                    HelloError::Window { .. } => "window",
                    HelloError::Streams { .. } => "streams",
                };
                assert_eq!(found, reason, "{line}");
            }
            _ => panic!("{line}"),
        }
    }
}

/// MUX-3.1, MUX-3.2, MUX-4.1, MUX-4.5, MUX-4.6, MUX-4.7, MUX-14.1.
#[test]
fn frames_are_the_bytes_of_their_vectors() {
    for line in lines("frames.txt") {
        let (words, bytes) = halves(&line);
        let mut payload = Vec::new();
        let frame = frame(&words, &mut payload);
        let mut output = vec![0xee; bytes.len() + 8];
        assert_eq!(frame.emit(&mut output), Some(bytes.len()), "{line}");
        assert_eq!(frame.bytes(), bytes.len(), "{line}");
        assert!(output[..bytes.len()] == bytes, "{line}");
        assert_eq!(output[bytes.len()..], [0xee; 8], "{line}");

        let (header, payload) = bytes.split_first_chunk().expect("a header");
        let header = Header::parse(header).expect("a legal header");
        assert_eq!(usize::from(header.length), payload.len());
        assert_eq!(Frame::parse(&header, payload), Ok(frame), "{line}");
    }
}

#[test]
fn a_frame_that_does_not_fit_leaves_the_output_alone() {
    for line in lines("frames.txt") {
        let (words, bytes) = halves(&line);
        let mut payload = Vec::new();
        let mut output = vec![0xee; bytes.len() - 1];
        assert_eq!(frame(&words, &mut payload).emit(&mut output), None, "{line}");
        assert!(output.iter().all(|byte| *byte == 0xee), "{line}");
    }
    let payload = vec![0; MAX_DATA_BYTES + 1];
    let mut output = vec![0xee; 2 * MAX_DATA_BYTES];
    assert_eq!(Frame::Data { stream: id(1), payload: &payload }.emit(&mut output), None);
    assert!(output.iter().all(|byte| *byte == 0xee));
}

#[test]
fn a_payload_shorter_than_its_header_said_is_a_violation() {
    for line in lines("frames.txt") {
        let (words, bytes) = halves(&line);
        let header = bytes.first_chunk().expect("a header");
        let parsed = Frame::parse(&Header::parse(header).expect("a legal header"), &[]);
        let may_be_empty = matches!(words[0], "OPEN_ACK" | "CLOSE" | "DATA");
        assert_eq!(parsed.is_ok(), may_be_empty, "{line}");
    }
}

/// MUX-3.3, MUX-3.4, MUX-4.1, MUX-4.2, MUX-12.4, MUX-12.5, MUX-14.1.
fn bytes_that_are_wrong_are_seen_at_their_last_byte_and_answered_with_their_code<S: Fresh>() {
    for line in lines("rejects.txt") {
        let (words, bytes) = halves(&line);
        let (last, before) = bytes.split_last().expect("at least a header");
        for one_by_one in [false, true] {
            let mut victim = Victim::<S>::acceptor(LIMITS);
            let piece = if one_by_one { 1 } else { before.len() };
            for piece in before.chunks(piece) {
                assert_eq!(victim.send_bytes(piece), Ok(()), "{line}");
            }
            let streams = victim.session.statistics().streams;
            assert_eq!(label(victim.send_bytes(&[*last])), words[0], "{line}");
            assert_eq!(victim.session.statistics().streams, streams, "{line}");
            let answer = Frame::CloseSession(CloseCode(decimal(words[1])));
            assert_eq!(frames(&transmitted(&mut victim.session)), [answer], "{line}");
        }
    }
}

/// One end under test, as sessions.txt moves it. `piece`: how many bytes arrive at once.
struct Player<S: Fresh> {
    session: Session<S>,
    piece: usize,
    now: Ticks,
    events: Vec<Event>,
}

impl<S: Fresh> Player<S> {
    fn new(role: &str, piece: usize) -> Self {
        let role = match role {
            "dialer" => Role::Dialer,
            "acceptor" => Role::Acceptor,
            other => panic!("{other} is no role"),
        };
        let session =
            Session::new(role, LIMITS, LIMITS.hello(), S::fresh(), Ticks::ZERO).expect("legal limits");
        Self { session, piece, now: Ticks::ZERO, events: Vec::new() }
    }

    /// Whether `expected` has been told, once.
    fn told(&mut self, expected: Event) -> bool {
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
        let position = self.events.iter().position(|event| *event == expected);
        position.is_some_and(|position| self.events.remove(position) == expected)
    }

    fn play(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = rest.split_whitespace().collect();
        let stream = || id(decimal(words[0]));
        let code = |at: usize| decimal::<u32>(words[at]);
        let session = &mut self.session;
        match verb {
            "in" => {
                for piece in hex(rest).chunks(self.piece) {
                    // A violation shows as the end of the session.
                    let _ = session.receive(piece, self.now);
                }
            }
            "out" => {
                let mut output = vec![0; 1 << 20];
                let bytes = session.transmit(&mut output);
                let expected = hex(rest);
                assert!(output[..bytes] == expected, "{line}: {:?}", frames(&output[..bytes]));
                assert_eq!(session.transmit(&mut output), 0, "{line}");
            }
            "tick" => {
                self.now = Ticks(decimal(words[0]));
                session.handle_timeout(self.now);
            }
            "open" => {
                session.open(&name(words[0]), priority(decimal(words[1]))).expect("room for a stream");
            }
            "accept" => session.accept(stream()).expect("it was offered"),
            "refuse" => session.refuse(stream(), ResetCode(code(1))).expect("it was offered"),
            "write" => {
                let bytes = hex(words[1]);
                assert_eq!(write(session, stream(), &bytes), bytes.len(), "{line}");
            }
            "finish" => session.finish(stream()).expect("it can be finished"),
            "reset" => session.reset(stream(), ResetCode(code(1))).expect("a stream of ours"),
            "close" => session.close(CloseCode(code(0))),
            "exclusive" => {
                let mut names = ExclusiveNames::new();
                names.insert(name(words[0])).expect("room for one");
                session.set_exclusive_names(&names);
            }
            "incoming" => {
                let priority = priority(decimal(words[1]));
                assert!(self.told(Event::Incoming { id: stream(), priority }), "{line}");
                assert_eq!(self.session.name(stream()), Some(&name(words[2])), "{line}");
            }
            "opened" => assert!(self.told(Event::Opened(stream())), "{line}"),
            "data" => assert!(crate::support::read(session, stream()) == Ok(hex(words[1])), "{line}"),
            "finished" => assert_eq!(session.readable(stream()), Err(ReadError::Finished), "{line}"),
            "was-reset" => {
                let code = ResetCode(code(1));
                assert!(self.told(Event::Reset(stream(), code)), "{line}");
                assert_eq!(self.session.readable(stream()), Err(ReadError::Reset(code)), "{line}");
            }
            "closed" => {
                assert_eq!(session.end(), Some(End::PeerClosed(CloseCode(code(0)))), "{line}");
                assert!(self.told(Event::Ended), "{line}");
            }
            "dead" => assert_eq!(session.end(), Some(End::KeepaliveTimeout), "{line}"),
            "violation" => match session.end() {
                Some(End::Violation(violation)) => assert_eq!(violation.label(), rest, "{line}"),
                other => panic!("{line}: {other:?}"),
            },
            other => panic!("{other} is no step"),
        }
    }
}

/// MUX-3.6, MUX-4.5, MUX-4.7, MUX-4.11, MUX-5.13, MUX-5.14, MUX-12.1, MUX-12.6, MUX-14.1.
fn conversations_go_as_the_vectors_say<S: Fresh>() {
    for piece in [1, 3, 4096, usize::MAX] {
        let mut player = None;
        for line in lines("sessions.txt") {
            match line.split_once(' ') {
                Some(("session", _)) => player = None,
                Some(("role", role)) => player = Some(Player::<S>::new(role, piece)),
                _ => player.as_mut().expect("a role before the first step").play(&line),
            }
        }
    }
}

/// The bytes in a line of a code block: its columns are set apart by two spaces or more.
fn column_of_bytes(line: &str) -> Option<String> {
    let columns = line.split("  ").map(|column| column.trim().replace(' ', ""));
    columns
        .filter(|column| column.len() >= 16 || column.len() == 2)
        .find(|column| column.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// MUX-14.1.
#[test]
fn the_vectors_of_the_page_are_those_of_the_files() {
    let specification = specification();
    let page = specification.split("### Handshake").nth(1).expect("the vectors come last");
    let golden = read("crates/noise/src/tests/golden.rs");
    let files: Vec<Vec<u8>> = ["hellos.txt", "frames.txt"]
        .iter()
        .flat_map(|file| lines(file))
        .map(|line| halves(&line).1)
        .collect();
    let conversations: Vec<Vec<u8>> = lines("sessions.txt")
        .iter()
        .filter_map(|line| line.strip_prefix("out ").or(line.strip_prefix("in ")))
        .map(hex)
        .collect();
    let mut found = 0;
    for (position, section) in page.split("### ").enumerate() {
        let block = section.split("```").nth(1).expect("a block of bytes");
        for line in block.lines().filter(|line| !line.is_empty() && *line != "text") {
            let bytes = column_of_bytes(line).unwrap_or_else(|| panic!("no bytes in: {line}"));
            let vector = hex(&bytes);
            found += 1;
            assert!(
                match position {
                    0 => golden.contains(&format!("\"{bytes}\"")),
                    1 | 2 => files.contains(&vector),
                    _ => conversations.iter().any(|all| all.windows(vector.len()).any(|part| part == vector)),
                },
                "not in the files: {line}"
            );
        }
    }
    assert_eq!(found, 5 + 3 + 9 + 7);
}

#[test]
fn hex_is_read_as_the_files_say() {
    assert_eq!(hex(" 00 ff10*1 "), [0, 0xff, 0x10]);
    assert_eq!(hex("ab*3 01"), [0xab, 0xab, 0xab, 1]);
    assert_eq!(encoded(&Frame::Ping(1)).len(), 16);
}
