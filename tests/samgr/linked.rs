//! Over real links, between the threads of a node and the threads of those who visit it.

use std::collections::BTreeMap;
use std::sync::Barrier;

use futures::future::join_all;
use vatmux::samgr::{self, Access, Client, Event, Name, Policy, Registry};
use vatmux::schema::health::Health;
use vatmux::{AllowList, Dialer, Local, Node, NodeAddress};

use crate::world::{adder, key, name, prefix};

const SESSIONS: u64 = 6;

fn serve(workers: usize) -> (Node, NodeAddress) {
    let builder = Node::builder(key(200)).allow(AllowList::Anyone).workers(workers);
    let builder = samgr::offer(builder, Registry::default(), |_| Access::full());
    let node = builder.listen(&"127.0.0.1:0".parse().unwrap()).unwrap().start().unwrap();
    let address =
        NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
    (node, address)
}

async fn visit(dialer: &Dialer, address: &NodeAddress) -> Client {
    Client::connect(&dialer.dial(address).await.unwrap()).unwrap()
}

#[test]
fn all_find_all_on_whichever_threads_their_sessions_are() {
    for workers in [1, 2, 4] {
        let (_node, address) = serve(workers);
        let mut local = Local::new(key(1)).unwrap();
        let dialer = local.dialer();
        let all_called = async {
            // A link goes to the thread that has the fewest: they are spread evenly.
            let mut visits = Vec::new();
            for number in 0..SESSIONS {
                let client = visit(&dialer, &address).await;
                let called = name(&format!("adder/{number}"));
                let policy = Policy::default();
                let registered = client.register(&called, &adder(number), "1", policy).await.unwrap();
                visits.push((client, registered));
            }
            let calls = visits.iter().flat_map(|(client, _)| {
                (0..SESSIONS).map(async |number| {
                    let called = name(&format!("adder/{number}"));
                    let resolving = client.resolve::<Health>(&called);
                    let early = resolving.service().ping(100);
                    let found = resolving.await.unwrap();
                    for nonce in 0..20 {
                        assert_eq!(found.service.ping(nonce).await.unwrap(), nonce + number);
                    }
                    assert_eq!(early.await.unwrap(), 100 + number);
                })
            });
            join_all(calls).await;
        };
        local.drive_until(all_called).unwrap();
    }
}

#[test]
fn watches_on_all_threads_agree_with_the_registry_after_everybody_came_and_went() {
    let (_node, address) = serve(3);
    let (begin, done) = (Barrier::new(5), Barrier::new(5));
    std::thread::scope(|scope| {
        for number in 1..=4_u8 {
            let (address, begin, done) = (&address, &begin, &done);
            scope.spawn(move || {
                let mut local = Local::new(key(number)).unwrap();
                let dialer = local.dialer();
                begin.wait();
                let churning = async {
                    let client = visit(&dialer, address).await;
                    let mut held = Vec::new();
                    for round in 0..60 {
                        let called = name(&format!("s/{number}/{}", round % 7));
                        if held.len() > 4 {
                            held.remove(0);
                        }
                        // Its predecessor may still be on its way out.
                        if let Ok(registered) =
                            client.register(&called, &adder(1), "", Policy::default()).await
                        {
                            held.push(registered);
                        }
                    }
                    let last = name(&format!("s/{number}/last"));
                    held.push(client.register(&last, &adder(1), "", Policy::default()).await.unwrap());
                    (client, held)
                };
                let _held = local.drive_until(churning).unwrap();
                done.wait();
                // Until whoever watches has compared.
                done.wait();
            });
        }
        let mut local = Local::new(key(5)).unwrap();
        let dialer = local.dialer();
        let mut watches = Vec::new();
        local
            .drive_until(async {
                for _ in 0..3 {
                    let client = visit(&dialer, &address).await;
                    watches.push((client.watch(&prefix("s/"), None).await.unwrap(), client));
                }
            })
            .unwrap();
        begin.wait();
        done.wait();
        local
            .drive_until(async {
                for (mut watching, client) in watches {
                    let page = client.list(&prefix("s/"), None, 256).await.unwrap();
                    let listed: BTreeMap<Name, u64> = page
                        .services
                        .iter()
                        .map(|service| (name(&service.name), service.generation))
                        .collect();
                    assert!(listed.len() >= 4, "{listed:?}");
                    let mut told = BTreeMap::new();
                    while watching.seen().is_none_or(|seen| seen.revision < page.seen.revision) {
                        match watching.next().await.unwrap() {
                            Event::Registered(service) => {
                                let before = told.insert(name(&service.name), service.generation);
                                assert_eq!(before, None, "{service:?}");
                            }
                            Event::Unregistered { name, generation, .. } => {
                                assert_eq!(told.remove(&name), Some(generation));
                            }
                            Event::Current(_) => {}
                            Event::Compacted(_) => told.clear(),
                        }
                    }
                    assert_eq!(told, listed);
                }
            })
            .unwrap();
        done.wait();
    });
}
