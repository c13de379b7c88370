//! What there must be a claim of: every method of every service, as the descriptors have them.
//!
//! Each method must have its good call, its deadline, its cut link and its cancelled call. What it refuses is in its schema's words only; so
//! each service's module says which statuses which of its methods has ([`Contract`]), and each of these must have its claim. No status
//! of a schema may be forgotten: one that no method gives must say why.

use std::collections::BTreeSet;

use vatmux::capnp::introspect::{Introspect, TypeVariant};
use vatmux::capnp::schema::EnumSchema;
use vatmux::service::Descriptor;

use crate::claim::{Asked, Claim, Kind};

/// What a service's schema says of refusals.
pub(crate) struct Contract {
    pub(crate) service: &'static Descriptor,
    /// The words of its status, by number.
    statuses: Vec<String>,
    /// What each method may refuse with.
    refusals: Vec<(Asked, BTreeSet<u16>)>,
    /// What no call over a link shows, and why.
    elsewhere: Vec<(u16, Elsewhere)>,
}

/// Why a status has no claim here.
pub(crate) struct Elsewhere {
    pub(crate) why: &'static str,
    /// The source that tests it, and the name of the test.
    pub(crate) tested: Option<(&'static str, &'static str)>,
}

impl Contract {
    /// A service without a status.
    pub(crate) fn without_status(service: &'static Descriptor) -> Self {
        Self { service, statuses: Vec::new(), refusals: Vec::new(), elsewhere: Vec::new() }
    }

    /// A service with a status.
    pub(crate) fn new<S: Introspect + Copy + Into<u16>>(
        service: &'static Descriptor,
        refusals: &[(Asked, &[&[S]])],
        elsewhere: Vec<(S, Elsewhere)>,
    ) -> Self {
        let TypeVariant::Enum(raw) = S::introspect().which() else { panic!("a status is an enum") };
        let words = EnumSchema::new(raw).get_enumerants().unwrap();
        let word = |at| words.get(at).get_proto().get_name().unwrap().to_string().unwrap();
        Self {
            service,
            statuses: (0..words.len()).map(word).collect(),
            refusals: refusals
                .iter()
                .map(|(asked, groups)| {
                    (*asked, groups.iter().copied().flatten().map(|status| (*status).into()).collect())
                })
                .collect(),
            elsewhere: elsewhere.into_iter().map(|(status, why)| (status.into(), why)).collect(),
        }
    }

    fn methods(&self) -> impl Iterator<Item = Asked> {
        let interfaces = self.service.interfaces.iter();
        interfaces.flat_map(|interface| interface.methods.iter().map(|method| Asked { interface, method }))
    }

    fn status(&self, number: u16) -> &str {
        self.statuses.get(usize::from(number)).map_or("a status that there is not", String::as_str)
    }
}

/// What is missing, in words.
fn missing(claims: &[Claim], contracts: &[Contract]) -> Vec<String> {
    let claimed: BTreeSet<_> = claims.iter().map(|claim| (claim.asked.key(), claim.kind)).collect();
    let mut missing = Vec::new();
    for contract in contracts {
        let service = contract.service.name;
        for asked in contract.methods() {
            let refusals = contract.refusals.iter().filter(|(of, _)| of.key() == asked.key());
            let refusals: BTreeSet<u16> = refusals.flat_map(|(_, statuses)| statuses).copied().collect();
            let kinds = [Kind::Good, Kind::Deadline, Kind::Cut, Kind::Cancelled];
            for kind in kinds.into_iter().chain(refusals.into_iter().map(Kind::Refusal)) {
                if !claimed.contains(&(asked.key(), kind)) {
                    missing.push(match kind {
                        Kind::Refusal(status) => {
                            format!("{service}: {asked} refused as {}", contract.status(status))
                        }
                        kind => format!("{service}: {asked} {kind:?}"),
                    });
                }
            }
        }
        for number in 1..contract.statuses.len() as u16 {
            let of_a_method = contract.refusals.iter().any(|(_, statuses)| statuses.contains(&number));
            let elsewhere = contract.elsewhere.iter().any(|(status, _)| *status == number);
            if !of_a_method && !elsewhere {
                missing.push(format!("{service}: any method that refuses as {}", contract.status(number)));
            }
        }
    }
    missing
}

#[test]
fn every_method_of_every_service_has_its_claims() {
    let missing = missing(&crate::claims(), &crate::contracts());
    assert!(missing.is_empty(), "these have no round trip:\n{}", missing.join("\n"));
}

#[test]
fn a_claim_that_is_taken_away_is_missed() {
    let contracts = crate::contracts();
    let mut claims = crate::claims();
    for at in 0..claims.len() {
        let taken = claims.swap_remove(at);
        let another =
            claims.iter().any(|claim| (claim.asked.key(), claim.kind) == (taken.asked.key(), taken.kind));
        // A method of an interface that two services share is missed by both.
        assert_eq!(missing(&claims, &contracts).is_empty(), another, "{taken}");
        claims.push(taken);
        let last = claims.len() - 1;
        claims.swap(at, last);
    }
}

#[test]
fn every_refusal_that_is_claimed_is_one_of_the_contract() {
    let contracts = crate::contracts();
    for claim in crate::claims() {
        let Kind::Refusal(status) = claim.kind else { continue };
        let promised = contracts
            .iter()
            .flat_map(|contract| &contract.refusals)
            .any(|(asked, statuses)| asked.key() == claim.asked.key() && statuses.contains(&status));
        assert!(promised, "{claim} is not in the contract");
    }
}

#[test]
fn every_service_that_a_schema_has_is_in_the_list() {
    let schemas = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut named = BTreeSet::new();
    for file in std::fs::read_dir(schemas).unwrap() {
        let file = file.unwrap().path();
        if file.file_name().is_some_and(|name| name == "vatmux.capnp") {
            // It is where the annotation is from.
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        for said in text.split("$Vatmux.service(name = \"").skip(1) {
            named.insert(said.split('"').next().unwrap().to_owned());
        }
    }
    let listed: BTreeSet<_> =
        crate::contracts().iter().map(|contract| contract.service.name.to_owned()).collect();
    assert_eq!(named, listed);
}

#[test]
fn what_is_tested_elsewhere_is_tested_there() {
    for contract in crate::contracts() {
        for (status, Elsewhere { why, tested }) in &contract.elsewhere {
            let status = contract.status(*status);
            println!("{}: {status} has no round trip: {why}", contract.service.name);
            let Some((file, test)) = tested else { continue };
            let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let source = std::fs::read_to_string(source).unwrap();
            assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}, of {status}");
        }
    }
}
