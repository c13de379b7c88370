//! What is claimed of health. It answers from memory at once, and refuses nothing.

use vatmux::schema::health::{HEALTH_DESCRIPTOR, HEALTH_INTERFACE, Health};
use vatmux::schema::health_capnp::Scope;

use crate::claim::{Asked, Claim, Hold, Interrupted, Pending, good, interrupted};
use crate::list::Contract;
use crate::scene::Scene;
use crate::visit::Visit;

const PING: Asked = Asked::of(&HEALTH_INTERFACE, "ping");
const NODE: Asked = Asked::of(&HEALTH_INTERFACE, "node");
const SESSIONS: Asked = Asked::of(&HEALTH_INTERFACE, "sessions");

pub(crate) fn contract() -> Contract {
    Contract::without_status(&HEALTH_DESCRIPTOR)
}

fn health(visit: &Visit) -> Health {
    visit.peer.connect().unwrap()
}

pub(crate) fn claims() -> Vec<Claim> {
    let mut claims = vec![
        good(PING, Scene::Nothing, |visit| async move {
            assert_eq!(health(&visit).ping(u64::MAX).await.unwrap(), u64::MAX);
        }),
        good(NODE, Scene::Nothing, |visit| async move {
            let response = health(&visit).node().await.unwrap();
            let node = response.get().unwrap();
            assert_eq!(node.get_scope(), Ok(Scope::OwnSession));
            assert_eq!(node.get_limits().unwrap().get_max_message_bytes(), 8 << 20);
            assert!(!node.has_software() && !node.has_counters(), "that is for operators");
        }),
        good(SESSIONS, Scene::Nothing, |visit| async move {
            let response = health(&visit).sessions(0, 16).await.unwrap();
            let page = response.get().unwrap();
            let sessions = page.get_sessions().unwrap();
            assert_eq!((sessions.len(), page.get_more()), (1, false));
            assert_eq!(sessions.get(0).get_streams().unwrap().len(), 1);
        }),
    ];
    for asked in [PING, NODE, SESSIONS] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::Nothing,
            hold: Hold::AtTheDoor,
            attempt: move |visit: Visit| async move {
                let health = health(&visit);
                match asked.method.name {
                    "ping" => Pending::new(health.clone(), visit.send(|| health.ping(1))),
                    "node" => Pending::new(health.clone(), visit.send(|| health.node())),
                    _ => Pending::new(health.clone(), visit.send(|| health.sessions(0, 1))),
                }
            },
            aftermath: |visit: Visit| async move {
                assert_eq!(health(&visit).ping(7).await.unwrap(), 7);
            },
        }));
    }
    claims
}
