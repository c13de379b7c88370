//! The other end of an image's cable: whoever is there sends what a network should not carry.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::world::PORT;

/// The most frames of one storm: what it is for may end earlier, and does.
const MOST_FRAMES: u32 = 2_000_000;

/// Frames that are sent without a pause: no more than the kernel keeps for somebody who is busy.
const BURST: u32 = 64;

/// How long nothing is sent after them.
const PAUSE: Duration = Duration::from_micros(500);

/// How long nothing comes from an image that has dealt with all that it was sent.
const CALM: Duration = Duration::from_millis(200);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What we are called on the cable.
const OUR_CARD: [u8; 6] = [0x52, 0x54, 0, 0x76, 0x61, 0x70];
const EVERYBODY: [u8; 6] = [0xff; 6];

/// What stands before an Ethernet frame's content to say what that is.
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];

/// An end of a cable.
pub(crate) struct Storm {
    end: UdpSocket,
    image: SocketAddr,
    address: Ipv4Addr,
}

impl Storm {
    /// The end `end` of the cable whose other end is the port `there`, with an image at `address`.
    pub(crate) fn new(end: UdpSocket, there: u16, address: Ipv4Addr) -> Self {
        Self { end, image: (Ipv4Addr::LOCALHOST, there).into(), address }
    }

    /// Does `something` while the image is sent frames that make no sense, and gives their number. The image hears us, before and
    /// after: it answers the one question that everybody on a cable may ask.
    pub(crate) fn during<T>(&self, something: impl FnOnce() -> Result<T, String>) -> Result<u32, String> {
        self.ask_who_is_there()?;
        let is_over = AtomicBool::new(false);
        let (sent, result) = thread::scope(|scope| {
            let storm = scope.spawn(|| self.rage(&is_over));
            let result = something();
            is_over.store(true, Ordering::Relaxed);
            (storm.join().unwrap_or(0), result)
        });
        result?;
        self.ask_who_is_there()?;
        if sent < BURST * 10 {
            return Err(format!("{sent} frames are no storm"));
        }
        Ok(sent)
    }

    /// Sends until it is over, and gives how many were sent.
    fn rage(&self, is_over: &AtomicBool) -> u32 {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..MOST_FRAMES {
            if is_over.load(Ordering::Relaxed) {
                return number;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // A frame that finds no room is lost, as on any cable.
            let _ = self.end.send_to(&nonsense(random, self.address), self.image);
            if number % BURST == BURST - 1 {
                thread::sleep(PAUSE);
            }
        }
        MOST_FRAMES
    }

    /// Asks who has the image's address, when the image has dealt with all before: a question among too much else would be lost.
    fn ask_who_is_there(&self) -> Result<(), String> {
        let failed = |error| format!("the cable: {error}");
        let mut frame = [0; 2048];
        self.end.set_read_timeout(Some(CALM)).map_err(failed)?;
        for _ in 0..MOST_FRAMES {
            if self.end.recv_from(&mut frame).is_err() {
                break;
            }
        }
        self.end.set_read_timeout(Some(ANSWER)).map_err(failed)?;
        let ours = Ipv4Addr::from(u32::from(self.address) ^ 0x40);
        self.end.send_to(&arp_request(OUR_CARD, ours, self.address), self.image).map_err(failed)?;
        // What arrives besides is for others: connections that were begun in the storm are not given up so soon.
        for _ in 0..BURST {
            let (bytes, _) = self
                .end
                .recv_from(&mut frame)
                .map_err(|error| format!("nobody on the cable says to be {}: {error}", self.address))?;
            let is_answer = bytes >= 42 && frame[12..14] == ARP && frame[20..22] == [0, 2];
            if is_answer && frame[..6] == OUR_CARD && frame[28..32] == self.address.octets() {
                return Ok(());
            }
        }
        Err(format!("nobody on the cable says to be {}", self.address))
    }
}

/// A frame that is not worth an answer, or whose answer goes nowhere.
fn nonsense(random: u64, image: Ipv4Addr) -> Vec<u8> {
    let somebody = Ipv4Addr::from(u32::from(image) & 0xffff_ff00 | (random >> 8) as u32 & 0xff);
    let mut frame = match random % 5 {
        // Everybody may ask who somebody is; whoever answers all remembers whom.
        0 => arp_request([2, 0, 0, 0, (random >> 16) as u8, (random >> 24) as u8], somebody, image),
        // A first packet of a connection, from somebody who never sends a second.
        1 => ipv4(6, somebody, image, &segment((random >> 16) as u16, somebody, image)),
        // A header that says more than there is.
        2 => {
            let mut packet = ipv4(17, somebody, image, &[0xa5; 20]);
            packet[14 + (random >> 16) as usize % 20] ^= (random >> 24) as u8 | 1;
            packet
        }
        // A fragment of what never arrives whole.
        3 => {
            let mut packet = ipv4(6, somebody, image, &[0x5a; 1400]);
            packet[20] = 0x20;
            let sum = checksum(&[&packet[14..24], &packet[26..34]]);
            packet[24..26].copy_from_slice(&sum.to_be_bytes());
            packet
        }
        // QEMU takes an empty datagram for the end of the cable.
        _ => (0..=(random >> 16) % 1514).map(|at| (random >> (at % 56)) as u8).collect(),
    };
    frame.truncate(1514);
    frame
}

fn ethernet(from: [u8; 6], kind: [u8; 2], content: &[&[u8]]) -> Vec<u8> {
    [&EVERYBODY[..], &from, &kind].into_iter().chain(content.iter().copied()).flatten().copied().collect()
}

fn arp_request(from: [u8; 6], ours: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let request = [0, 1, 8, 0, 6, 4, 0, 1];
    ethernet(from, ARP, &[&request, &from, &ours.octets(), &[0; 6], &wanted.octets()])
}

fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, content: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + content.len()) as u16).to_be_bytes();
    let mut header = [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[12..16].copy_from_slice(&from.octets());
    header[16..].copy_from_slice(&to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(OUR_CARD, IPV4, &[&header, content])
}

/// A TCP segment that wants to connect to where images listen.
fn segment(port: u16, from: Ipv4Addr, to: Ipv4Addr) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&port.to_be_bytes());
    segment[2..4].copy_from_slice(&PORT.to_be_bytes());
    segment[12..16].copy_from_slice(&[0x50, 0x02, 0x10, 0]);
    let sum = checksum(&[&from.octets(), &to.octets(), &[0, 6, 0, 20], &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The Internet's checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_makes_everything_sum_up_to_nothing() {
        let packet = ipv4(6, Ipv4Addr::new(10, 0, 3, 7), Ipv4Addr::new(10, 0, 3, 15), &[1, 2]);
        assert_eq!(checksum(&[&packet[14..34]]), 0);
        // The example of RFC 1071, section 3: the sum is 0xddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn every_kind_of_nonsense_fits_a_cable() {
        let image = Ipv4Addr::new(10, 0, 3, 15);
        for random in (0..100_u64).map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert!((1..=1514).contains(&nonsense(random, image).len()));
        }
    }
}
