//! A server that answers as it is told.

use capnp::traits::ImbueMut;
use capnp_rpc::rpc_capnp::{cap_descriptor, message, payload};
use vatmux_driver::pipe;
use vatmux_rpc::service::testing::InMemory;

use crate::common::PIPE_BYTES;
use crate::common::wire::{Place, Target, Told, Wire};
use crate::linked::chain::Link;

/// What a server gives in place of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// No results at all.
    Nothing,
    /// A struct without fields.
    Empty,
    /// A struct whose field is null.
    Null,
    Text,
    Struct,
    /// A capability that its message does not have.
    Missing,
    /// One that its message says is none.
    None,
    /// Results that are a list.
    List,
    /// Results that are a capability.
    Bare,
    Exception,
    Canceled,
    Elsewhere,
    Taken,
    /// An object of the caller's that it does not have any more.
    Gone,
}

impl Instead {
    pub(crate) const ALL: [Self; 14] = [
        Self::Nothing,
        Self::Empty,
        Self::Null,
        Self::Text,
        Self::Struct,
        Self::Missing,
        Self::None,
        Self::List,
        Self::Bare,
        Self::Exception,
        Self::Canceled,
        Self::Elsewhere,
        Self::Taken,
        Self::Gone,
    ];
}

/// A caller's vat, and the server's end of its stream, which has given its bootstrap capability.
pub(crate) struct Script {
    pub(crate) node: InMemory,
    pub(crate) link: Link,
    pub(crate) wire: Wire,
}

impl Script {
    pub(crate) fn new() -> Self {
        let mut node = InMemory::new();
        let (near, far) = pipe(PIPE_BYTES);
        let link: Link = node.connect::<Link>(near);
        let mut wire = Wire::new(far);
        node.run(async {
            assert_eq!(wire.told().await, Some(Told::Bootstrap { id: 0 }));
            wire.answer_with_cap(0, 0, Place::Bootstrap).await;
        });
        Self { node, link, wire }
    }
}

/// The next call that the server is asked, and on what; embargoes are lifted on the way.
pub(crate) async fn asked(wire: &mut Wire) -> (u32, Target) {
    loop {
        let told = wire.read().await.expect("the vat is over");
        match told.get_root::<message::Reader<'_>>().unwrap().which().unwrap() {
            message::Call(call) => {
                let call = call.unwrap();
                let target = match call.get_target().unwrap().which().unwrap() {
                    capnp_rpc::rpc_capnp::message_target::ImportedCap(id) => Target::Cap(id),
                    capnp_rpc::rpc_capnp::message_target::PromisedAnswer(answer) => {
                        Target::Answer(answer.unwrap().get_question_id())
                    }
                };
                return (call.get_question_id(), target);
            }
            message::Disembargo(disembargo) => {
                use capnp_rpc::rpc_capnp::disembargo::context::SenderLoopback;
                if let SenderLoopback(id) = disembargo.unwrap().get_context().which().unwrap() {
                    lift(wire, id).await;
                }
            }
            _ => {}
        }
    }
}

pub(crate) async fn lift(wire: &mut Wire, embargo: u32) {
    wire.say(|root| {
        let mut disembargo = root.init_disembargo();
        disembargo.reborrow().init_context().set_receiver_loopback(embargo);
        disembargo.init_target().set_imported_cap(0);
    })
    .await;
}

/// Lifts embargoes for as long as it is polled.
pub(crate) async fn lift_all(wire: &mut Wire) {
    loop {
        asked(wire).await;
    }
}

/// Answers with the capability that `describe` describes, in the first field.
pub(crate) async fn answer_link(
    wire: &mut Wire,
    id: u32,
    describe: impl FnOnce(cap_descriptor::Builder<'_>),
) {
    say_results(wire, id, |mut results| {
        describe(results.reborrow().init_cap_table(1).get(0));
        crate::common::wire::point_to_first_cap(results.get_content());
    })
    .await;
}

pub(crate) async fn answer_total(wire: &mut Wire, id: u32) {
    say_results(wire, id, |results| {
        use crate::linked::chain_capnp::link::give_results;
        results.get_content().init_as::<give_results::Builder<'_>>().set_total(7);
    })
    .await;
}

async fn say_results(wire: &mut Wire, id: u32, build: impl FnOnce(payload::Builder<'_>)) {
    wire.say(|root| {
        let mut answer = root.init_return();
        answer.set_answer_id(id);
        answer.set_release_param_caps(false);
        build(answer.init_results());
    })
    .await;
}

/// Answers with something else than a link.
pub(crate) async fn answer_instead(wire: &mut Wire, id: u32, instead: Instead) {
    use crate::linked::chain_capnp::anything;
    wire.say(|root| {
        let mut answer = root.init_return();
        answer.set_answer_id(id);
        answer.set_release_param_caps(false);
        match instead {
            Instead::Exception => answer.init_exception().set_reason("no"),
            Instead::Canceled => answer.set_canceled(()),
            Instead::Elsewhere => answer.set_results_sent_elsewhere(()),
            Instead::Taken => answer.set_take_from_other_question(9),
            _ => {
                let mut results = answer.init_results();
                let mut caps = match instead {
                    Instead::None | Instead::Bare | Instead::Gone => results.reborrow().init_cap_table(1),
                    _ => results.reborrow().init_cap_table(0),
                };
                match instead {
                    Instead::Bare => caps.reborrow().get(0).set_sender_hosted(3),
                    Instead::Gone => caps.reborrow().get(0).set_receiver_hosted(4_000),
                    _ => {}
                }
                let content = results.get_content();
                match instead {
                    Instead::Nothing => {}
                    Instead::Empty => {
                        content.init_as::<crate::linked::chain_capnp::link::next_params::Builder<'_>>();
                    }
                    Instead::List => drop(content.initn_as::<capnp::text::Builder<'_>>(5)),
                    Instead::Bare => point_to_cap(content),
                    _ => {
                        let mut fields = content.init_as::<anything::Builder<'_>>();
                        match instead {
                            Instead::Text => {
                                fields
                                    .reborrow()
                                    .init_first()
                                    .initn_as::<capnp::text::Builder<'_>>(5)
                                    .push_str("text");
                            }
                            Instead::Struct => {
                                fields.reborrow().init_first().init_as::<anything::Builder<'_>>();
                            }
                            Instead::Missing | Instead::None | Instead::Gone => {
                                point_to_cap(fields.reborrow().init_first());
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    })
    .await;
}

/// Points to the first capability of the message, if it has one.
pub(crate) fn point_to_cap(mut pointer: capnp::any_pointer::Builder<'_>) {
    let mut caps = Vec::new();
    {
        let mut pointer = pointer.reborrow();
        pointer.imbue_mut(&mut caps);
        let stand_in = capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook;
        pointer.set_as_capability(stand_in);
    }
}
