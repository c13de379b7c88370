//! The disk, of which the first sectors are used: what the image was told, and the key that it made.

use vatmux_noise::{Entropy, SecretKey};
use vatmux_os_disk::{AREA_BYTES, CONFIG_AT, Config, Damage, KEY_AT, Kept, read_config, read_key, seal_key};
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};

use crate::devices::entropy;
use crate::machine::virtio::{Memory, Registers};

/// The disk.
pub(crate) struct Disk(VirtIOBlk<Memory, Registers>);

/// Why the disk does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// The device failed.
    #[error("cannot {tried} the {area}: {error}")]
    Device { tried: &'static str, area: &'static str, error: virtio_drivers::Error },
    /// What is there cannot be used.
    #[error("cannot use the {area}: {damage}")]
    Damage { area: &'static str, damage: Damage },
    /// What was written does not come back.
    #[error("the key was written, and is not what is read back")]
    NotKept,
}

impl Disk {
    pub(crate) fn open(registers: Registers) -> Result<Self, virtio_drivers::Error> {
        let mut disk = VirtIOBlk::new(registers)?;
        // It is waited for where it is asked.
        disk.disable_interrupts();
        Ok(Self(disk))
    }

    /// What the image was told.
    pub(crate) fn config(&mut self) -> Result<Config, DiskError> {
        const AREA: &str = "configuration";
        let bytes = self.read(CONFIG_AT, AREA)?;
        read_config(&bytes).map_err(|damage| DiskError::Damage { area: AREA, damage })
    }

    /// The key that was made on the first boot. If this is that, it is made now, and kept before anybody learns of it.
    pub(crate) fn key(&mut self) -> Result<(SecretKey, IsNew), DiskError> {
        const AREA: &str = "key";
        let damaged = |damage| DiskError::Damage { area: AREA, damage };
        if let Kept::Key(key) = read_key(&self.read(KEY_AT, AREA)?).map_err(damaged)? {
            return Ok((key, IsNew(false)));
        }
        let key = SecretKey::generate(fresh_entropy());
        let failed = |error| DiskError::Device { tried: "write", area: AREA, error };
        self.0.write_blocks(KEY_AT / SECTOR_SIZE, &seal_key(&key)).map_err(failed)?;
        self.0.flush().map_err(failed)?;
        match read_key(&self.read(KEY_AT, AREA)?).map_err(damaged)? {
            Kept::Key(kept) if kept.node_id() == key.node_id() => Ok((key, IsNew(true))),
            Kept::Key(_) | Kept::Nothing => Err(DiskError::NotKept),
        }
    }

    fn read(&mut self, at: usize, area: &'static str) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; AREA_BYTES];
        if self.0.capacity() < ((at + AREA_BYTES) / SECTOR_SIZE) as u64 {
            return Err(DiskError::Damage { area, damage: Damage::TooSmall });
        }
        self.0.read_blocks(at / SECTOR_SIZE, &mut bytes).map_err(|error| DiskError::Device {
            tried: "read",
            area,
            error,
        })?;
        Ok(bytes)
    }
}

/// Whether a key was made just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

/// Random bytes for one key or one handshake.
pub(crate) fn fresh_entropy() -> Entropy {
    loop {
        let mut bytes = [0; 32];
        entropy::fill(&mut bytes);
        // 32 zeros by chance are as likely as any other key, and are refused all the same.
        if let Ok(entropy) = Entropy::from_bytes(bytes) {
            return entropy;
        }
    }
}
