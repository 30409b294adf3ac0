//! Rules of the client's kernel part and of its agent, as the tests' Mac keeps them: they decide what an answer
//! of the gateway does to a program. Each names the function of webdavfs-403 in which it stands.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use s3dav::embedded::{Action, Gate, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::broken::{Fault, front};
use super::mac::{Closed, Errno, Mac, Mode};
use crate::harness::{TestGateway, eventually};

/// A Mac that came to a gateway through a front with a fault.
async fn before(gateway: &TestGateway, fault: Fault) -> Mac {
    Mac::at(front(&gateway.url, fault).await.trim_start_matches("http://"))
}

/// What was sent since, with the statuses.
fn sent(mac: &Mac, since: usize) -> Vec<String> {
    let sent = &mac.wire.sent()[since..];
    sent.iter().map(|sent| format!("{} {} {}", sent.method, sent.target, sent.status)).collect()
}

fn was_sent(mac: &Mac, target: &str) -> bool {
    mac.wire.sent().iter().any(|sent| sent.target == target)
}

/// webdav_vnop_lookup: CREATE and RENAME go on after any error.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_look_up_is_an_absence_to_who_makes_a_name() {
    let gateway = TestGateway::start().await;
    for key in ["source", "attributes"] {
        gateway.bucket().await.put(key, "content").await;
    }
    let mac = before(&gateway, |asked, answer| {
        if asked.method == "PROPFIND" && asked.path.contains("blind") {
            answer.is(503);
        }
    })
    .await;
    let file = mac.create("/blind", true).await.unwrap();
    assert_eq!(
        sent(&mac, 0),
        [
            "PROPFIND /blind 503",
            "PROPFIND /blind 503",
            "PUT /blind 201",
            "PROPFIND /._blind 503",
            "LOCK /blind 200"
        ]
    );
    let put = &mac.wire.sent()[2];
    assert!(put.headers.contains(&("Content-Length", "0".to_owned())), "{put:?}");
    assert!(!put.headers.iter().any(|(name, _)| name.starts_with("If")), "no condition: {put:?}");
    mac.close(file).await;
    assert_eq!(mac.stat("/source").await, Ok(7));
    let before = mac.wire.sent().len();
    assert_eq!(mac.rename("/source", "/blind2").await, Ok(()));
    assert_eq!(sent(&mac, before).last().unwrap(), "MOVE /source 201");
}

/// webdav_vnop_lookup: a name that was looked up in vain is absent until the date of its folder changes, also
/// if it was an error.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_look_up_is_remembered_as_an_absence() {
    let gateway =
        TestGateway::start_with(|config| config.service.request_budget = Some(Duration::from_millis(100)))
            .await;
    gateway.bucket().await.put("d/file", "content").await;
    let mac = Mac::at(&gateway.address());
    gateway.hooks().always(Action::Fail { status: 503, code: "SlowDown", message: "" });
    assert_eq!(mac.stat("/d/file").await, Err(Errno::NoEntry));
    gateway.hooks().heal();
    assert_eq!(mac.stat("/d/file").await, Ok(7), "the date was not known before");
    let mac = before(&gateway, |asked, answer| {
        if asked.path == "/d/file" {
            answer.is(503);
        }
    })
    .await;
    assert_eq!(mac.stat("/d/other").await, Err(Errno::NoEntry));
    assert_eq!(mac.stat("/d/file").await, Err(Errno::NoEntry));
    assert_eq!(mac.stat("/d/file").await, Err(Errno::NoEntry));
    let before = mac.wire.sent().len();
    for _ in 0..3 {
        assert_eq!(mac.stat("/d/file").await, Err(Errno::NoEntry));
    }
    assert_eq!(sent(&mac, before), [""; 0], "nobody is asked");
}

/// webdav_vnop_lookup: the node of the folder is locked while the answer is awaited.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_in_a_folder_are_one_after_the_other() {
    let gateway = TestGateway::start().await;
    for key in ["d/first", "d/second", "e/third"] {
        gateway.bucket().await.put(key, "content").await;
    }
    let gate = Gate::default();
    gateway.hooks().add(Rule {
        operation: Some("HeadObject".into()),
        target: Some("/d/first".into()),
        times: 1,
        action: Action::Hold(gate.clone()),
    });
    let mac = Mac::at(&gateway.address());
    let mut first = pin!(mac.stat("/d/first"));
    tokio::select! {
        _ = first.as_mut() => panic!("it is held"),
        () = gate.reached() => {}
    }
    let mut second = pin!(mac.stat("/d/second"));
    assert!(poll!(second.as_mut()).is_pending());
    assert_eq!(mac.stat("/e/third").await, Ok(7), "in another folder they go on");
    assert!(poll!(second.as_mut()).is_pending() && !was_sent(&mac, "/d/second"));
    gate.open();
    assert_eq!((first.await, second.await), (Ok(7), Ok(7)));
    assert!(was_sent(&mac, "/d/second"));
}

/// WEBDAV_REQUEST_THREADS: five, and a copy takes two of them until its answer is there.
#[tokio::test(flavor = "multi_thread")]
async fn five_threads_do_everything() {
    let gateway = TestGateway::start().await;
    for number in 0..6 {
        gateway.bucket().await.put(&format!("{number}"), "content").await;
    }
    let mac = Mac::at(&gateway.address());
    mac.list("/").await.unwrap();
    let gate = Gate::default();
    gateway.hooks().next(5, "GetObject", Action::Hold(gate.clone()));
    let reads = (0..5).map(|number| {
        let mac = &mac;
        async move { mac.read(&format!("/{number}")).await }
    });
    let mut reads = pin!(futures_util::future::join_all(reads));
    let busy = eventually("all are at work", || async { mac.idle_threads() == 0 });
    tokio::select! {
        _ = reads.as_mut() => panic!("they are held"),
        () = busy => {}
    }
    let mut look = pin!(mac.free_space());
    let before = mac.wire.sent().len();
    assert!(poll!(look.as_mut()).is_pending());
    assert_eq!(mac.wire.sent().len(), before, "it is not even sent");
    gate.open();
    assert!(reads.await.iter().all(|read| read.as_ref().is_ok_and(|content| content == "content")));
    assert_eq!(look.await, Ok(()));
    let gate = Gate::default();
    gateway.hooks().next(2, "PutObject", Action::Hold(gate.clone()));
    let copies = ["/copy", "/other"].map(|path| mac.copy(path, b"copied", 4, PATIENCE));
    let mut copies = pin!(futures_util::future::join_all(copies));
    let busy = eventually("two copies wait", || async { mac.idle_threads() == 1 });
    tokio::select! {
        _ = copies.as_mut() => panic!("they are held"),
        () = busy => {}
    }
    assert_eq!(mac.free_space().await, Ok(()), "one is left for all the rest");
    gate.open();
    assert_eq!(copies.await, [Ok(Closed::Stored), Ok(Closed::Stored)]);
}

/// webdav_vnop_write: after a retry that went well all is counted twice, the next piece fails, and the part is
/// sent as if it were the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_retried_fails_and_leaves_a_part() {
    let gateway = TestGateway::start().await;
    let front = cutting_front(gateway.address(), 1 << 20).await;
    let mac = Mac::at(&front);
    // More than fits into sockets.
    let content: Vec<u8> = (0..24 << 20).map(|at| (at >> 8) as u8).collect();
    assert_eq!(mac.copy("/file", &content, 64 << 10, PATIENCE).await, Err(Errno::Invalid));
    let sent = mac.wire.sent();
    let streamed: Vec<_> = sent
        .iter()
        .filter(|sent| sent.headers.iter().any(|(name, _)| *name == "X-Expected-Entity-Length"))
        .collect();
    assert_eq!(streamed.iter().map(|sent| sent.status >= 200).collect::<Vec<_>>(), [false, true]);
    for sent in streamed {
        let announced = ("X-Expected-Entity-Length", content.len().to_string());
        assert!(sent.headers.contains(&announced), "the only hint that something is missing: {sent:?}");
    }
    let stored = gateway.bucket().await.get("file").await.unwrap_or_default();
    assert!(stored.len() < content.len() && content.starts_with(&stored), "{} bytes", stored.len());
}

/// Passes connections on, but resets the first that streams a file after so many bytes of it.
async fn cutting_front(gateway: String, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut is_cut = false;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut begin = vec![0; 1 << 16];
            let read = client.read(&mut begin).await.unwrap();
            let streams = String::from_utf8_lossy(&begin[..read]).contains("X-Expected-Entity-Length");
            if streams && !is_cut {
                is_cut = true;
                let mut rest = after;
                while rest > 0 {
                    rest = rest.saturating_sub(client.read(&mut begin).await.unwrap());
                }
                // Dropped with bytes unread, it is reset.
                continue;
            }
            let mut server = TcpStream::connect(&gateway).await.unwrap();
            server.write_all(&begin[..read]).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}

/// handle_filesystem_request, webdav_fsync: while the server is not reached everything fails at once, and what
/// is closed then is lost, since it counts as clean before it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_each_close_loses_its_file() {
    let gateway = TestGateway::start().await;
    let address = gateway.address();
    let mac = Mac::at(&address);
    assert_eq!(mac.save("/file", "old").await, Ok(Closed::Stored));
    let mut open = mac.open("/file", Mode::Write).await.unwrap();
    let mut other = mac.open("/file", Mode::Write).await.unwrap();
    let (behind, state) = gateway.end().await;
    open.write("new");
    assert_eq!(mac.close(open).await, Closed::Lost(Errno::TimedOut));
    assert!(mac.is_down());
    let before = mac.wire.sent().len();
    assert_eq!(mac.stat("/file").await, Ok(3), "from memory");
    assert_eq!(mac.stat("/other").await, Err(Errno::NoEntry));
    other.write("another");
    assert_eq!(mac.sync(&mut other).await, Err(Errno::TimedOut), "fsync(2) tells");
    assert_eq!(mac.close(other).await, Closed::Unchanged, "and it is not tried again");
    assert!(!mac.ping().await);
    assert_eq!(sent(&mac, before), ["OPTIONS / 0"], "only this is sent");
    let listener = TcpListener::bind(&address).await.unwrap();
    let gateway = TestGateway::start_at(listener, behind, state, |_| {}).await;
    assert!(mac.ping().await && !mac.is_down());
    assert_eq!(mac.list("/").await.unwrap(), ["file"]);
    assert_eq!(gateway.bucket().await.get("file").await.unwrap(), "old");
    assert_eq!(mac.save("/file", "newer").await, Ok(Closed::Stored));
}

/// filesystem_open: "no such file" and every 5xx to GET or LOCK deletes the node, and the kernel starts the
/// system call over (ERESTART): without an end while a look-up finds the file.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_that_fails_with_5xx_starts_over_and_over() {
    let gateway = TestGateway::start().await;
    gateway.bucket().await.put("file", "content").await;
    for (method, status) in [("GET", 503), ("GET", 404), ("LOCK", 503)] {
        let mac = match (method, status) {
            ("GET", 503) => {
                before(&gateway, |asked, answer| {
                    if asked.method == "GET" {
                        answer.is(503)
                    }
                })
                .await
            }
            ("GET", _) => {
                before(&gateway, |asked, answer| {
                    if asked.method == "GET" {
                        answer.is(404)
                    }
                })
                .await
            }
            _ => {
                before(&gateway, |asked, answer| {
                    if asked.method == "LOCK" {
                        answer.is(503)
                    }
                })
                .await
            }
        };
        let mode = if method == "GET" { Mode::Read } else { Mode::Write };
        assert_eq!(mac.open("/file", mode).await.err(), Some(Errno::Endless));
        let round = ["PROPFIND /file 207".to_owned(), format!("{method} /file {status}")];
        assert_eq!(
            sent(&mac, 0),
            [round.clone(), round.clone(), round.clone(), round.clone(), round].concat()
        );
    }
    let mac = before(&gateway, |asked, answer| {
        if asked.method == "GET" {
            answer.is(403)
        }
    })
    .await;
    assert_eq!(mac.open("/file", Mode::Read).await.err(), Some(Errno::Denied), "what is told ends it");
}

/// How long a copy waits for a thread of its own (setup_seq_write).
const PATIENCE: Duration = Duration::from_secs(5);
