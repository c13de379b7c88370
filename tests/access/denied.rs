//! Denied looks like absent.

use std::io::{Read, Write};
use std::net::TcpStream;

use vatmux::bundlemgr::Status as BundleStatus;
use vatmux::packagefs::{Client as Files, PRIORITY};
use vatmux::schema::bundle::Version;
use vatmux::statefs::{Condition, Operation, Status, Step};
use vatmux::{Endpoint, Remote, SessionEnd, capnp, health, service};
use vatmux_rpc::VatEnd;

use super::*;

const ONE: Version = Version { major: 1, minor: 0, patch: 0 };
const TWO: Version = Version { major: 2, minor: 0, patch: 0 };

fn status(error: &service::Error<BundleStatus>) -> BundleStatus {
    *error.status().unwrap_or_else(|| panic!("{error}"))
}

/// What a call on a service that is asked for by its name comes to.
async fn asked(peer: &Peer, service: &str) -> (String, Option<VatEnd>) {
    let remote: Remote<capnp::capability::Client> = peer.connect_named(service, PRIORITY).unwrap();
    let request = remote.new_call::<capnp::any_pointer::Owned, capnp::any_pointer::Owned>(1, 0, None);
    let error = request.send().promise.await.err().unwrap();
    (without(service, error.extra), remote.vat().ended())
}

#[test]
fn test_reject_disallowed_service_as_if_nobody_offered_it() {
    let world = World::new(policy());
    world.visit(2, async |peer| {
        let absent = asked(peer, "vatmux.nothing").await;
        assert_eq!(absent.1, Some(VatEnd::NoSuchService));
        for service in ["vatmux.bundles", "vatmux.packagefs"] {
            assert_eq!(asked(peer, service).await, absent, "{service}");
        }
        // Its own state is there, and so is health.
        state_of(peer).put(&key("2/a"), b"1", Condition::Any).await.unwrap();
        health::ping(&peer.connect_named(health::SERVICE_NAME, health::PRIORITY).unwrap(), 1).await.unwrap();
    });
}

#[test]
fn test_reject_a_node_that_the_policy_does_not_name() {
    let world = World::new(policy());
    let mut local = Local::new(secret(9)).unwrap();
    let dialer = local.dialer();
    let turned_away = async {
        let peer = dialer.dial(&world.address).await.unwrap();
        let end = peer.closed().await;
        assert!(peer.connect::<bundlemgr::BundleMgr>().is_err());
        end
    };
    let end = local.drive_until(turned_away).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED));
}

#[test]
fn test_reject_unauthenticated_stream() {
    let world = World::new(policy());
    let Endpoint::Tcp { host, port } = &world.address.endpoint else { panic!("it listens on TCP") };
    // An OPEN of vatmux.state and a call, as they are within a session: nothing has proved who sends them.
    let mut frames = vec![0x01, 0x02, 0, 0, 0, 1, 0, 0, 0, 12];
    frames.extend(b"vatmux.state");
    frames.extend([0; 300]);
    let mut link = TcpStream::connect((host.as_str(), *port)).unwrap();
    link.write_all(&frames).unwrap();
    let mut answer = Vec::new();
    // It may be reset, with bytes unread.
    let _ = link.read_to_end(&mut answer);
    assert!(answer.len() < 64, "{} bytes for a stranger", answer.len());
    let counters = world.node.counters();
    assert_eq!(counters.sessions, 0, "{counters:?}");
}

#[test]
fn test_reject_write_outside_the_allowed_prefix_and_prefix_escape() {
    let world = World::new(policy());
    world.visit(3, async |peer| {
        for name in ["1/a", "2/secret", "shared/a", "top"] {
            state_of(peer).put(&key(name), b"x", Condition::Any).await.unwrap();
        }
    });
    world.visit(1, async |peer| {
        let state = state_of(peer);
        for name in ["2/secret", "2/new", "shared/a", "top", "1", "10/a"] {
            let put = state.put(&key(name), b"y", Condition::Any).await;
            assert_eq!(put.unwrap_err().status(), Some(Status::AccessDenied), "{name}");
            let operation =
                Operation { key: key(name), condition: Condition::Absent, step: Step::Put(b"y".into()) };
            let error = state.transact(&[operation]).await.unwrap_err();
            assert_eq!(error.status(), Some(Status::AccessDenied), "{name}");
        }
        // What is there and what is not look alike.
        for (there, not_there) in [("2/secret", "2/nothing"), ("top", "tip")] {
            assert_eq!(state.get(&key(there)).await.unwrap(), None);
            let delete = async |name| state.delete(&key(name), Condition::Any).await.unwrap_err();
            let (deleted, missing) = (delete(there).await, delete(not_there).await);
            assert_eq!((deleted.status(), deleted.to_string()), (missing.status(), missing.to_string()));
            assert_eq!(deleted.status(), Some(Status::NotFound));
        }
        for raw in ["1/../2/secret", "1//../2", "../2/secret", "1/..", "1\\2"] {
            let error = raw_state(peer).get(raw, 100).await.err().unwrap();
            assert_eq!(error.status(), Some(&Status::InvalidKey), "{raw}");
        }
        let listed = state.list(&prefix(""), None, 100).await.unwrap();
        let names: Vec<_> = listed.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(names, ["1/a", "shared/a"]);
        assert_eq!(state.usage(&prefix("")).await.unwrap().0.keys, 2);
        assert_eq!(state.usage(&prefix("2/")).await.unwrap().0.keys, 0);
    });
    assert_eq!(world.state.get(&key("shared/a")).unwrap().unwrap().read().unwrap().bytes, b"x");
}

fn raw_state(peer: &Peer) -> vatmux::schema::statefs::StateFs {
    peer.connect().unwrap()
}

#[test]
fn test_reject_identity_claimed_in_a_payload() {
    let world = World::new(policy());
    world.visit(2, async |peer| {
        let state = state_of(peer);
        // Node 2 names node 1 wherever something can be named: it stays node 2.
        let claimed = id(1).to_string();
        for name in [format!("1/{claimed}"), format!("{claimed}/1/a"), format!("vat://{claimed}/1/a")] {
            let Ok(name) = name.parse() else { continue };
            let error = state.put(&name, claimed.as_bytes(), Condition::Any).await.unwrap_err();
            assert_eq!(error.status(), Some(Status::AccessDenied), "{name}");
        }
        state.put(&key(&format!("2/{claimed}")), claimed.as_bytes(), Condition::Any).await.unwrap();
        assert_eq!(state.narrow(&prefix("1/"), false).await.unwrap().get(&key("1/a")).await.unwrap(), None);
    });
}

#[test]
fn test_reject_bundles_that_a_peer_may_not_see_as_if_they_were_not_there() {
    let world = World::new(policy());
    let (own, other) = (publisher(1), publisher(2));
    world.install("org.a.app", "1.0.0", &other);
    world.install("org.b", "1.0.0", &other);
    world.install("org.b", "2.0.0", &own);
    world.install("org.c", "1.0.0", &own);
    world.visit(1, async |peer| {
        let bundles = bundles_of(peer);
        let page = bundles.list(&[], 256).await.unwrap();
        let listed: Vec<_> =
            page.bundles.iter().map(|bundle| (bundle.name.as_str(), bundle.version.major)).collect();
        assert_eq!(listed, [("org.a.app", 1), ("org.b", 2)]);
        assert_eq!(bundles.query("org.b").await.unwrap().len(), 1, "the other is another publisher's");
        assert_eq!(bundles.usage().await.unwrap().bundles, 2);

        let absent = bundles.query("org.x").await.unwrap_err();
        assert_eq!(status(&absent), BundleStatus::NotFound);
        let denied = bundles.query("org.c").await.unwrap_err();
        assert_eq!(without("org.c", denied), without("org.x", absent));
        let manifest = async |name, version| bundles.manifest(name, version).await.err().unwrap();
        let (denied, absent) = (manifest("org.c", &ONE).await, manifest("org.x", &ONE).await);
        assert_eq!(without("org.c", denied), without("org.x", absent));
        assert_eq!(status(&manifest("org.b", &ONE).await), BundleStatus::NotFound);

        // Removing: not by this name; by this name, but not this publisher's, as a version that is not there; its own.
        let remove = async |name, version| bundles.uninstall(name, version, true).await;
        let (denied, absent) = (remove("org.c", &ONE).await, remove("org.x", &ONE).await);
        assert_eq!(status(denied.as_ref().unwrap_err()), BundleStatus::AccessDenied);
        assert_eq!(denied.unwrap_err().to_string(), absent.unwrap_err().to_string());
        let others = remove("org.b", &ONE).await.unwrap_err();
        let absent = remove("org.b", &Version { major: 3, minor: 0, patch: 0 }).await.unwrap_err();
        assert_eq!(status(&others), BundleStatus::NotFound);
        assert_eq!(without("1.0.0", others), without("3.0.0", absent));
        let others = remove("org.a.app", &ONE).await.unwrap_err();
        assert_eq!(status(&others), BundleStatus::AccessDenied, "it sees that this one is there");
        let activated = bundles.activate("org.b", &TWO, true).await.unwrap_err();
        assert_eq!(status(&activated), BundleStatus::AccessDenied, "that was not granted");
        assert_eq!(status(&bundles.collect().await.unwrap_err()), BundleStatus::AccessDenied);
        remove("org.b", &TWO).await.unwrap();
        assert_eq!(status(&bundles.query("org.b").await.unwrap_err()), BundleStatus::NotFound);
        let absent = remove("org.b", &TWO).await.unwrap_err();
        assert!(absent.to_string().contains("there is no bundle org.b"), "{absent}");
    });
    assert_eq!(world.bundles.usage().bundles, 3);
}

#[test]
fn test_reject_files_of_bundles_that_a_peer_may_not_read_as_if_they_were_not_there() {
    let world = World::new(policy());
    let own = publisher(1);
    for name in ["org.a.app", "org.b", "org.c"] {
        world.install(name, "1.0.0", &own);
    }
    world.visit(1, async |peer| {
        let files = Files::connect(peer, PRIORITY).unwrap();
        let listed = files.list("", 1000).await.unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["org.a.app"], "it may install org.b, and not read it");
        let readable = files.stat("org.a.app/file", packagefs::Links::Follow).await.unwrap();
        assert_eq!(readable.size_bytes, 9);
        for (denied, absent) in [
            ("org.b", "org.x"),
            ("org.b/file", "org.x/file"),
            ("org.b@1.0.0/file", "org.x@1.0.0/file"),
            ("org.c@1.0.0", "org.x@1.0.0"),
        ] {
            let stat = async |path| files.stat(path, packagefs::Links::Follow).await.unwrap_err();
            let refused = (stat(denied).await, stat(absent).await);
            assert_eq!(without(denied, refused.0), without(absent, refused.1));
            let list = async |path| files.list(path, 10).await.unwrap_err();
            let refused = (list(denied).await, list(absent).await);
            assert_eq!(without(denied, refused.0), without(absent, refused.1));
        }
    });
}

#[test]
fn test_reject_installs_of_what_a_peer_may_not_install() {
    let world = World::new(policy());
    let (own, other) = (publisher(1), publisher(2));
    world.install("org.c", "2.0.0", &own);
    world.visit(1, async |peer| {
        let bundles = bundles_of(peer);
        let send = async |name: &str, version: &str, key: &PublisherKey, activate: bool| {
            let bytes = packed(name, version, key, b"content");
            let options = InstallOptions { activate, ..InstallOptions::default() };
            let mut input = futures::io::Cursor::new(&bytes);
            bundlemgr::install(&bundles, &mut input, bytes.len() as u64, options, &|_| {}).await
        };
        let denied = async |name: &str, version: &str, key: &PublisherKey, activate: bool| match send(
            name, version, key, activate,
        )
        .await
        {
            Err(bundlemgr::InstallError::Service(error)) => {
                assert_eq!(status(&error), BundleStatus::AccessDenied, "{error}");
                error.to_string()
            }
            other => panic!("{other:?}"),
        };
        // Another's name, another publisher, and neither says what is there.
        let absent = denied("org.x", "1.0.0", &own, false).await;
        assert_eq!(denied("org.c", "2.0.0", &own, false).await, absent);
        assert_eq!(denied("org.b", "1.0.0", &other, false).await, absent);
        assert!(denied("org.b", "1.0.0", &own, true).await.contains("only install"));
        assert!(!send("org.b", "1.0.0", &own, false).await.unwrap().bundle.active);
    });
    world.visit(3, async |peer| {
        bundles_of(peer).activate("org.b", &ONE, false).await.unwrap();
        bundles_of(peer).collect().await.unwrap();
    });
}

#[test]
fn test_reject_services_of_the_registry_that_a_peer_may_not_use_as_if_they_were_not_there() {
    let world = World::new(policy().and(id(4), Grant { registry: vec![see("org.a.*")], ..Grant::none() }));
    let registry_of = |peer: &Peer| samgr::Client::connect(peer).unwrap();
    let listed = async |peer: &Peer| -> Vec<String> {
        let page = registry_of(peer).list(&"".parse().unwrap(), None, 100).await.unwrap();
        page.services.into_iter().map(|service| service.name).collect()
    };
    world.visit(1, async |peer| {
        // The node's own, as far as node 1 is offered them.
        let own = ["vatmux.bundles", "vatmux.health", "vatmux.packagefs", "vatmux.samgr", "vatmux.state"];
        assert_eq!(listed(peer).await, own);
    });
    world.visit(4, async |peer| {
        assert!(listed(peer).await.is_empty());
        let resolve = async |name: &str| {
            let resolving = registry_of(peer).resolve::<bundlemgr::BundleMgr>(&name.parse().unwrap());
            without(name, resolving.await.err().unwrap())
        };
        let absent = resolve("org.a.nothing").await;
        for name in ["vatmux.state", "vatmux.bundles", "org.b.nothing"] {
            assert_eq!(resolve(name).await, absent, "{name}");
        }
    });
    world.visit(2, async |peer| {
        assert_eq!(asked(peer, "vatmux.samgr").await, asked(peer, "vatmux.nothing").await);
    });
}

fn see(pattern: &str) -> (NamePattern, samgr::Right) {
    (pattern.parse().unwrap(), samgr::Right::See)
}
