//! Where the fields of a struct lie.
//!
//! Fields are placed in the order of their ordinals, each into the smallest hole that fits, or behind all that was
//! placed before: a schema that grows keeps the places of its older fields. The members of a union share space: each
//! member takes places that the members before it have already taken, and widens them where there is room.
//!
//! Sizes are logarithms: a value of size `n` takes `1 << n` bits, so that 0 is a bit and 6 a word. Offsets count values
//! of that size from the start of the data section.

use std::collections::BTreeMap;

/// The logarithm of a word's size in bits.
const WORD: u32 = 6;

/// A place in the layout that members are put into: the struct itself, or one member of a union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpaceId(usize);

/// A union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnionId(usize);

/// The layout of one struct, with its groups and unions, as it grows field by field.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The data section's size, in words.
    pub(crate) data_words: u32,
    /// The pointer section's size, in pointers.
    pub(crate) pointers: u32,
    holes: Holes,
    spaces: Vec<Space>,
    unions: Vec<Union>,
}

/// Unused places of each size below a word, at most one of each: 0 is none, since no hole is at the very start.
#[derive(Clone, Copy, Debug, Default)]
struct Holes([u32; WORD as usize]);

#[derive(Debug)]
struct Union {
    parent: SpaceId,
    members: u32,
    discriminant: Option<u32>,
    data: Vec<DataPlace>,
    pointers: Vec<u32>,
}

/// A piece of the data section that the members of a union share.
#[derive(Clone, Copy, Debug)]
struct DataPlace {
    size: u32,
    offset: u32,
}

/// A space; the first is the struct itself.
#[derive(Debug, Default)]
struct Space {
    /// Of which union this is a member; `None` for the struct.
    union: Option<UnionId>,
    used: bool,
    /// By the index of the place; of what is not here nothing is used.
    data: BTreeMap<usize, Use>,
    pointers: usize,
}

/// What one member of a union uses of one [`DataPlace`].
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// How much, counted from the start of the place; `None` if nothing.
    size: Option<u32>,
    holes: Holes,
}

impl Holes {
    fn take(&mut self, size: u32) -> Option<u32> {
        let hole = *self.0.get(size as usize)?;
        if hole != 0 {
            self.0[size as usize] = 0;
            return Some(hole);
        }
        // Half of a hole twice the size; the other half stays one.
        let next = self.take(size + 1)? * 2;
        self.0[size as usize] = next + 1;
        Some(next)
    }

    /// Adds what is unused from `offset` up to the end of the piece of size `limit` around it.
    fn add_behind(&mut self, size: u32, offset: u32, limit: u32) {
        let mut offset = offset;
        for size in size..limit {
            self.0[size as usize] = offset;
            offset = offset.div_ceil(2);
        }
    }

    /// Widens the value at `offset` by `factor` sizes into the holes behind it, if they are there.
    fn widen(&mut self, size: u32, offset: u32, factor: u32) -> bool {
        if factor == 0 {
            return true;
        }
        if self.0.get(size as usize).copied() != Some(offset + 1) {
            return false;
        }
        if !self.widen(size + 1, offset >> 1, factor - 1) {
            return false;
        }
        self.0[size as usize] = 0;
        true
    }

    fn smallest_at_least(&self, size: u32) -> Option<u32> {
        (size..WORD).find(|size| self.0[*size as usize] != 0)
    }
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self {
            data_words: 0,
            pointers: 0,
            holes: Holes::default(),
            spaces: vec![Space::default()],
            unions: Vec::new(),
        }
    }

    /// The struct itself.
    pub(crate) const TOP: SpaceId = SpaceId(0);

    /// A union among the members of `parent`.
    pub(crate) fn add_union(&mut self, parent: SpaceId) -> UnionId {
        self.unions.push(Union {
            parent,
            members: 0,
            discriminant: None,
            data: Vec::new(),
            pointers: Vec::new(),
        });
        UnionId(self.unions.len() - 1)
    }

    /// A member of `union`.
    pub(crate) fn add_member(&mut self, union: UnionId) -> SpaceId {
        self.spaces.push(Space { union: Some(union), ..Space::default() });
        SpaceId(self.spaces.len() - 1)
    }

    /// Where the discriminant of `union` lies, in units of 16 bits, once it has one.
    pub(crate) fn discriminant(&self, union: UnionId) -> Option<u32> {
        self.unions[union.0].discriminant
    }

    /// Gives `union` its discriminant now; `false` if it has one already. Without this it gets one with its second
    /// member.
    pub(crate) fn place_discriminant(&mut self, union: UnionId) -> bool {
        if self.unions[union.0].discriminant.is_some() {
            return false;
        }
        let offset = self.place_data(self.unions[union.0].parent, 4);
        self.unions[union.0].discriminant = Some(offset);
        true
    }

    /// Places a field that takes no room. It counts as a member of the unions around it all the same.
    pub(crate) fn place_void(&mut self, space: SpaceId) {
        if let Some(union) = self.enter(space) {
            self.place_void(self.unions[union.0].parent);
        }
    }

    /// Places a pointer; its index in the pointer section.
    pub(crate) fn place_pointer(&mut self, space: SpaceId) -> u32 {
        let Some(union) = self.enter(space) else {
            self.pointers += 1;
            return self.pointers - 1;
        };
        let index = self.spaces[space.0].pointers;
        self.spaces[space.0].pointers += 1;
        if let Some(pointer) = self.unions[union.0].pointers.get(index) {
            return *pointer;
        }
        let pointer = self.place_pointer(self.unions[union.0].parent);
        self.unions[union.0].pointers.push(pointer);
        pointer
    }

    /// Places a value of `size`; its offset.
    pub(crate) fn place_data(&mut self, space: SpaceId, size: u32) -> u32 {
        let Some(union) = self.enter(space) else {
            return self.holes.take(size).unwrap_or_else(|| {
                let offset = self.data_words << (WORD - size);
                self.data_words += 1;
                self.holes.add_behind(size, offset + 1, WORD);
                offset
            });
        };
        // The place with the smallest hole that fits, the first of those alike.
        let mut best: Option<(u32, usize)> = None;
        for (index, place) in self.unions[union.0].data.iter().enumerate() {
            let hole = self.used(space, index).smallest_hole(*place, size);
            if let Some(hole) = hole.filter(|hole| best.is_none_or(|(best, _)| *hole < best)) {
                best = Some((hole, index));
                if hole == size {
                    break;
                }
            }
        }
        if let Some((_, index)) = best {
            let place = self.unions[union.0].data[index];
            return self.spaces[space.0].data.entry(index).or_default().fill(place, size);
        }
        // None fits: a place that can be made wider.
        for index in 0..self.unions[union.0].data.len() {
            if let Some(offset) = self.widen_and_fill(space, union, index, size) {
                return offset;
            }
        }
        let offset = self.place_data(self.unions[union.0].parent, size);
        let index = self.unions[union.0].data.len();
        self.unions[union.0].data.push(DataPlace { size, offset });
        self.spaces[space.0].data.insert(index, Use { size: Some(size), holes: Holes::default() });
        offset
    }

    /// What `space` uses of the place at `index` of its union.
    fn used(&self, space: SpaceId, index: usize) -> Use {
        self.spaces[space.0].data.get(&index).copied().unwrap_or_default()
    }

    /// Notes that `space` has a member. The second member of a union brings its discriminant. The union it belongs to.
    fn enter(&mut self, space: SpaceId) -> Option<UnionId> {
        let union = self.spaces[space.0].union?;
        if !std::mem::replace(&mut self.spaces[space.0].used, true) {
            self.unions[union.0].members += 1;
            if self.unions[union.0].members == 2 {
                self.place_discriminant(union);
            }
        }
        Some(union)
    }

    fn widen_and_fill(&mut self, space: SpaceId, union: UnionId, index: usize, size: u32) -> Option<u32> {
        let Some(used) = self.used(space, index).size else {
            if !self.widen_place(union, index, size) {
                return None;
            }
            self.spaces[space.0].data.entry(index).or_default().size = Some(size);
            let place = self.unions[union.0].data[index];
            return Some(place.offset << (place.size - size));
        };
        let wanted = used.max(size) + 1;
        if !self.widen_use(space, union, index, wanted, true) {
            return None;
        }
        let offset = self.spaces[space.0].data.entry(index).or_default().holes.take(size)?;
        let place = self.unions[union.0].data[index];
        Some((place.offset << (place.size - size)) + offset)
    }

    /// Lets `space` use `wanted` of a place, which is made wider if it is smaller. What becomes free is a hole if
    /// `free`, and else belongs to the value that grows.
    fn widen_use(&mut self, space: SpaceId, union: UnionId, index: usize, wanted: u32, free: bool) -> bool {
        if wanted > self.unions[union.0].data[index].size && !self.widen_place(union, index, wanted) {
            return false;
        }
        let used = self.spaces[space.0].data.entry(index).or_default();
        if free {
            used.holes.add_behind(used.size.unwrap_or(0), 1, wanted);
        }
        used.size = Some(wanted);
        true
    }

    fn widen_place(&mut self, union: UnionId, index: usize, wanted: u32) -> bool {
        let DataPlace { size, offset } = self.unions[union.0].data[index];
        if wanted <= size {
            return true;
        }
        let factor = wanted - size;
        if !self.widen_data(self.unions[union.0].parent, size, offset, factor) {
            return false;
        }
        self.unions[union.0].data[index] = DataPlace { size: wanted, offset: offset >> factor };
        true
    }

    /// Widens what lies at `offset` of `space` by `factor` sizes, in place.
    fn widen_data(&mut self, space: SpaceId, size: u32, offset: u32, factor: u32) -> bool {
        let Some(union) = self.spaces[space.0].union else {
            return self.holes.widen(size, offset, factor);
        };
        if size + factor > WORD || offset & ((1 << factor) - 1) != 0 {
            return false;
        }
        // It lies in a place that this space uses.
        let places = &self.unions[union.0].data;
        let Some(index) = self.spaces[space.0].data.keys().copied().find(|index| {
            let place = places[*index];
            place.size >= size && offset >> (place.size - size) == place.offset
        }) else {
            return false;
        };
        let place = places[index];
        let local = offset - (place.offset << (place.size - size));
        if local == 0 && self.used(space, index).size == Some(size) {
            self.widen_use(space, union, index, size + factor, false)
        } else {
            self.spaces[space.0].data.entry(index).or_default().holes.widen(size, local, factor)
        }
    }
}

impl Use {
    /// The size of the smallest hole in `place` that `size` fits into.
    fn smallest_hole(&self, place: DataPlace, size: u32) -> Option<u32> {
        let Some(used) = self.size else {
            return (size <= place.size).then_some(place.size);
        };
        if size >= used {
            // The use doubles until the value fits behind what is there.
            return (size < place.size).then_some(size);
        }
        self.holes.smallest_at_least(size).or((used < place.size).then_some(used))
    }

    /// Puts a value of `size` where [`Use::smallest_hole`] found room; its offset in the struct.
    fn fill(&mut self, place: DataPlace, size: u32) -> u32 {
        let local = match self.size {
            None => {
                self.size = Some(size);
                0
            }
            Some(used) if size >= used => {
                self.holes.add_behind(used, 1, size);
                self.size = Some(size + 1);
                1
            }
            Some(used) => self.holes.take(size).unwrap_or_else(|| {
                let local = 1 << (used - size);
                self.holes.add_behind(size, local + 1, used);
                self.size = Some(used + 1);
                local
            }),
        };
        (place.offset << (place.size - size)) + local
    }
}
