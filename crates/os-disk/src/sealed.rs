//! The two areas of the disk, and how each is known to be whole.

use blake2::Blake2s256;
use blake2::digest::Digest;
use vatmux_noise::SecretKey;

use crate::{AREA_BYTES, Config, ConfigError};

const CONFIG_MARK: &[u8; 16] = b"vatmux-os conf 1";
const KEY_MARK: &[u8; 16] = b"vatmux-os key 1\n";
const DIGEST_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
/// Mark, length and digest.
const HEADER_BYTES: usize = 16 + 4 + DIGEST_BYTES;

/// Why an area cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// There are fewer bytes than an area has.
    #[error("the disk is too small")]
    TooSmall,
    /// The mark is another: nothing was written there, or something else.
    #[error("there is none; write one with `cargo xtask os`")]
    Missing,
    /// The length is more than there is room for.
    #[error("it says that it has {0} bytes, more than there is room for")]
    Length(u32),
    /// The digest is another.
    #[error("it is damaged: its digest is not that of its content")]
    Digest,
    /// It is whole, and makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The key's area.
#[derive(Debug)]
pub enum Kept {
    /// No key was ever written.
    Nothing,
    /// The key that was.
    Key(SecretKey),
}

/// The area that holds `config`; `None` where it does not fit.
#[must_use]
pub fn seal_config(config: &Config) -> Option<Vec<u8>> {
    let text = config.to_string();
    let mut area = Vec::with_capacity(AREA_BYTES);
    area.extend(CONFIG_MARK);
    area.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
    area.extend(Blake2s256::digest(&text));
    area.extend(text.as_bytes());
    (area.len() <= AREA_BYTES).then(|| {
        area.resize(AREA_BYTES, 0);
        area
    })
}

/// The configuration in `area`.
pub fn read_config(area: &[u8]) -> Result<Config, Damage> {
    let (header, room) = area.split_at_checked(HEADER_BYTES).ok_or(Damage::TooSmall)?;
    let (mark, rest) = header.split_at(CONFIG_MARK.len());
    if mark != CONFIG_MARK {
        return Err(Damage::Missing);
    }
    let (length, digest) = rest.split_first_chunk::<4>().ok_or(Damage::TooSmall)?;
    let length = u32::from_le_bytes(*length);
    let text = room.get(..length as usize).ok_or(Damage::Length(length))?;
    if Blake2s256::digest(text).as_slice() != digest {
        return Err(Damage::Digest);
    }
    Ok(str::from_utf8(text).map_err(|_| ConfigError::NotText)?.parse::<Config>()?)
}

/// The area that holds `key`.
#[must_use]
pub fn seal_key(key: &SecretKey) -> Vec<u8> {
    let mut area = Vec::with_capacity(AREA_BYTES);
    area.extend(KEY_MARK);
    area.extend(key.expose());
    area.extend(Blake2s256::digest(key.expose()));
    area.resize(AREA_BYTES, 0);
    area
}

/// The key in `area`. An area of zeros has none yet; anything else that is not a key is damage, and no reason to make another.
pub fn read_key(area: &[u8]) -> Result<Kept, Damage> {
    let sealed = area.get(..KEY_MARK.len() + KEY_BYTES + DIGEST_BYTES).ok_or(Damage::TooSmall)?;
    if area.iter().all(|byte| *byte == 0) {
        return Ok(Kept::Nothing);
    }
    let (mark, rest) = sealed.split_at(KEY_MARK.len());
    let (key, digest) = rest.split_first_chunk::<KEY_BYTES>().ok_or(Damage::TooSmall)?;
    if mark != KEY_MARK || Blake2s256::digest(key).as_slice() != digest {
        return Err(Damage::Digest);
    }
    SecretKey::from_bytes(*key).map(Kept::Key).map_err(|_| Damage::Digest)
}

#[cfg(test)]
mod tests {
    use vatmux_noise::Entropy;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate(Entropy::from_bytes([7; 32]).unwrap())
    }

    #[test]
    fn a_key_comes_back_as_it_was() {
        let area = seal_key(&key());
        assert_eq!(area.len(), AREA_BYTES);
        match read_key(&area).unwrap() {
            Kept::Key(kept) => assert_eq!(kept.node_id(), key().node_id()),
            Kept::Nothing => panic!("there is one"),
        }
    }

    #[test]
    fn an_area_of_zeros_has_no_key_yet() {
        assert!(matches!(read_key(&[0; AREA_BYTES]), Ok(Kept::Nothing)));
    }

    #[test]
    fn test_reject_a_key_with_any_bit_flipped() {
        let area = seal_key(&key());
        for bit in 0..80 * 8 {
            let mut flipped = area.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_key(&flipped).unwrap_err(), Damage::Digest, "bit {bit}");
        }
    }

    #[test]
    fn a_configuration_comes_back_as_it_was() {
        let config = Config::default();
        let area = seal_config(&config).unwrap();
        assert_eq!((area.len(), read_config(&area)), (AREA_BYTES, Ok(config)));
    }

    #[test]
    fn test_reject_a_configuration_with_any_bit_flipped() {
        let area = seal_config(&Config::default()).unwrap();
        let used = HEADER_BYTES + Config::default().to_string().len();
        for bit in 0..used * 8 {
            let mut flipped = area.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_config(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn test_reject_areas_that_hold_something_else() {
        assert_eq!(read_config(&[0; AREA_BYTES]), Err(Damage::Missing));
        assert_eq!(read_config(b"vatmux"), Err(Damage::TooSmall));
        assert_eq!(read_key(b"vatmux").unwrap_err(), Damage::TooSmall);
        assert_eq!(read_key(&[0xa5; AREA_BYTES]).unwrap_err(), Damage::Digest);
        let mut long = seal_config(&Config::default()).unwrap();
        long[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read_config(&long), Err(Damage::Length(u32::MAX)));
    }
}
