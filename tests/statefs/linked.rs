//! Between two nodes, and between two processes: what was acknowledged is there, whatever becomes of the server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use vatmux::statefs::{self, Right};
use vatmux::{AllowList, CloseCode, Entropy, Local, Node, NodeAddress, NodeId, SecretKey};

use super::*;

/// Where the serving process finds its store.
const STORE: &str = "VATMUX_TEST_STATEFS_STORE";

const CLIENTS: usize = 8;

fn secret() -> SecretKey {
    SecretKey::generate(Entropy::from_system().unwrap())
}

fn serve(
    store: Store,
    access: impl Fn(NodeId) -> Access + Clone + Send + Sync + 'static,
) -> (Node, NodeAddress) {
    let builder = Node::builder(secret()).allow(AllowList::Anyone).workers(2.try_into().unwrap());
    let node = statefs::offer(builder, store, access)
        .listen(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
        .start()
        .unwrap();
    let address =
        NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
    (node, address)
}

/// Runs `work` with a client of the node at `address`.
fn visit<T>(address: &NodeAddress, key: SecretKey, work: impl AsyncFnOnce(Client) -> T) -> T {
    let mut local = Local::new(key).unwrap();
    let dialer = local.dialer();
    let visiting = async {
        let peer = dialer.dial(address).await.unwrap();
        let outcome = work(Client::connect(&peer).unwrap()).await;
        peer.close(CloseCode::DONE);
        outcome
    };
    local.drive_until(visiting).unwrap()
}

#[test]
fn values_and_transactions_cross_a_link_sixty_four_at_a_time() {
    let kept = Kept::new();
    let (_node, address) = serve(kept.store.clone(), |_| Access::full());
    visit(&address, secret(), async |client| {
        let large: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 253) as u8).collect();
        let version = client.put(&key("large"), &large, Condition::Absent).await.unwrap();
        let found = client.get(&key("large")).await.unwrap().unwrap();
        assert!(found.version == version && found.bytes == large);

        let client = &client;
        let puts = futures::stream::iter(0..500).map(|at| async move {
            client.put(&key(&format!("small/{at}")), &[7; 1024], Condition::Any).await.unwrap()
        });
        let mut versions: Vec<_> = puts.buffer_unordered(64).collect().await;
        versions.sort();
        versions.dedup();
        assert_eq!(versions.len(), 500);
        assert_eq!(client.usage(&prefix("small/")).await.unwrap().0.keys, 500);
    });
}

#[test]
fn each_peer_sees_what_is_its_own() {
    let kept = Kept::new();
    let (first, second) = (secret(), secret());
    let first_id = first.node_id();
    let (_node, address) = serve(kept.store.clone(), move |peer| {
        let own = if peer == first_id { "first/" } else { "second/" };
        Access::none().and(prefix(own), Right::Write)
    });
    visit(&address, first, async |client| {
        client.put(&key("first/a"), b"1", Condition::Any).await.unwrap();
        let denied = client.put(&key("second/a"), b"1", Condition::Any).await;
        assert_eq!(status(denied), Some(Status::AccessDenied));
    });
    visit(&address, second, async |client| {
        assert_eq!(client.get(&key("first/a")).await.unwrap(), None);
        assert!(client.list(&prefix(""), None, 10).await.unwrap().entries.is_empty());
    });
}

/// Not a test: what the next one starts, and kills.
#[test]
#[ignore = "it serves until it is killed"]
fn serving_process() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = Store::open_file(Path::new(&path), OpenOptions::default()).unwrap();
    let (_node, address) = serve(store, |_| Access::full());
    println!("serving {address}");
    std::io::stdout().flush().unwrap();
    // Until whoever started it is gone, should it not be killed.
    let _ = std::io::stdin().lines().count();
}

fn start_serving(path: &Path) -> (Child, NodeAddress) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "linked::serving_process", "--nocapture"])
        .env(STORE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("serving ")?.1.parse().unwrap()))
        .expect("it says where it serves");
    (child, address)
}

/// Puts until the server is gone, and notes what was acknowledged.
fn write_until_the_end(
    address: &NodeAddress,
    name: &str,
    acknowledged: &Mutex<BTreeMap<String, Vec<u8>>>,
    count: impl Fn(),
) {
    let mut local = Local::new(secret()).unwrap();
    let dialer = local.dialer();
    let writing = async {
        let Ok(peer) = dialer.dial(address).await else { return };
        let Ok(client) = Client::connect(&peer) else { return };
        for at in 0.. {
            // Small ones, ones of a chunk, and now and then an upload.
            let bytes = [100, 1000, 5000, 100, 1000, 60_000, 100, 1_300_000][at % 8];
            let (name, value) = (format!("{name}/{}", at % 50), vec![at as u8; bytes]);
            if client.put(&key(&name), &value, Condition::Any).await.is_err() {
                // It may have been made, or not: the older value is no longer owed.
                acknowledged.lock().unwrap().remove(&name);
                return;
            }
            acknowledged.lock().unwrap().insert(name, value);
            count();
        }
    };
    local.drive_until(writing).unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_the_server_was_killed_twenty_times_under_eight_clients() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("statefs");
    let acknowledged = Mutex::new(BTreeMap::new());
    for round in 0..20 {
        let (child, address) = start_serving(&path);
        let (child, puts) = (Mutex::new(child), AtomicUsize::new(0));
        // In the middle of whatever the others are doing then.
        let last = 20 + round * 7;
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (address, acknowledged, child, puts) = (&address, &acknowledged, &child, &puts);
                scope.spawn(move || {
                    write_until_the_end(address, &format!("{round}/{client}"), acknowledged, || {
                        if puts.fetch_add(1, Ordering::Relaxed) + 1 == last {
                            child.lock().unwrap().kill().unwrap();
                        }
                    });
                });
            }
        });
        child.into_inner().unwrap().wait().unwrap();
        let store = Store::open_file(&path, OpenOptions::default()).unwrap();
        for (name, value) in acknowledged.lock().unwrap().iter() {
            let found = store.get(&key(name)).unwrap().expect("it was acknowledged").read().unwrap();
            assert!(&found.bytes == value, "round {round}: {name} is not what was acknowledged");
        }
    }
    println!("{} values were acknowledged", acknowledged.into_inner().unwrap().len());
}
