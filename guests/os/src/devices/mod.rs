//! The devices that the image needs: a source of random bytes, a disk, and a network card.

pub(crate) mod card;
pub(crate) mod disk;
pub(crate) mod entropy;

use virtio_drivers::transport::DeviceType;

use self::card::Card;
use self::disk::Disk;
use crate::machine::virtio;

/// What the machine has. The source of random bytes is not among it: it serves everybody from its place.
#[derive(Default)]
pub(crate) struct Devices {
    pub(crate) disk: Option<Disk>,
    /// The network cards, ordered by their Ethernet addresses: in which order a machine has its devices is its own affair.
    pub(crate) cards: Vec<Card>,
}

/// Finds the devices and starts their drivers. Says what it cannot use.
pub(crate) fn open() -> Devices {
    let mut devices = Devices::default();
    for found in virtio::probe() {
        let opened = match found.kind {
            DeviceType::EntropySource => entropy::open(found.registers),
            DeviceType::Block => Disk::open(found.registers).map(|disk| devices.disk = Some(disk)),
            DeviceType::Network => {
                Card::open(found.place, found.registers).map(|card| devices.cards.push(card))
            }
            _ => continue,
        };
        if let Err(error) = opened {
            println!("vatmux-os: cannot use the {:?} device: {error}", found.kind);
        }
    }
    devices.cards.sort_by_key(Card::address);
    devices
}
