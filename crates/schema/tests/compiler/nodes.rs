//! What a request says beside layouts and values.

use capnp::schema_capnp::{brand, node, type_};

use crate::common::{compile, names, node};

#[test]
fn nested_nodes_stand_in_the_order_of_the_text_and_name_their_parent() {
    let compiled =
        compile("struct B { struct C {} enum D {} } interface A {} using E = B; const f :Int8 = 1;");
    let request = compiled.request().unwrap();
    let file = node(request, "test.capnp");
    let nested: Vec<_> = file
        .get_nested_nodes()
        .unwrap()
        .iter()
        .map(|nested| nested.get_name().unwrap().to_string().unwrap())
        .collect();
    assert_eq!(nested, ["B", "A", "f"]);
    assert_eq!(node(request, "test.capnp:B.C").get_scope_id(), node(request, "test.capnp:B").get_id());
}

#[test]
fn a_prefix_length_leaves_the_last_name() {
    let compiled = compile("struct A { g :group { a @0 :Text; } } interface I { m @0 (); }");
    let request = compiled.request().unwrap();
    for name in names(request) {
        let length = node(request, &name).get_display_name_prefix_length() as usize;
        assert_eq!(&name[length..], name.rsplit(['.', ':']).next().unwrap());
    }
}

#[test]
fn parameters_become_structs_outside_of_all_scopes() {
    let compiled = compile("interface I { m @0 (a :Int8) -> (b :Text); n @1 (); }");
    let request = compiled.request().unwrap();
    for name in ["I.m$Params", "I.m$Results", "I.n$Params", "I.n$Results"] {
        assert_eq!(node(request, &format!("test.capnp:{name}")).get_scope_id(), 0);
    }
}

#[test]
fn a_brand_states_what_binds_and_what_is_inherited() {
    let compiled = compile("struct A(T) { struct B { t @0 :T; } b @0 :B; c @1 :A(Text).B; d @2 :A; }");
    let request = compiled.request().unwrap();
    let node::Struct(this) = node(request, "test.capnp:A").which().unwrap() else { panic!("no struct") };
    let brands: Vec<_> = this
        .get_fields()
        .unwrap()
        .iter()
        .map(|field| {
            let capnp::schema_capnp::field::Slot(slot) = field.which().unwrap() else { panic!("a group") };
            let type_::Struct(ty) = slot.get_type().unwrap().which().unwrap() else { panic!("no struct") };
            let scopes = ty.get_brand().unwrap().get_scopes().unwrap();
            scopes
                .iter()
                .map(|scope| matches!(scope.which().unwrap(), brand::scope::Bind(_)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(brands, [vec![false], vec![true], vec![]]);
}

#[test]
fn generic_is_what_has_parameters_or_stands_in_what_has() {
    let compiled = compile(
        "struct A(T) { struct B {} g :group { a @0 :T; } } struct C { i @0 :I; interface I { m @0 [T] (t :T); } }",
    );
    let request = compiled.request().unwrap();
    let generic: Vec<_> =
        names(request).into_iter().filter(|name| node(request, name).get_is_generic()).collect();
    let expected = ["A", "A.B", "A.g", "C.I.m$Params", "C.I.m$Results"];
    assert_eq!(generic, expected.map(|name| format!("test.capnp:{name}")));
}

#[test]
fn comments_behind_a_declaration_document_it() {
    let body = "struct A { # One.\n  # Two.\n\n  # Not this.\n  a @0 :Text; # Of a.\n  #   Indented.\n}\n# Nor this.";
    let compiled = compile(body);
    let request = compiled.request().unwrap();
    let id = node(request, "test.capnp:A").get_id();
    let info = request.get_source_info().unwrap().iter().find(|info| info.get_id() == id).unwrap();
    assert_eq!(info.get_doc_comment().unwrap(), "One.\nTwo.\n");
    assert_eq!(info.get_members().unwrap().get(0).get_doc_comment().unwrap(), "Of a.\n  Indented.\n");
}

#[test]
fn the_same_schema_makes_the_same_bytes() {
    let body = include_str!("../schemas/imported.capnp");
    let files = crate::common::Memory::default().with("a.capnp", body);
    let compile =
        || vatmux_schema::compile_from(&files, &["a.capnp"], &vatmux_schema::Options::default()).unwrap();
    assert_eq!(compile().to_bytes(), compile().to_bytes());
}

#[test]
fn each_schema_of_the_corpus_compiles() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    let mut compiled = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "capnp") {
            let options = vatmux_schema::Options::default().source_prefix(&directory);
            vatmux_schema::compile(&[&path], &options)
                .unwrap_or_else(|errors| panic!("{}\n{errors}", path.display()));
            compiled += 1;
        }
    }
    assert!(compiled >= 5);
}

#[test]
fn an_alias_may_have_the_name_of_what_it_stands_for_further_out() {
    compile("using Text = Text; struct A { a @0 :Text = \"x\"; }");
}
