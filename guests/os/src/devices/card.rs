//! The network card, as smoltcp wants it.

use std::cell::RefCell;
use std::rc::Rc;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use virtio_drivers::device::net::{RxBuffer, VirtIONet};

use crate::machine::interrupts;
use crate::machine::virtio::{Memory, Registers};

/// How many frames the card may have received before somebody looks: a burst of a window of 64 KiB.
const FRAMES: usize = 64;

/// An Ethernet frame with 1,500 bytes of payload, and the header that virtio puts before it.
const FRAME_BYTES: usize = 1514 + 12;

type Driver = Rc<RefCell<VirtIONet<Memory, Registers, FRAMES>>>;

/// The card.
pub(crate) struct Card {
    place: usize,
    driver: Driver,
}

impl Card {
    pub(crate) fn open(place: usize, registers: Registers) -> Result<Self, virtio_drivers::Error> {
        let driver = VirtIONet::new(registers, FRAME_BYTES.next_multiple_of(8))?;
        interrupts::enable_device(place);
        Ok(Self { place, driver: Rc::new(RefCell::new(driver)) })
    }

    /// The card's Ethernet address.
    pub(crate) fn address(&self) -> [u8; 6] {
        self.driver.borrow().mac_address()
    }

    /// Whether a frame waits to be read.
    pub(crate) fn has_received(&self) -> bool {
        self.driver.borrow().can_recv()
    }

    /// Deals with the interrupt of the device at `place`, if that is the card.
    pub(crate) fn acknowledge(&self, place: usize) {
        if place == self.place {
            self.driver.borrow_mut().ack_interrupt();
        }
    }
}

impl phy::Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sending)> {
        let frame = self.driver.borrow_mut().receive().ok()?;
        Some((Received { driver: self.driver.clone(), frame }, Sending(self.driver.clone())))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending> {
        self.driver.borrow().can_send().then(|| Sending(self.driver.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame that arrived.
pub(crate) struct Received {
    driver: Driver,
    frame: RxBuffer,
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let result = read(self.frame.packet());
        // A card that does not take its buffer back has one less to receive into.
        if let Err(error) = self.driver.borrow_mut().recycle_rx_buffer(self.frame) {
            println!("vatmux-os: the network card refused a buffer: {error}");
        }
        result
    }
}

/// The permission to send a frame.
pub(crate) struct Sending(Driver);

impl phy::TxToken for Sending {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, write: F) -> R {
        let mut driver = self.0.borrow_mut();
        let mut frame = driver.new_tx_buffer(bytes);
        let result = write(frame.packet_mut());
        // A frame that is lost is sent again by who misses it, as on any network.
        if let Err(error) = driver.send(frame) {
            println!("vatmux-os: the network card did not send a frame: {error}");
        }
        result
    }
}
