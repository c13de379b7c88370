//! Where the fields of a struct lie.
//!
//! Fields are placed in the order of their ordinals, each into the smallest hole that fits, or behind all that was
//! placed before: a schema that grows keeps the places of its older fields. The members of a union share space: each
//! member takes places that the members before it have already taken, and widens them where there is room.
//!
//! Sizes are logarithms: a value of size `n` takes `1 << n` bits, so that 0 is a bit and 6 a word. Offsets count values
//! of that size from the start of the data section.
//!
//! A union may have tens of thousands of members, and as many places for them: where a value goes is looked up, and not
//! searched for among all places. What is left of searching is counted ([`Layout::steps`]).

use std::collections::{BTreeMap, BTreeSet};

/// The logarithm of a word's size in bits.
const WORD: u32 = 6;

/// How many places of its union a member uses before what it could use next is kept in order. Few are looked through
/// sooner than that is kept, and few members have many: of a struct's 65,535 fields it takes so many each.
const FEW: usize = 128;

/// How many steps it counts for to try whether one place can be made wider, which may ask the same of the unions around.
const WIDENING_STEPS: u64 = 4;

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
    /// How many places were looked at so far.
    pub(crate) steps: u64,
    /// The steps after which nothing is placed any more: what is asked for then is at 0.
    most_steps: u64,
    /// How many places a member of a union uses without having a [`Crowd`].
    few: usize,
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
    /// The indexes of the places, by their size.
    by_size: [BTreeSet<usize>; WORD as usize + 1],
    /// And by the bit that they start at, which they keep when they are made wider.
    by_start: BTreeMap<u32, usize>,
    /// The members that have a [`Crowd`].
    crowded: Vec<SpaceId>,
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
    /// Where more than [`FEW`] places are used.
    crowd: Option<Box<Crowd>>,
    pointers: usize,
}

/// What one member of a union uses of one [`DataPlace`].
#[derive(Clone, Copy, Debug)]
struct Use {
    /// How much, counted from the start of the place.
    size: u32,
    holes: Holes,
}

/// What a member that uses many places could use next.
#[derive(Debug, Default)]
struct Crowd {
    /// For each size of a value the holes, by their sizes, in the places that are used.
    fits: BTreeSet<(u32, u32, usize)>,
    /// The places that are not used, by their size.
    free: [BTreeSet<usize>; WORD as usize + 1],
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

    /// The size and the offset of each.
    fn each(&self) -> impl Iterator<Item = (u32, u32)> {
        (0_u32..).zip(self.0).filter(|(_, hole)| *hole != 0)
    }

    fn smallest_at_least(&self, size: u32) -> Option<u32> {
        (size..WORD).find(|size| self.0[*size as usize] != 0)
    }
}

impl Layout {
    pub(crate) fn new(most_steps: u64) -> Self {
        Self::with_crowds_above(FEW, most_steps)
    }

    fn with_crowds_above(few: usize, most_steps: u64) -> Self {
        Self {
            data_words: 0,
            pointers: 0,
            steps: 0,
            most_steps,
            few,
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
            by_size: Default::default(),
            by_start: BTreeMap::new(),
            crowded: Vec::new(),
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
        if self.is_exhausted() {
            return 0;
        }
        if let Some(index) = self.find_hole(space, union, size) {
            return self.use_place(space, union, index, |used, place| {
                if let Some(used) = used {
                    return used.fill(place, size);
                }
                *used = Some(Use { size, holes: Holes::default() });
                place.offset << (place.size - size)
            });
        }
        // None fits: the first place that can be made wider.
        for index in self.may_be_widened(union) {
            self.steps += WIDENING_STEPS;
            if self.is_exhausted() {
                return 0;
            }
            if let Some(offset) = self.widen_and_fill(space, union, index, size) {
                return offset;
            }
        }
        let offset = self.place_data(self.unions[union.0].parent, size);
        let index = self.add_place(union, DataPlace { size, offset });
        self.use_place(space, union, index, |used, _| {
            *used = Some(Use { size, holes: Holes::default() });
        });
        offset
    }

    /// Whether the steps are used up: what has been placed since then lies anywhere.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps > self.most_steps
    }

    /// The place with the smallest hole that fits, the first of those alike.
    fn find_hole(&mut self, space: SpaceId, union: UnionId, size: u32) -> Option<usize> {
        let Union { data: places, by_size, .. } = &self.unions[union.0];
        let Space { data: used, crowd, .. } = &self.spaces[space.0];
        let mut steps = 0;
        let (used, free) = if let Some(crowd) = crowd {
            let holes =
                crowd.fits.range((size, 0, 0)..(size + 1, 0, 0)).map(|(_, hole, index)| (*hole, *index));
            let free = (size..=WORD).find_map(|size| Some((size, *crowd.free[size as usize].first()?)));
            (holes.take(1).next(), free)
        } else {
            steps += used.len() as u64;
            let holes = used
                .iter()
                .filter_map(|(index, used)| Some((used.smallest_hole(*places.get(*index)?, size)?, *index)));
            let free = (size..=WORD).find_map(|size| {
                let mut of_size = by_size[size as usize].iter();
                let free = of_size.find(|index| {
                    steps += 1;
                    !used.contains_key(index)
                });
                Some((size, *free?))
            });
            (holes.min(), free)
        };
        self.steps += 1 + steps;
        used.into_iter().chain(free).min().map(|(_, index)| index)
    }

    /// Adds a place that nothing uses yet; its index.
    fn add_place(&mut self, union: UnionId, place: DataPlace) -> usize {
        let union = &mut self.unions[union.0];
        let index = union.data.len();
        union.data.push(place);
        union.by_size[place.size as usize].insert(index);
        union.by_start.insert(place.start(), index);
        for space in &union.crowded {
            self.steps += 1;
            if let Some(crowd) = &mut self.spaces[space.0].crowd {
                crowd.insert(index, None, place);
            }
        }
        index
    }

    /// Changes what `space` uses of the place at `index`.
    fn use_place<T>(
        &mut self,
        space: SpaceId,
        union: UnionId,
        index: usize,
        change: impl FnOnce(&mut Option<Use>, DataPlace) -> T,
    ) -> T {
        let place = self.unions[union.0].data[index];
        let Space { data, crowd, .. } = &mut self.spaces[space.0];
        let mut used = data.get(&index).copied();
        if let Some(crowd) = crowd {
            crowd.remove(index, used.as_ref(), place);
        }
        let outcome = change(&mut used, place);
        if let Some(crowd) = crowd {
            crowd.insert(index, used.as_ref(), place);
        }
        if let Some(used) = used {
            data.insert(index, used);
        }
        if crowd.is_none() && data.len() > self.few {
            let places = &self.unions[union.0].data;
            self.steps += places.len() as u64;
            let mut all = Box::<Crowd>::default();
            for (index, place) in places.iter().enumerate() {
                all.insert(index, data.get(&index), *place);
            }
            *crowd = Some(all);
            self.unions[union.0].crowded.push(space);
        }
        outcome
    }

    /// What `space` uses of the place at `index` of its union; `None` if nothing.
    fn used(&self, space: SpaceId, index: usize) -> Option<Use> {
        self.spaces[space.0].data.get(&index).copied()
    }

    /// The places of a union among which are all that can be made wider, in their order.
    fn may_be_widened(&self, union: UnionId) -> Vec<usize> {
        let Union { parent, data, by_start, .. } = &self.unions[union.0];
        if self.spaces[parent.0].union.is_some() {
            return (0..data.len()).collect();
        }
        // Those with a hole right behind, of which there is one of each size.
        let before = self.holes.each().filter_map(|(size, hole)| {
            let index = *by_start.get(&((hole - 1) << size))?;
            (data[index].size == size).then_some(index)
        });
        let mut found: Vec<_> = before.collect();
        found.sort_unstable();
        found
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
        let Some(used) = self.used(space, index) else {
            if !self.widen_place(union, index, size) {
                return None;
            }
            return Some(self.use_place(space, union, index, |used, place| {
                *used = Some(Use { size, holes: Holes::default() });
                place.offset << (place.size - size)
            }));
        };
        if !self.widen_use(space, union, index, used.size.max(size) + 1, true) {
            return None;
        }
        self.use_place(space, union, index, |used, place| {
            let offset = used.as_mut()?.holes.take(size)?;
            Some((place.offset << (place.size - size)) + offset)
        })
    }

    /// Lets `space` use `wanted` of a place, which is made wider if it is smaller. What becomes free is a hole if
    /// `free`, and else belongs to the value that grows.
    fn widen_use(&mut self, space: SpaceId, union: UnionId, index: usize, wanted: u32, free: bool) -> bool {
        if wanted > self.unions[union.0].data[index].size && !self.widen_place(union, index, wanted) {
            return false;
        }
        self.use_place(space, union, index, |used, _| {
            if let Some(used) = used {
                if free {
                    used.holes.add_behind(used.size, 1, wanted);
                }
                used.size = wanted;
            }
        });
        true
    }

    fn widen_place(&mut self, union: UnionId, index: usize, wanted: u32) -> bool {
        let narrow = self.unions[union.0].data[index];
        if wanted <= narrow.size {
            return true;
        }
        let factor = wanted - narrow.size;
        if !self.widen_data(self.unions[union.0].parent, narrow.size, narrow.offset, factor) {
            return false;
        }
        let wide = DataPlace { size: wanted, offset: narrow.offset >> factor };
        let union = &mut self.unions[union.0];
        union.data[index] = wide;
        union.by_size[narrow.size as usize].remove(&index);
        union.by_size[wide.size as usize].insert(index);
        for space in &union.crowded {
            self.steps += 1;
            let Space { data, crowd, .. } = &mut self.spaces[space.0];
            if let Some(crowd) = crowd {
                crowd.remove(index, data.get(&index), narrow);
                crowd.insert(index, data.get(&index), wide);
            }
        }
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
        let Some((_, index)) = self.unions[union.0].by_start.range(..=offset << size).next_back() else {
            return false;
        };
        let (index, place) = (*index, self.unions[union.0].data[*index]);
        if place.size < size || offset >> (place.size - size) != place.offset {
            return false;
        }
        let Some(used) = self.used(space, index) else { return false };
        let local = offset - (place.offset << (place.size - size));
        if local == 0 && used.size == size {
            return self.widen_use(space, union, index, size + factor, false);
        }
        self.use_place(space, union, index, |used, _| {
            used.as_mut().is_some_and(|used| used.holes.widen(size, local, factor))
        })
    }
}

impl DataPlace {
    /// The bit that it starts at.
    fn start(self) -> u32 {
        self.offset << self.size
    }
}

impl Crowd {
    /// Notes a place, of which its member has `used`.
    fn insert(&mut self, index: usize, used: Option<&Use>, place: DataPlace) {
        match used {
            Some(used) => self.fits.extend(used.fits(index, place)),
            None => {
                self.free[place.size as usize].insert(index);
            }
        }
    }

    /// Forgets one that was noted as this.
    fn remove(&mut self, index: usize, used: Option<&Use>, place: DataPlace) {
        match used {
            Some(used) => {
                for fit in used.fits(index, place) {
                    self.fits.remove(&fit);
                }
            }
            None => {
                self.free[place.size as usize].remove(&index);
            }
        }
    }
}

impl Use {
    /// For each size of a value that it has room for: the size of the smallest hole that the value fits into.
    fn fits(&self, index: usize, place: DataPlace) -> impl Iterator<Item = (u32, u32, usize)> {
        (0..=WORD).filter_map(move |size| Some((size, self.smallest_hole(place, size)?, index)))
    }

    /// The size of the smallest hole in `place` that `size` fits into.
    fn smallest_hole(&self, place: DataPlace, size: u32) -> Option<u32> {
        if size >= self.size {
            // The use doubles until the value fits behind what is there.
            return (size < place.size).then_some(size);
        }
        self.holes.smallest_at_least(size).or((self.size < place.size).then_some(self.size))
    }

    /// Puts a value of `size` where [`Use::smallest_hole`] found room; its offset in the struct.
    fn fill(&mut self, place: DataPlace, size: u32) -> u32 {
        let local = if size >= self.size {
            self.holes.add_behind(self.size, 1, size);
            self.size = size + 1;
            1
        } else {
            self.holes.take(size).unwrap_or_else(|| {
                let local = 1 << (self.size - size);
                self.holes.add_behind(size, local + 1, self.size);
                self.size += 1;
                local
            })
        };
        (place.offset << (place.size - size)) + local
    }
}

#[cfg(test)]
mod tests;
