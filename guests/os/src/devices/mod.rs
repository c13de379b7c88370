//! The devices that the image needs: a source of random bytes, a disk, and the network's card.

pub(crate) mod entropy;
