//! A way to S3 that can be shut, while S3 itself goes on.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The way to S3; shut, all connections are cut and new ones refused.
pub struct Door {
    pub address: String,
    target: String,
    open: Option<JoinHandle<()>>,
}

impl Door {
    pub async fn before(target: &str) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let mut door = Self { address: "127.0.0.1:0".to_owned(), target, open: None };
        door.open().await;
        door
    }

    pub async fn open(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let target = self.target.clone();
        self.open = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    // S3 itself may have ended.
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }));
    }

    pub fn is_shut(&self) -> bool {
        self.open.is_none()
    }

    pub async fn shut(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            let _ = open.await;
        }
    }
}
