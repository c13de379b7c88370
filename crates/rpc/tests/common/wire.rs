//! A peer that says exactly what a test has it say, and shows what it is told.

use capnp::capability::FromClientHook;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp::serialize::OwnedSegments;
use capnp::traits::ImbueMut;
use capnp_rpc::rpc_capnp::{message, return_};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::PipeEnd;

use super::probe::counter_results;

pub(crate) struct Wire {
    pub(crate) stream: PipeEnd,
    buffered: Vec<u8>,
}

/// What the tests look at in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Bootstrap { id: u32 },
    Call { id: u32, target: Target, method: u16, answers_passed: Vec<u32> },
    Finish { id: u32, release: bool },
    Return { id: u32, outcome: Outcome },
    Release { id: u32, count: u32 },
    Disembargo { target: Target },
    Resolve { id: u32 },
    Abort { reason: String },
    Unimplemented,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Bootstrap,
    Field,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Cap(u32),
    Answer(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Results { hosted: Vec<u32>, answers_passed: Vec<u32> },
    Exception(String),
    Canceled,
    Other,
}

impl Wire {
    pub(crate) fn new(stream: PipeEnd) -> Self {
        Self { stream, buffered: Vec::new() }
    }

    /// The next message, as far as the tests look at it; None where the vat closed the stream.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        self.read().await.map(|reader| told(&reader))
    }

    /// The next message as it is.
    pub(crate) async fn read(&mut self) -> Option<Reader<OwnedSegments>> {
        loop {
            let mut rest = &self.buffered[..];
            if let Ok(Some(reader)) = capnp::serialize::try_read_message(&mut rest, ReaderOptions::new()) {
                let used = self.buffered.len() - rest.len();
                self.buffered.drain(..used);
                return Some(reader);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await.unwrap() {
                0 => {
                    assert!(self.buffered.is_empty(), "the vat closed the stream inside a message");
                    return None;
                }
                read => self.buffered.extend_from_slice(&bytes[..read]),
            }
        }
    }

    pub(crate) async fn say(&mut self, build: impl FnOnce(message::Builder<'_>)) {
        let mut builder = Builder::new(HeapAllocator::new());
        build(builder.init_root());
        self.say_bytes(&capnp::serialize::write_message_to_words(&builder)).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Answers with a capability of this peer's: in the only field of the results, or, where they answer the
    /// request for the bootstrap capability, in their place.
    pub(crate) async fn answer_with_cap(&mut self, id: u32, export: u32, place: Place) {
        let mut caps = Vec::new();
        let mut builder = Builder::new(HeapAllocator::new());
        let mut answer = builder.init_root::<message::Builder<'_>>().init_return();
        answer.set_answer_id(id);
        answer.set_release_param_caps(false);
        let mut results = answer.init_results();
        results.reborrow().init_cap_table(1).get(0).set_sender_hosted(export);
        let mut content = results.get_content();
        content.imbue_mut(&mut caps);
        let stand_in = capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook;
        match place {
            Place::Bootstrap => content.set_as_capability(stand_in),
            Place::Field => {
                content.init_as::<counter_results::Builder<'_>>().set_counter(FromClientHook::new(stand_in));
            }
        }
        self.say_bytes(&capnp::serialize::write_message_to_words(&builder)).await;
    }

    /// Answers with a capability of the vat's own, in the only field of the results.
    pub(crate) async fn answer_with_hosted(&mut self, id: u32, export: u32) {
        self.say(|root| {
            let mut answer = root.init_return();
            answer.set_answer_id(id);
            answer.set_release_param_caps(false);
            let mut results = answer.init_results();
            results.reborrow().init_cap_table(1).get(0).set_receiver_hosted(export);
            point_to_first_cap(results.get_content());
        })
        .await;
    }

    /// Answers with results of no fields.
    pub(crate) async fn answer_empty(&mut self, id: u32) {
        self.say(|root| {
            let mut answer = root.init_return();
            answer.set_answer_id(id);
            answer.set_release_param_caps(false);
            answer.init_results();
        })
        .await;
    }

    pub(crate) async fn answer_canceled(&mut self, id: u32) {
        self.say(|root| {
            let mut answer = root.init_return();
            answer.set_answer_id(id);
            answer.set_release_param_caps(false);
            answer.set_canceled(());
        })
        .await;
    }
}

/// Makes `content` a struct with one field: the first capability of the message's table.
pub(crate) fn point_to_first_cap(mut content: capnp::any_pointer::Builder<'_>) {
    // It lives as long as the message may, which in a test is for ever.
    content.imbue_mut(Box::leak(Box::default()));
    let stand_in = capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook;
    content.init_as::<counter_results::Builder<'_>>().set_counter(FromClientHook::new(stand_in));
}

fn told(reader: &Reader<OwnedSegments>) -> Told {
    let root = reader.get_root::<message::Reader<'_>>().unwrap();
    match root.which().unwrap() {
        message::Bootstrap(bootstrap) => Told::Bootstrap { id: bootstrap.unwrap().get_question_id() },
        message::Call(call) => {
            let call = call.unwrap();
            Told::Call {
                id: call.get_question_id(),
                target: target(call.get_target().unwrap()),
                method: call.get_method_id(),
                answers_passed: answers_passed(call.get_params().unwrap()),
            }
        }
        message::Finish(finish) => {
            let finish = finish.unwrap();
            Told::Finish { id: finish.get_question_id(), release: finish.get_release_result_caps() }
        }
        message::Return(answer) => {
            let answer = answer.unwrap();
            let outcome = match answer.which().unwrap() {
                return_::Results(results) => {
                    let results = results.unwrap();
                    Outcome::Results { hosted: hosted(results), answers_passed: answers_passed(results) }
                }
                return_::Exception(exception) => {
                    Outcome::Exception(exception.unwrap().get_reason().unwrap().to_string().unwrap())
                }
                return_::Canceled(()) => Outcome::Canceled,
                _ => Outcome::Other,
            };
            Told::Return { id: answer.get_answer_id(), outcome }
        }
        message::Release(release) => {
            let release = release.unwrap();
            Told::Release { id: release.get_id(), count: release.get_reference_count() }
        }
        message::Disembargo(disembargo) => {
            Told::Disembargo { target: target(disembargo.unwrap().get_target().unwrap()) }
        }
        message::Resolve(resolve) => Told::Resolve { id: resolve.unwrap().get_promise_id() },
        message::Abort(abort) => {
            Told::Abort { reason: abort.unwrap().get_reason().unwrap().to_string().unwrap() }
        }
        _ => Told::Unimplemented,
    }
}

fn target(target: capnp_rpc::rpc_capnp::message_target::Reader<'_>) -> Target {
    use capnp_rpc::rpc_capnp::message_target::{ImportedCap, PromisedAnswer};
    match target.which().unwrap() {
        ImportedCap(id) => Target::Cap(id),
        PromisedAnswer(answer) => Target::Answer(answer.unwrap().get_question_id()),
    }
}

fn answers_passed(payload: capnp_rpc::rpc_capnp::payload::Reader<'_>) -> Vec<u32> {
    use capnp_rpc::rpc_capnp::cap_descriptor::ReceiverAnswer;
    let table = payload.get_cap_table().unwrap();
    table
        .iter()
        .filter_map(|cap| match cap.which().unwrap() {
            ReceiverAnswer(answer) => Some(answer.unwrap().get_question_id()),
            _ => None,
        })
        .collect()
}

fn hosted(payload: capnp_rpc::rpc_capnp::payload::Reader<'_>) -> Vec<u32> {
    use capnp_rpc::rpc_capnp::cap_descriptor::SenderHosted;
    let table = payload.get_cap_table().unwrap();
    table
        .iter()
        .filter_map(|cap| match cap.which().unwrap() {
            SenderHosted(id) => Some(id),
            _ => None,
        })
        .collect()
}
