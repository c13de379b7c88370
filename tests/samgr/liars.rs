//! Registries that lie: what they answer is checked.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::capability::FromClientHook as _;
use futures::executor::block_on;
use futures::future::join;
use vatmux::samgr::{Client, Event, RequestError, Seen, WatchError};
use vatmux::schema::health::Health;
use vatmux::schema::samgr::{Descriptor, Samgr, SamgrDouble, SamgrWatchResults, Watch, WatchDouble, Watcher};
use vatmux::service::Stub as _;

use crate::world::{adder, name, node, prefix};

fn descriptor(called: &str, revision: u64) -> Descriptor {
    Descriptor {
        name: called.to_owned(),
        interface_id: 1,
        schema_digest: vec![],
        version: String::new(),
        node: node(1).to_string(),
        generation: revision,
        revision,
        priority: 0,
        local: false,
    }
}

/// Makes a descriptor untrue.
type Lie = fn(&mut Descriptor);

#[test]
fn test_reject_descriptors_that_are_of_something_else() {
    let cases: [(Lie, &str); 4] = [
        (|descriptor| descriptor.name = "b".into(), "not the service that was asked for"),
        (|descriptor| descriptor.name = "a b".into(), "name that is none"),
        (|descriptor| descriptor.node = "somebody".into(), "node id"),
        (|descriptor| descriptor.schema_digest = vec![0; 31], "digest"),
    ];
    for (lie, word) in cases {
        let registry = SamgrDouble::default().on_resolve(move |_, mut results| {
            let mut descriptor = descriptor("a", 1);
            lie(&mut descriptor);
            descriptor.write(results.reborrow().init_descriptor());
            let client = adder(1).capability().client().clone();
            results.init_service().set_as_capability(client.into_client_hook());
            Ok(())
        });
        let client = Client::new(Samgr::serve(registry));
        let error = block_on(client.resolve::<Health>(&name("a")).into_future()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let registry = SamgrDouble::default().on_resolve(|_, results| {
        descriptor("a", 1).write(results.init_descriptor());
        Ok(())
    });
    let client = Client::new(Samgr::serve(registry));
    let error = block_on(client.resolve::<Health>(&name("a")).into_future()).unwrap_err();
    assert!(error.to_string().contains("not given"), "{error}");
}

#[test]
fn test_reject_listings_that_are_out_of_order_or_have_no_end() {
    let cases: [(&[&str], &str); 5] =
        [(&["s/b", "s/a"], ""), (&["s/b", "s/b"], ""), (&["t/b"], ""), (&["s/b"], "s/c"), (&["s/a"], "")];
    for (listed, next) in cases {
        let registry = SamgrDouble::default().on_list(move |_, _, _, mut results| {
            results.set_next(next.as_bytes());
            let mut list = results.init_services(listed.len() as u32);
            for (at, called) in (0..).zip(listed) {
                descriptor(called, 1).write(list.reborrow().get(at));
            }
            Ok(())
        });
        let client = Client::new(Samgr::serve(registry));
        let told = block_on(client.list(&prefix("s/"), Some(&name("s/a")), 10));
        assert!(matches!(told, Err(RequestError::Answer(_))), "{told:?}");
    }
}

enum Told {
    Registered(&'static str, u64),
    Gone(&'static str, u64),
    Current(u64),
    Compacted(u64),
}

/// What a watch makes of what it is told.
fn watched(seen: Option<Seen>, told: &[Told]) -> (Vec<Event>, WatchError) {
    let watchers: Rc<RefCell<Vec<Watcher>>> = Rc::default();
    let given = watchers.clone();
    let registry = SamgrDouble::default().on_watch(move |_, watcher, _, _| {
        given.borrow_mut().push(watcher);
        Ok(SamgrWatchResults { watch: Watch::serve(WatchDouble::default()), epoch: 1 })
    });
    let client = Client::new(Samgr::serve(registry));
    block_on(async {
        let mut watching = client.watch(&prefix("s/"), seen).await.unwrap();
        let watcher = watchers.borrow_mut().pop().unwrap();
        let telling = async {
            for told in told {
                let calling = match *told {
                    Told::Current(revision) => watcher.current(revision),
                    Told::Compacted(revision) => watcher.compacted(revision),
                    Told::Registered(called, revision) => watcher.changes(|params| {
                        let mut change = params.init_changes(1).get(0);
                        change.set_revision(revision);
                        descriptor(called, revision).write(change.init_registered());
                    }),
                    Told::Gone(called, revision) => watcher.changes(|params| {
                        let mut change = params.init_changes(1).get(0);
                        change.set_revision(revision);
                        change.init_unregistered().set_name(called);
                    }),
                };
                // Whoever has heard enough lets go.
                let _ = calling.await;
            }
            drop(watcher);
        };
        let listening = async {
            let mut events = Vec::new();
            loop {
                match watching.next().await {
                    Ok(event) => events.push(event),
                    Err(error) => {
                        drop(watching);
                        return (events, error);
                    }
                }
            }
        };
        join(telling, listening).await.1
    })
}

#[test]
fn a_watch_that_makes_sense_is_believed_to_its_end() {
    use Told::{Compacted, Current, Gone, Registered};
    let (events, error) = watched(
        None,
        &[
            Registered("s/a", 3),
            Registered("s/b", 1),
            Current(3),
            Gone("s/a", 5),
            Registered("s/a", 6),
            Compacted(9),
            Registered("s/a", 6),
            Current(9),
            Gone("s/a", 10),
        ],
    );
    assert_eq!((events.len(), error), (9, WatchError::Ended));
    let seen = Some(Seen { epoch: 1, revision: 4 });
    let (events, error) = watched(seen, &[Gone("s/a", 5), Current(7), Registered("s/a", 8)]);
    assert_eq!((events.len(), error), (3, WatchError::Ended));
}

#[test]
fn test_reject_watches_that_make_no_sense() {
    use Told::{Compacted, Current, Gone, Registered};
    let seen = Some(Seen { epoch: 1, revision: 4 });
    let cases: [(Option<Seen>, &[Told]); 12] = [
        (None, &[Registered("s/b", 1), Registered("s/a", 2)]),
        (None, &[Registered("s/a", 1), Registered("s/a", 2)]),
        (None, &[Gone("s/a", 1)]),
        (None, &[Compacted(1)]),
        (None, &[Registered("t/a", 1)]),
        (None, &[Current(3), Registered("s/a", 3)]),
        (None, &[Current(3), Registered("s/a", 5), Gone("s/a", 4)]),
        (None, &[Current(3), Current(4)]),
        (None, &[Current(3), Compacted(3)]),
        (None, &[Current(3), Gone("a b", 4)]),
        (seen, &[Registered("s/a", 4)]),
        (seen, &[Registered("s/a", 6), Current(5)]),
    ];
    for (case, (seen, told)) in cases.into_iter().enumerate() {
        let (events, error) = watched(seen, told);
        assert!(matches!(error, WatchError::Answer(_)), "case {case}: {error}");
        assert_eq!(events.len(), told.len() - 1, "case {case}");
    }
}
