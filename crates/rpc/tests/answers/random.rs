//! A server that answers at random, while its callers call what they were not given yet, and pass on what they have.
//!
//! Each answer is a valid message. What must hold: nothing panics, neither then nor when all that is left is dropped. (What
//! is held by itself, because the program called a thing with itself and gave up, nobody drops.) Every run prints its first
//! seed; `VATMUX_RPC_SEED` and `VATMUX_RPC_SEEDS` choose others.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use capnp::message::{Builder, Reader};
use capnp::serialize::OwnedSegments;
use capnp_rpc::rpc_capnp::{cap_descriptor, message, payload};
use futures::FutureExt;
use futures::io::AsyncWriteExt;
use vatmux_rpc::resolved;
use vatmux_rpc::service::{Capability, Stub};

use crate::linked::chain::Link;
use crate::linked::chain_capnp::anything;
use crate::own::Own;
use crate::script::{Script, point_to_cap};

/// Answers in one run of the test.
const ANSWERS: u64 = 100_000;

/// Answers to one vat.
const ANSWERS_PER_VAT: u64 = 500;

/// How often the program acts at the most.
const ROUNDS_PER_VAT: u32 = 5_000;

/// Links that the program keeps.
const KEPT: usize = 12;

/// Pipelines that it keeps.
const KEPT_PIPELINES: usize = 40;

/// A generator of numbers that is the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What the server knows.
#[derive(Default)]
struct Server {
    asked: Vec<u32>,
    embargoes: Vec<u32>,
    held: Vec<u32>,
}

impl Server {
    fn told(&mut self, told: &Reader<OwnedSegments>) {
        match told.get_root::<message::Reader<'_>>().unwrap().which().unwrap() {
            message::Call(call) => {
                let call = call.unwrap();
                self.asked.push(call.get_question_id());
                for cap in call.get_params().unwrap().get_cap_table().unwrap() {
                    if let cap_descriptor::SenderHosted(id) | cap_descriptor::SenderPromise(id) =
                        cap.which().unwrap()
                        && !self.held.contains(&id)
                    {
                        self.held.push(id);
                    }
                }
            }
            message::Disembargo(disembargo) => {
                use capnp_rpc::rpc_capnp::disembargo::context::SenderLoopback;
                if let SenderLoopback(id) = disembargo.unwrap().get_context().which().unwrap() {
                    self.embargoes.push(id);
                }
            }
            _ => {}
        }
    }

    /// An answer to a call that has none, or the end of an embargo.
    fn next(&mut self, random: &mut Random) -> Option<Vec<u8>> {
        let mut builder = Builder::new_default();
        let root = builder.init_root::<message::Builder<'_>>();
        if !self.embargoes.is_empty() && random.one_in(2) {
            let mut disembargo = root.init_disembargo();
            let embargo = self.embargoes.remove(random.below(self.embargoes.len() as u64) as usize);
            disembargo.reborrow().init_context().set_receiver_loopback(embargo);
            disembargo.init_target().set_imported_cap(0);
        } else if self.asked.is_empty() {
            return None;
        } else {
            let mut answer = root.init_return();
            let id = self.asked.remove(random.below(self.asked.len() as u64) as usize);
            answer.set_answer_id(id);
            answer.set_release_param_caps(false);
            answer.set_no_finish_needed(random.one_in(10));
            match random.below(16) {
                0..2 => answer.init_exception().set_reason("no"),
                2 => answer.set_canceled(()),
                3 => answer.set_results_sent_elsewhere(()),
                4 => answer.set_take_from_other_question(random.below(9) as u32),
                5 if random.one_in(4) => drop(answer.init_accept_from_third_party()),
                _ => self.results(answer.init_results(), random),
            }
        }
        Some(capnp::serialize::write_message_to_words(&builder))
    }

    fn results(&self, mut results: payload::Builder<'_>, random: &mut Random) {
        let count = random.below(4) as u32;
        let mut caps = results.reborrow().init_cap_table(count);
        for at in 0..count {
            let mut cap = caps.reborrow().get(at);
            let own = random.below(6) as u32;
            match random.below(12) {
                0 => cap.set_none(()),
                1..3 => cap.set_sender_hosted(own),
                3 => cap.set_sender_promise(own),
                4..10 if !self.held.is_empty() => {
                    cap.set_receiver_hosted(self.held[random.below(self.held.len() as u64) as usize]);
                }
                10 => {
                    let mut answer = cap.init_receiver_answer();
                    answer.set_question_id(own);
                    answer.init_transform(1).get(0).set_get_pointer_field(0);
                }
                11 if random.one_in(300) => drop(cap.init_third_party_hosted()),
                _ => cap.set_receiver_hosted(4_000),
            }
        }
        content(results.get_content(), random, 3);
    }
}

/// Something that a pointer may lead to.
fn content(mut pointer: capnp::any_pointer::Builder<'_>, random: &mut Random, depth: u32) {
    match random.below(8) {
        0 => {}
        1 => drop(pointer.initn_as::<capnp::text::Builder<'_>>(3)),
        2 if depth < 3 => point_to_cap(pointer),
        _ if depth == 0 => point_to_cap(pointer),
        3..5 if depth < 3 => point_to_cap(pointer.reborrow()),
        _ => {
            let mut fields = pointer.init_as::<anything::Builder<'_>>();
            if random.one_in(6) {
                content(fields.reborrow().init_first(), random, depth - 1);
            } else {
                point_to_cap(fields.reborrow().init_first());
            }
            if random.one_in(4) {
                content(fields.init_second(), random, depth - 1);
            }
        }
    }
}

/// The caller's side: makes calls of every kind on whatever it has.
struct Program {
    random: Random,
    kept: Rc<RefCell<Vec<Link>>>,
    /// While somebody has these, promises become what is answered.
    pipelines: Rc<RefCell<VecDeque<Box<dyn Any>>>>,
    handle: vatmux_driver::Handle,
    under_way: Rc<Cell<usize>>,
}

impl Program {
    fn some(&mut self, link: &Link) -> Link {
        let kept = self.kept.borrow();
        match self.random.below(8) {
            0..2 => link.clone(),
            2 => Link::serve(Own::new(1, false)),
            _ if kept.is_empty() => link.clone(),
            _ => kept[self.random.below(kept.len() as u64) as usize].clone(),
        }
    }

    fn keep(kept: &RefCell<Vec<Link>>, link: Link) {
        let mut kept = kept.borrow_mut();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(link);
    }

    fn keep_pipeline(pipelines: &RefCell<VecDeque<Box<dyn Any>>>, pipeline: impl Any) {
        let mut pipelines = pipelines.borrow_mut();
        pipelines.push_back(Box::new(pipeline));
        if pipelines.len() > KEPT_PIPELINES {
            pipelines.pop_front();
        }
    }

    fn act(&mut self, link: &Link) {
        if self.under_way.get() > 40 {
            return;
        }
        let (on, mut given) = (self.some(link), self.some(link));
        // What no program may do: pass a promise in a call on that promise (docs/spec/rpc-limits.md).
        let place = |link: &Link| link.capability().client().client.hook.get_ptr();
        if place(&on) == place(&given) {
            given = Link::serve(Own::new(1, false));
        }
        let (kept, pipelines) = (self.kept.clone(), self.pipelines.clone());
        let client = on.capability().client().clone();
        let plain = given.capability().client().clone();
        match self.random.below(12) {
            0..2 => {
                let call = on.next();
                Self::keep(&kept, call.link());
                self.start(async move { call.await.map(|link| Self::keep(&kept, link)) });
            }
            2 => {
                let call = on.after(&given);
                Self::keep(&kept, call.link());
                self.start(call.into_future());
            }
            3 => self.start(on.give(&given)),
            4 => self.start(on.pour(&given)),
            5 => self.start(async move {
                let response = on.nested().await.map_err(drop)?;
                let link = response.get().and_then(|results| results.get_inner()?.get_link());
                link.map(|link| Self::keep(&kept, Link::of(Capability::of(link)))).map_err(drop)
            }),
            6 => {
                let call = client.next_request().send();
                Self::keep(&kept, Link::of(Capability::of(call.pipeline.get_link())));
                let early = call.pipeline.get_link();
                let mut request = early.give_request();
                request.get().set_link(plain);
                self.start(request.send().promise);
                Self::keep_pipeline(&pipelines, call.pipeline);
                self.start(call.promise);
            }
            7 => {
                // Built long before it is sent.
                let mut request = client.after_request();
                request.get().set_link(plain);
                let (handle, wait) = (self.handle.clone(), self.random.below(5));
                self.start(async move {
                    handle.sleep(Duration::from_nanos(wait)).await;
                    let call = request.send();
                    Self::keep(&kept, Link::of(Capability::of(call.pipeline.get_link())));
                    Self::keep_pipeline(&pipelines, call.pipeline);
                    call.promise.await
                });
            }
            8 => {
                let mut request = client.pour_request();
                request.get().set_link(plain);
                self.start(request.send());
            }
            9 => {
                let nested = client.nested_request().send();
                let deep = nested.pipeline.get_inner().get_link();
                let mut request = resolved(&client).give_request();
                request.get().set_link(deep.clone());
                Self::keep(&kept, Link::of(Capability::of(deep)));
                self.start(request.send().promise);
                Self::keep_pipeline(&pipelines, nested.pipeline);
                self.start(nested.promise);
            }
            10 => drop(kept.borrow_mut().pop()),
            _ => drop(on.large(10)),
        }
    }

    /// Waits for an answer, or for some of the time until it is there.
    fn start<T: 'static, E: 'static>(&mut self, answer: impl Future<Output = Result<T, E>> + 'static) {
        let under_way = self.under_way.clone();
        under_way.set(under_way.get() + 1);
        let patience = self.random.one_in(6).then(|| Duration::from_nanos(self.random.below(9)));
        let patience = self.handle.sleep(patience.unwrap_or(Duration::from_hours(1)));
        self.handle.spawn(async move {
            futures::future::select(Box::pin(answer), Box::pin(patience)).await;
            under_way.set(under_way.get() - 1);
        });
    }
}

/// One vat, until it ends or has had its answers.
fn session(seed: u64) -> u64 {
    let Script { mut node, link, mut wire } = Script::new();
    let handle = node.handle();
    let mut program = Program {
        random: Random(!seed),
        kept: Rc::default(),
        pipelines: Rc::default(),
        handle: handle.clone(),
        under_way: Rc::default(),
    };
    let (mut random, mut server, mut answers) = (Random(seed), Server::default(), 0);
    let (kept, pipelines) = (program.kept.clone(), program.pipelines.clone());
    node.run(async {
        let mut rounds = 0;
        // Where all that the program waits for waits for itself, nothing is asked any more.
        while answers < ANSWERS_PER_VAT && rounds < ROUNDS_PER_VAT {
            rounds += 1;
            for _ in 0..program.random.below(8) {
                program.act(&link);
            }
            handle.sleep(Duration::from_nanos(1)).await;
            loop {
                match wire.read().now_or_never() {
                    Some(Some(told)) => server.told(&told),
                    Some(None) => return,
                    None => break,
                }
            }
            for _ in 0..random.below(6) {
                let Some(bytes) = server.next(&mut random) else { break };
                answers += 1;
                let mut saying = std::pin::pin!(async {
                    let _ = wire.stream.write_all(&bytes).await;
                });
                while saying.as_mut().now_or_never().is_none() {
                    handle.sleep(Duration::from_nanos(1)).await;
                }
            }
        }
    });
    kept.borrow_mut().clear();
    pipelines.borrow_mut().clear();
    drop((link, program, wire));
    node.run(handle.sleep(Duration::from_hours(2)));
    answers
}

#[test]
fn a_caller_withstands_a_hundred_thousand_random_answers_to_what_it_called_early() {
    let first = setting("VATMUX_RPC_SEED").unwrap_or(1);
    let seeds = setting("VATMUX_RPC_SEEDS").unwrap_or(u64::MAX);
    println!("first seed: {first}");
    let (mut answers, mut seed) = (0, first);
    while answers < ANSWERS && seed - first < seeds {
        let said = std::panic::catch_unwind(|| session(seed));
        answers += said.unwrap_or_else(|_| panic!("VATMUX_RPC_SEED={seed} VATMUX_RPC_SEEDS=1"));
        seed += 1;
    }
    println!("{answers} answers to {} callers", seed - first);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
