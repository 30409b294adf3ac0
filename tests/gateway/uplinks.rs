//! Lines to S3 on which uploads take long.

use std::sync::Arc;
use std::time::Duration;

use s3dav::embedded::{Action, EmbeddedS3};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::{BUCKET, TestGateway, buckets, embedded_options};

/// A server that has little of a body in its buffers, as S3 at the end of a slow line.
async fn far_away() -> Arc<EmbeddedS3> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(128).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    Arc::new(EmbeddedS3::start(listener, embedded_options(&[BUCKET])).await.unwrap())
}

/// A gateway that takes a line for dead on which nothing goes for this long.
async fn gateway(silence: Duration) -> TestGateway {
    let state = Arc::new(tempfile::tempdir().unwrap());
    TestGateway::start_on(far_away().await, state, |config| {
        let source = buckets(config);
        source.s3.attempt_timeout = silence;
        source.s3.slowest_share = 512 << 10;
        source.uploads.part_size = 16 << 20;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_one_takes_its_time() {
    let silence = Duration::from_secs(6);
    let gateway = gateway(silence).await;
    gateway.hooks().next(usize::MAX, "UploadPart", Action::SlowUpload(Duration::from_millis(100)));
    let begun = Instant::now();
    assert_eq!(gateway.put("/file", vec![7; 32 << 20]).await, 201);
    assert!(
        begun.elapsed() > silence + Duration::from_secs(2),
        "{:?}: not slow enough to show anything",
        begun.elapsed()
    );
    assert_eq!(gateway.hooks().count("UploadPart"), 2, "none was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_one_is_given_up() {
    let gateway = gateway(Duration::from_secs(8)).await;
    gateway.hooks().next(1, "UploadPart", Action::SlowUpload(Duration::from_secs(3600)));
    assert_eq!(gateway.put("/file", vec![7; 32 << 20]).await, 201);
    assert_eq!(gateway.hooks().count("UploadPart"), 3, "the part went once more");
    assert_eq!(gateway.bucket().await.get("file").await.unwrap().len(), 32 << 20);
}
