use super::*;

/// The steps that are more than any test takes.
const NO_BOUND: u64 = u64::MAX;

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % bound as u64) as usize
    }
}

/// Grows a struct of unions in unions by a random step at a time; where each field came to lie, and how large it all is.
fn grow(seed: u64, few: usize) -> (Vec<u32>, u32, u32) {
    let mut random = Random(seed);
    let mut layout = Layout::with_crowds_above(few, NO_BOUND);
    let (mut spaces, mut unions) = (vec![Layout::TOP], Vec::new());
    let mut offsets = Vec::new();
    // Some have many fields of few sizes, some few of each.
    let sizes: Vec<u32> = (0..=random.below(4)).map(|_| random.below(7) as u32).collect();
    for _ in 0..200 {
        match random.below(12) {
            0 => unions.push(layout.add_union(spaces[random.below(spaces.len())])),
            1 if !unions.is_empty() => spaces.push(layout.add_member(unions[random.below(unions.len())])),
            2 => layout.place_void(spaces[random.below(spaces.len())]),
            3 => offsets.push(layout.place_pointer(spaces[random.below(spaces.len())])),
            _ => {
                let size = sizes[random.below(sizes.len())];
                offsets.push(layout.place_data(spaces[random.below(spaces.len())], size));
            }
        }
    }
    (offsets, layout.data_words, layout.pointers)
}

#[test]
fn what_is_kept_in_order_leads_to_the_same_places_as_looking_through_all() {
    for seed in 0..4_000 {
        let looked_through = grow(seed, usize::MAX);
        for few in [0, 3] {
            assert_eq!(grow(seed, few), looked_through, "seed {seed}, in order above {few}");
        }
    }
}

/// A union whose first member has `fields` words, and what is placed after.
fn beside_a_wide_member(fields: usize, place: impl Fn(&mut Layout, UnionId)) -> u64 {
    let mut layout = Layout::new(NO_BOUND);
    let union = layout.add_union(Layout::TOP);
    let wide = layout.add_member(union);
    for _ in 0..fields {
        layout.place_data(wide, WORD);
    }
    place(&mut layout, union);
    layout.steps
}

#[test]
fn small_members_beside_a_wide_one_do_not_look_at_all_of_it() {
    let steps = |members| {
        beside_a_wide_member(members, |layout, union| {
            for _ in 0..members {
                let member = layout.add_member(union);
                layout.place_data(member, 3);
            }
        })
    };
    let (half, whole) = (steps(15_000), steps(30_000));
    assert!(whole <= 2 * half + 100 && whole < 30_000 * 2 * (FEW as u64), "{half}, then {whole}");
}

#[test]
fn a_wide_member_beside_another_does_not_look_at_all_of_it_for_each_field() {
    for size in 0..=WORD {
        let steps = |fields| {
            beside_a_wide_member(fields, |layout, union| {
                let member = layout.add_member(union);
                for _ in 0..fields {
                    layout.place_data(member, size);
                }
            })
        };
        let (half, whole) = (steps(15_000), steps(30_000));
        assert!(whole <= 3 * half, "size {size}: {half}, then {whole}");
    }
}

#[test]
fn members_that_widen_each_others_places_do_not_try_them_all() {
    let steps = |fields: usize| {
        let mut layout = Layout::new(NO_BOUND);
        let union = layout.add_union(Layout::TOP);
        let members = [3, 4].map(|size| (layout.add_member(union), size));
        for _ in 0..fields {
            for (member, size) in members {
                layout.place_data(member, size);
            }
        }
        layout.steps
    };
    let (half, whole) = (steps(15_000), steps(30_000));
    assert!(whole <= 3 * half, "{half}, then {whole}");
}

#[test]
fn what_would_take_too_long_is_given_up() {
    let mut layout = Layout::new(10_000);
    // In a union in a union, each place is asked whether it can be made wider.
    let outer = layout.add_union(Layout::TOP);
    let (first, second) = (layout.add_member(outer), layout.add_member(outer));
    let inner = [layout.add_union(first), layout.add_union(second)];
    let members = inner.map(|union| [layout.add_member(union), layout.add_member(union)]);
    let mut placed = 0;
    while !layout.is_exhausted() && placed < 100_000 {
        for (member, size) in members.concat().into_iter().zip([3, 4, 4, 3]) {
            layout.place_data(member, size);
            placed += 1;
        }
    }
    assert!(layout.is_exhausted());
    let words = layout.data_words;
    assert_eq!(layout.place_data(members[0][0], 5), 0);
    assert_eq!(layout.data_words, words);
}
