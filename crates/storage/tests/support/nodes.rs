//! Nodes on one database.

use std::time::Duration;

use super::*;
use tombolo_storage::{Frame, Listener, Message};
use tombolo_testkit::conformance::bus::next;
use tombolo_testkit::runtime;

/// One node, closed when it is dropped.
pub struct Node {
    pub store: Arc<Postgres>,
    /// User 1's space, through this node.
    pub place: Place,
}

impl Node {
    /// One that neither hears nor tells anything by itself.
    pub fn deaf(database: &OnPostgres, env: &Arc<TestEnv>) -> Self {
        let store = database.node(Arc::clone(env) as Arc<dyn Env>);
        let ada = Name::parse("ada").expect("it is a name");
        wait(store.add_user(&ada, None, TestEnv::START)).expect("there is a user, from the first time on");
        Self { place: Place::on(Arc::clone(&store) as Arc<dyn LogStore>, Arc::clone(env)), store }
    }

    /// One that is tended, as a server tends its own: when this returns, it hears the others.
    pub fn tended(database: &OnPostgres, env: &Arc<TestEnv>) -> Self {
        let node = Self::deaf(database, env);
        let (store, mut listener) = (Arc::clone(&node.store), node.listen());
        runtime().spawn(async move { store.tend().await });
        assert_eq!(heard(&mut listener), Message::Gap, "it listens from here on");
        node
    }

    pub fn listen(&self) -> Listener {
        self.store.bus().listen()
    }

    pub fn publish(&self, frame: &Frame) {
        wait(self.store.bus().publish(frame.clone())).expect("the frame is on its way");
    }

    pub fn look(&self) -> Elsewhere {
        wait(self.store.changed_elsewhere()).expect("the database answers")
    }

    pub fn head(&self) -> Seq {
        wait(self.store.heads(&[self.place.address])).expect("the head reads")[0]
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing can be said of it here; the database is dropped by force.
        let _ = wait(self.store.close());
    }
}

/// The next message.
pub fn heard(listener: &mut Listener) -> Message {
    wait(next(listener))
}

/// Time that lies behind by an hour.
pub fn env() -> Arc<TestEnv> {
    let env = TestEnv::new(1);
    env.advance(Duration::from_secs(3_600));
    Arc::new(env)
}
