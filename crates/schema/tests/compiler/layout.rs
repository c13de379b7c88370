//! Where fields lie. Each layout was compared with that of the C++ tool when it was written down.

use crate::common::layout;

#[test]
fn a_field_goes_into_the_smallest_hole_that_fits() {
    assert_eq!(
        layout("struct A { a @0 :UInt8; b @1 :UInt32; c @2 :UInt16; d @3 :UInt8; }"),
        "1w 0p {a@0 b@1 c@1 d@1}"
    );
    assert_eq!(
        layout("struct A { a @0 :Bool; b @1 :UInt64; c @2 :Bool; d @3 :UInt8; }"),
        "2w 0p {a@0 b@1 c@1 d@1}"
    );
}

#[test]
fn bits_fill_a_byte_before_they_open_another() {
    let fields = (0..9).map(|index| format!("f{index} @{index} :Bool; ")).collect::<Vec<_>>().concat();
    assert_eq!(
        layout(&format!("struct A {{ {fields} }}")),
        "1w 0p {f0@0 f1@1 f2@2 f3@3 f4@4 f5@5 f6@6 f7@7 f8@8}"
    );
}

#[test]
fn a_field_never_moves_when_fields_are_added() {
    let types = ["UInt8", "Bool", "Text", "UInt32", "UInt16", "Bool", "UInt64", "List(Text)", "Int8"];
    let body = |count: usize| {
        let fields = types
            .iter()
            .take(count)
            .enumerate()
            .map(|(index, ty)| format!("f{index} @{index} :{ty}; "))
            .collect::<Vec<_>>()
            .concat();
        format!("struct A {{ {fields} }}")
    };
    let whole = layout(&body(types.len()));
    for count in 1..types.len() {
        let part = layout(&body(count));
        let fields = part[part.find('{').unwrap()..].trim_end_matches('}').to_owned();
        assert!(whole.contains(&fields), "{part} is not the start of {whole}");
    }
}

#[test]
fn the_order_in_the_text_does_not_matter() {
    let forward = "struct A { a @0 :UInt8; b @1 :Text; c @2 :UInt64; }";
    let backward = "struct A { c @2 :UInt64; b @1 :Text; a @0 :UInt8; }";
    assert_eq!(layout(forward), layout(backward));
}

#[test]
fn void_takes_no_room() {
    assert_eq!(layout("struct A { a @0 :Void; b @1 :Void; }"), "0w 0p {a b}");
    assert_eq!(layout("struct A {}"), "0w 0p {}");
}

#[test]
fn a_group_lies_among_the_fields_of_its_struct() {
    let body = "struct A { a @0 :UInt32; g :group { b @1 :UInt64; c @3 :Text; } d @2 :UInt32; }";
    assert_eq!(layout(body), "2w 1p {a@0 g{b@1 c@0} d@1}");
}

#[test]
fn the_members_of_a_union_share_their_room() {
    assert_eq!(
        layout("struct A { union { a @0 :UInt32; b @1 :UInt16; c @2 :Text; d @3 :List(Bool); } }"),
        "1w 1p <4@2>{a@0#0 b@0#1 c@0#2 d@0#3}"
    );
}

#[test]
fn a_discriminant_comes_with_the_second_member() {
    assert_eq!(
        layout("struct A { union { a @0 :UInt64; b @2 :Void; } c @1 :UInt8; }"),
        "2w 0p <2@5>{a@0#0 c@8 b#1}"
    );
}

#[test]
fn a_union_with_a_number_has_its_discriminant_there() {
    assert_eq!(
        layout("struct A { u @0! :union { a @1 :UInt32; b @2 :Void; } }"),
        "1w 0p {u<2@0>{a@1#0 b#1}}"
    );
    assert_eq!(
        layout("struct A { u @1! :union { a @0 :UInt32; b @2 :Void; } }"),
        "1w 0p {u<2@2>{a@0#0 b#1}}"
    );
}

#[test]
fn a_larger_member_widens_a_place_into_the_hole_behind_it() {
    assert_eq!(layout("struct A { union { a @0 :UInt8; b @1 :UInt32; } }"), "1w 0p <2@1>{a@0#0 b@1#1}");
    assert_eq!(
        layout("struct A { x @0 :UInt64; union { a @1 :UInt16; b @2 :Void; c @3 :UInt32; } }"),
        "2w 0p <3@5>{x@0 a@4#0 b#1 c@3#2}"
    );
    assert_eq!(
        layout("struct A { u @0! :union { a @1 :UInt16; b @2 :UInt16; c @3 :UInt32; d @4 :UInt64; } }"),
        "2w 0p {u<4@0>{a@1#0 b@1#1 c@1#2 d@1#3}}"
    );
}

#[test]
fn a_group_in_a_union_packs_into_what_earlier_members_took() {
    let body = "struct A { union { a @0 :UInt64; g :group { b @1 :UInt8; c @2 :UInt32; d @3 :UInt16; e @4 :UInt8; } } }";
    assert_eq!(layout(body), "2w 0p <2@4>{a@0#0 g{b@0 c@1 d@1 e@1}#1}");
}

#[test]
fn a_union_in_a_group_in_a_union_has_a_discriminant_of_its_own() {
    let body = "struct A { u :union { g :group { v :union { a @0 :UInt32; b @1 :Text; } c @2 :UInt8; } d @3 :UInt64; } }";
    assert_eq!(layout(body), "2w 1p {u<2@4>{g{v<2@2>{a@0#0 b@0#1} c@6}#0 d@0#1}}");
}

#[test]
fn pointers_are_shared_one_by_one() {
    let body = "struct A { union { g :group { a @0 :Text; b @1 :Text; } h :group { c @2 :Text; d @3 :Text; e @4 :Text; } } }";
    assert_eq!(layout(body), "1w 3p <2@0>{g{a@0 b@1}#0 h{c@0 d@1 e@2}#1}");
}

#[test]
fn a_member_takes_the_smallest_place_that_earlier_members_took() {
    let body = "struct A { union { g :group { a @0 :UInt64; b @1 :UInt8; } h :group { c @2 :UInt8; d @3 :UInt16; } } }";
    assert_eq!(layout(body), "2w 0p <2@5>{g{a@0 b@8}#0 h{c@8 d@0}#1}");
}
