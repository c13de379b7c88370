//! A peer that says anything, and knows what would make sense.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use capnp::message::{Builder, Reader};
use capnp::serialize::OwnedSegments;
use capnp::traits::HasTypeId;
use capnp_rpc::rpc_capnp::{call, cap_descriptor, disembargo, message, payload, promised_answer, return_};

use crate::common::wire::point_to_first_cap;
use crate::common::{counter, probe};

/// A generator of numbers that is the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: impl ExactSizeIterator<Item = T>) -> Option<T> {
        let mut from = from;
        let count = from.len() as u64;
        if count == 0 { None } else { from.nth(self.below(count) as usize) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    /// Given up, and still to be answered; what that carries goes back unseen, or does not.
    Finished {
        release: bool,
    },
    Answered,
}

pub(crate) struct Peer {
    random: Random,
    pub(crate) said: u64,
    calls: BTreeMap<u32, Call>,
    /// Capabilities of the vat's that this peer holds.
    held: BTreeMap<u32, u32>,
    /// Questions of the vat's.
    asked: BTreeSet<u32>,
    embargoes: BTreeSet<u32>,
    /// Two calls may have had one id: their answers cannot be told apart.
    reused_an_id: bool,
    /// How likely nonsense is: one message in so many.
    sense: u64,
    /// The vat calls, and has nothing to offer: it wants answers most of all.
    is_called: bool,
}

/// The capabilities of this peer's have ids below this.
const OWN_CAPS: u64 = 9;

/// As many calls as it has at a time.
const CALL_IDS: u64 = 90;

impl Peer {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let sense = [60, 600, 5_000][random.below(3) as usize];
        Self {
            random,
            said: 0,
            calls: BTreeMap::new(),
            held: BTreeMap::new(),
            asked: BTreeSet::new(),
            embargoes: BTreeSet::new(),
            reused_an_id: false,
            sense,
            is_called: false,
        }
    }

    /// One that a vat calls.
    pub(crate) fn that_is_called(seed: u64) -> Self {
        let peer = Self::new(seed);
        Self { is_called: true, sense: peer.sense * 8, ..peer }
    }

    /// It has answered the request for its bootstrap capability.
    pub(crate) fn hosts_bootstrap(&mut self) {
        self.asked.remove(&0);
    }

    pub(crate) fn unanswered(&self) -> Vec<u32> {
        self.calls.iter().filter(|(_, call)| **call != Call::Answered).map(|(id, _)| *id).collect()
    }

    pub(crate) fn pause(&mut self) -> Duration {
        if self.random.one_in(20) {
            Duration::from_millis(self.random.below(60))
        } else {
            Duration::from_nanos(1)
        }
    }

    /// How every conversation that comes to anything begins. What the vat answers is known without reading.
    pub(crate) fn opening(&mut self) -> Vec<u8> {
        self.calls.insert(0, Call::Answered);
        self.held.insert(0, 1);
        say(|root| root.init_bootstrap().set_question_id(0))
    }

    pub(crate) fn next_batch(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..=self.random.below(12) {
            self.said += 1;
            bytes.extend(self.next_message());
        }
        bytes
    }

    /// Finishes every call, and answers every question.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, call) in std::mem::take(&mut self.calls) {
            if !matches!(call, Call::Finished { .. }) {
                bytes.extend(say(|root| {
                    let mut finish = root.init_finish();
                    finish.set_question_id(id);
                    finish.set_release_result_caps(call == Call::Open);
                }));
            }
            match call {
                Call::Open => drop(self.calls.insert(id, Call::Finished { release: true })),
                Call::Finished { .. } => drop(self.calls.insert(id, call)),
                Call::Answered => {}
            }
        }
        for id in std::mem::take(&mut self.asked) {
            bytes.extend(say(|root| {
                let mut answer = root.init_return();
                answer.set_answer_id(id);
                answer.set_release_param_caps(false);
                answer.init_exception().set_reason("given up");
            }));
        }
        bytes
    }

    fn next_message(&mut self) -> Vec<u8> {
        if self.is_called && self.random.one_in(2) {
            return self.answer();
        }
        match self.random.below(100) {
            0..3 => self.bootstrap(),
            3..50 => self.call(),
            50..72 => self.finish(),
            72..88 => self.answer(),
            88..94 => self.release(),
            94..97 => self.resolve(),
            97..99 => self.disembargo(),
            _ if self.random.one_in(self.sense / 60 + 1) => self.other(),
            _ => self.finish(),
        }
    }

    fn nonsense(&mut self) -> bool {
        self.random.one_in(self.sense)
    }

    fn any_id(&mut self) -> u32 {
        match self.random.below(4) {
            0 => u32::MAX,
            1 => self.random.next() as u32,
            _ => self.random.below(100) as u32,
        }
    }

    fn own_cap(&mut self) -> u32 {
        self.random.below(OWN_CAPS) as u32
    }

    fn held_cap(&mut self) -> u32 {
        if self.nonsense() {
            return self.any_id();
        }
        self.random.pick(self.held.keys()).copied().unwrap_or(0)
    }

    fn some_call(&mut self) -> u32 {
        if self.random.one_in(50) {
            return self.any_id();
        }
        self.random.pick(self.calls.keys()).copied().unwrap_or(0)
    }

    /// An id for a new call, one that is free unless this is nonsense.
    fn new_call(&mut self) -> Option<u32> {
        let id = self.random.below(CALL_IDS) as u32;
        if self.calls.contains_key(&id) {
            if !self.nonsense() {
                return None;
            }
            self.reused_an_id = true;
        }
        self.calls.insert(id, Call::Open);
        Some(id)
    }

    fn bootstrap(&mut self) -> Vec<u8> {
        match self.new_call() {
            Some(id) => say(|root| root.init_bootstrap().set_question_id(id)),
            None => self.finish(),
        }
    }

    fn call(&mut self) -> Vec<u8> {
        if self.held.is_empty() && !self.nonsense() {
            return self.bootstrap();
        }
        let on = self.some_call();
        let Some(id) = self.new_call() else { return self.finish() };
        say(|root| {
            let mut call = root.init_call();
            call.set_question_id(id);
            let mut target = call.reborrow().init_target();
            let of_probe = if self.random.one_in(2) {
                let cap = self.held_cap();
                target.set_imported_cap(cap);
                cap == 0
            } else {
                self.target_answer(target.init_promised_answer(), on);
                false
            };
            // Now and then the other interface.
            let astray = self.random.one_in(20);
            if of_probe && !astray || !of_probe && astray {
                call.set_interface_id(probe::Client::TYPE_ID);
                let method = self.random.below(11) as u16;
                call.set_method_id(method);
                self.probe_params(method, call.reborrow().init_params());
            } else {
                call.set_interface_id(counter::Client::TYPE_ID);
                call.set_method_id(self.random.below(3) as u16);
                self.caps(call.reborrow().init_params());
            }
            if self.random.one_in(200) {
                let mut to: call::send_results_to::Builder<'_> = call.get_send_results_to();
                if self.random.one_in(2) {
                    to.set_yourself(());
                } else {
                    to.init_third_party();
                }
            }
        })
    }

    fn target_answer(&mut self, mut answer: promised_answer::Builder<'_>, call: u32) {
        answer.set_question_id(call);
        let steps = match self.random.below(20) {
            0 => 0,
            1 => 2,
            2 if self.nonsense() => 70,
            _ => 1,
        };
        let mut transform = answer.init_transform(steps);
        for at in 0..steps {
            let field = if self.random.one_in(20) { self.random.next() as u16 } else { 0 };
            if self.random.one_in(30) {
                transform.reborrow().get(at).set_noop(());
            } else {
                transform.reborrow().get(at).set_get_pointer_field(field);
            }
        }
    }

    fn probe_params(&mut self, method: u16, mut params: payload::Builder<'_>) {
        match method {
            0 => params.get_content().init_as::<probe::echo_params::Builder<'_>>().set_n(self.random.next()),
            2 => {
                let millis = self.random.below(40);
                params.get_content().init_as::<probe::after_params::Builder<'_>>().set_millis(millis);
            }
            5 => {
                let bytes = self.random.below(200) as u32;
                params.get_content().init_as::<probe::write_params::Builder<'_>>().init_bytes(bytes);
            }
            7 | 8 => {
                let most = if self.random.one_in(50) { 100_000 } else { 500 };
                let bytes = self.random.below(most);
                params.get_content().init_as::<probe::blob_params::Builder<'_>>().set_bytes(bytes);
            }
            9 => {
                params
                    .get_content()
                    .init_as::<probe::fail_params::Builder<'_>>()
                    .set_reason("as it was told");
            }
            _ => self.caps(params.reborrow()),
        }
    }

    /// A table of capabilities, with a field for the first of them.
    fn caps(&mut self, mut payload: payload::Builder<'_>) {
        let count = self.random.below(4) as u32;
        let mut table = payload.reborrow().init_cap_table(count);
        for at in 0..count {
            self.cap(table.reborrow().get(at));
        }
        if count > 0 || self.random.one_in(10) {
            point_to_first_cap(payload.get_content());
        }
    }

    fn cap(&mut self, mut cap: cap_descriptor::Builder<'_>) {
        match self.random.below(20) {
            0 => cap.set_none(()),
            1..7 => cap.set_sender_hosted(self.own_cap()),
            7..12 => cap.set_sender_promise(self.own_cap()),
            12..15 => cap.set_receiver_hosted(self.held_cap()),
            15..19 => {
                let call = self.some_call();
                self.target_answer(cap.init_receiver_answer(), call);
            }
            _ if self.nonsense() => {
                cap.init_third_party_hosted();
            }
            _ => cap.set_sender_promise(self.own_cap()),
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        let id = self.some_call();
        // What an answer gave that this peer has seen it releases by itself.
        let release = self.calls.get(&id) != Some(&Call::Answered) && self.random.one_in(2);
        match self.calls.get(&id) {
            Some(Call::Open) => {
                self.calls.insert(id, Call::Finished { release });
            }
            Some(Call::Answered) => {
                self.calls.remove(&id);
            }
            Some(Call::Finished { .. }) | None => {}
        }
        say(|root| {
            let mut finish = root.init_finish();
            finish.set_question_id(id);
            finish.set_release_result_caps(release);
        })
    }

    fn answer(&mut self) -> Vec<u8> {
        let id = if self.nonsense() { Some(self.any_id()) } else { self.asked.first().copied() };
        let Some(id) = id else { return self.call() };
        self.asked.remove(&id);
        say(|root| {
            let mut answer: return_::Builder<'_> = root.init_return();
            answer.set_answer_id(id);
            answer.set_release_param_caps(false);
            answer.set_no_finish_needed(self.random.one_in(10));
            match self.random.below(12) {
                0 => answer.init_exception().set_reason("no"),
                1 if self.random.one_in(4) => answer.set_canceled(()),
                2 if self.random.one_in(4) => answer.set_results_sent_elsewhere(()),
                3 if self.random.one_in(4) => {
                    let call = self.some_call();
                    answer.set_take_from_other_question(call);
                }
                4 if self.random.one_in(4) => {
                    answer.init_accept_from_third_party();
                }
                5..8 => self.caps(answer.init_results()),
                _ => {
                    let results = answer.init_results().get_content();
                    results.init_as::<counter::add_results::Builder<'_>>().set_total(self.random.next());
                }
            }
        })
    }

    fn release(&mut self) -> Vec<u8> {
        let id = self.held_cap();
        let held = self.held.get(&id).copied().unwrap_or(0);
        let count = if self.nonsense() { held + 1 } else { self.random.below(u64::from(held) + 1) as u32 };
        if held == 0 && !self.nonsense() {
            return self.call();
        }
        if count >= held {
            self.held.remove(&id);
        } else {
            self.held.insert(id, held - count);
        }
        say(|root| {
            let mut release = root.init_release();
            release.set_id(id);
            release.set_reference_count(count);
        })
    }

    fn resolve(&mut self) -> Vec<u8> {
        say(|root| {
            let mut resolve = root.init_resolve();
            resolve.set_promise_id(self.own_cap());
            if self.random.one_in(4) {
                resolve.init_exception().set_reason("it came to nothing");
            } else {
                self.cap(resolve.init_cap());
            }
        })
    }

    fn disembargo(&mut self) -> Vec<u8> {
        let lifted = self.embargoes.pop_first();
        if lifted.is_none() && !self.nonsense() {
            return self.call();
        }
        say(|root| {
            let mut disembargo: disembargo::Builder<'_> = root.init_disembargo();
            let mut context = disembargo.reborrow().init_context();
            match (lifted, self.random.below(6)) {
                (Some(id), _) => context.set_receiver_loopback(id),
                (None, 0) => context.set_receiver_loopback(self.any_id()),
                (None, 1) => context.set_accept(()),
                (None, 2) => context.set_provide(self.any_id()),
                (None, _) => context.set_sender_loopback(self.any_id()),
            }
            let mut target = disembargo.init_target();
            if self.random.one_in(2) {
                let cap = self.held_cap();
                target.set_imported_cap(cap);
            } else {
                let call = self.some_call();
                self.target_answer(target.init_promised_answer(), call);
            }
        })
    }

    /// What hardly anybody says.
    fn other(&mut self) -> Vec<u8> {
        say(|root| match self.random.below(8) {
            0 => {
                root.init_provide();
            }
            1 => {
                root.init_accept();
            }
            2 => {
                root.init_join();
            }
            3 => {
                root.init_obsolete_save();
            }
            4 => {
                root.init_obsolete_delete();
            }
            5 => {
                let resolve = root.init_unimplemented().init_resolve();
                self.cap(resolve.init_cap());
            }
            6 => {
                root.init_unimplemented().init_call();
            }
            _ => root.init_abort().set_reason("enough"),
        })
    }

    /// The vat says something.
    pub(crate) fn told(&mut self, message: &Reader<OwnedSegments>) {
        match message.get_root::<message::Reader<'_>>().unwrap().which().unwrap() {
            message::Return(answer) => {
                let answer = answer.unwrap();
                let id = answer.get_answer_id();
                let (finished, unseen) = match self.calls.get(&id) {
                    None | Some(Call::Answered) if self.reused_an_id => return,
                    None | Some(Call::Answered) => panic!("an answer to call {id}, which is not open"),
                    Some(Call::Finished { release }) => (true, *release),
                    Some(Call::Open) => (false, false),
                };
                if finished || answer.get_no_finish_needed() {
                    self.calls.remove(&id);
                } else {
                    self.calls.insert(id, Call::Answered);
                }
                if let return_::Results(results) = answer.which().unwrap()
                    && !unseen
                {
                    self.given(results.unwrap());
                }
            }
            message::Call(call) => {
                let call = call.unwrap();
                self.asked.insert(call.get_question_id());
                self.given(call.get_params().unwrap());
            }
            message::Bootstrap(_) if !self.is_called => panic!("a server asks for a bootstrap capability"),
            message::Bootstrap(bootstrap) => {
                self.asked.insert(bootstrap.unwrap().get_question_id());
            }
            message::Resolve(resolve) => {
                use capnp_rpc::rpc_capnp::resolve::Cap;
                if let Cap(cap) = resolve.unwrap().which().unwrap() {
                    self.given_cap(cap.unwrap());
                }
            }
            message::Disembargo(disembargo) => {
                use capnp_rpc::rpc_capnp::disembargo::context::SenderLoopback;
                if let SenderLoopback(id) = disembargo.unwrap().get_context().which().unwrap() {
                    self.embargoes.insert(id);
                }
            }
            message::Finish(finish) => {
                // It may come before the answer, which is owed all the same.
                let _ = finish.unwrap();
            }
            message::Release(_) | message::Abort(_) | message::Unimplemented(_) => {}
            _ => panic!("a message that no vat sends"),
        }
    }

    fn given(&mut self, payload: payload::Reader<'_>) {
        for cap in payload.get_cap_table().unwrap() {
            self.given_cap(cap);
        }
    }

    fn given_cap(&mut self, cap: cap_descriptor::Reader<'_>) {
        if let cap_descriptor::SenderHosted(id) | cap_descriptor::SenderPromise(id) = cap.which().unwrap() {
            *self.held.entry(id).or_default() += 1;
        }
    }
}

fn say(build: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut builder = Builder::new_default();
    build(builder.init_root());
    capnp::serialize::write_message_to_words(&builder)
}
