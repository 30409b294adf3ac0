//! What commands want of the parent.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::control::{Operated, ParentStatus, Reply, Request};

/// What the parent is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// End the gateway, and itself.
    Stop,
    /// Start the gateway, if it waits to try that again.
    Start,
}

/// Its end of the control socket.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) status: Arc<Mutex<ParentStatus>>,
    pub(super) wanted: mpsc::Sender<Wish>,
}

#[async_trait]
impl Operated for Answers {
    async fn carry_out(&self, request: Request) -> Reply {
        let wish = match request {
            Request::Status => return Reply::Parent(Box::new(self.status.lock().clone())),
            Request::Stop => Wish::Stop,
            Request::Restart { .. } => Wish::Start,
            _ => {
                return Reply::Failed {
                    message: "this request is for the gateway, which is not running".to_owned(),
                };
            }
        };
        match self.wanted.send(wish).await {
            Ok(()) => Reply::Done,
            Err(_) => Reply::Failed { message: "it is ending".to_owned() },
        }
    }
}
