//! Nothing leads out of the directory that is served.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::TestGateway;
use crate::harness::raw::{exchange, status};

/// A directory to be served, beside a secret and a folder that must stay empty.
struct Prison {
    gateway: TestGateway,
    outside: tempfile::TempDir,
}

const SECRET: &str = "a secret that no client may read";

impl Prison {
    async fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), SECRET).unwrap();
        fs::create_dir(outside.path().join("folder")).unwrap();
        let gateway = TestGateway::on_a_path().await;
        fs::write(gateway.directory().join("file"), "inside").unwrap();
        fs::create_dir(gateway.directory().join("dir")).unwrap();
        Self { gateway, outside }
    }

    fn check(&self) {
        let outside = self.outside.path();
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(outside.join("folder")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(outside).unwrap().count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dots_in_every_encoding() {
    let prison = Prison::new().await;
    let name = prison.outside.path().file_name().unwrap().to_str().unwrap().to_owned();
    let up = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..%2f",
        "..%5c",
        "%c0%ae%c0%ae",
        "%uff0e%uff0e",
        "\u{ff0e}\u{ff0e}",
        "..;",
        "...",
        "..%00",
        ". .",
        "%2e%2e%2f%2e%2e",
    ];
    for up in up {
        for (path, destination) in [
            (format!("/{up}/{name}/secret"), "/stolen".to_owned()),
            (format!("/dir/{up}/{up}/{name}/secret"), "/stolen".to_owned()),
            ("/file".to_owned(), format!("/{up}/{name}/folder/planted")),
        ] {
            for method in ["GET", "PROPFIND", "DELETE", "COPY", "MOVE", "PUT", "MKCOL", "LOCK"] {
                let path: String = path.chars().map(escaped).collect();
                let destination: String = destination.chars().map(escaped).collect();
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nDepth: 0\r\nDestination: {destination}\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let answer = exchange(&prison.gateway.address(), request.as_bytes()).await;
                let text = &answer;
                assert!(!text.contains(SECRET), "{method} {path}");
                assert!(status(&answer) < 500, "{method} {path}: {text}");
            }
            prison.check();
        }
    }
}

fn escaped(c: char) -> String {
    if c.is_ascii() && c != ' ' {
        c.to_string()
    } else {
        percent_encoding::utf8_percent_encode(&c.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_out() {
    let prison = Prison::new().await;
    let (gateway, outside) = (&prison.gateway, prison.outside.path());
    let root = gateway.directory();
    symlink(outside, root.join("absolute")).unwrap();
    symlink(format!("../{}", outside.file_name().unwrap().to_str().unwrap()), root.join("relative")).unwrap();
    symlink(outside.join("secret"), root.join("secret")).unwrap();
    symlink("absolute", root.join("twice")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink(outside.join("folder/new"), root.join("dangling")).unwrap();
    for link in ["absolute", "relative", "twice", "magic"] {
        for path in
            [format!("/{link}"), format!("/{link}/"), format!("/{link}/secret"), format!("/{link}/folder")]
        {
            assert_eq!(gateway.status("GET", &path).await, 404, "{path}");
            assert_eq!(gateway.propfind(&path, "1", "").await.status(), 404, "{path}");
            assert!([404, 409].contains(&gateway.transfer("COPY", &path, "/stolen").await), "{path}");
        }
        for path in [format!("/{link}/planted"), format!("/{link}/folder/planted")] {
            assert!(gateway.put(&path, "x").await >= 400, "{path}");
            assert!(gateway.status("MKCOL", &path).await >= 400, "{path}");
            assert!(gateway.transfer("COPY", "/file", &path).await >= 400, "{path}");
            assert!(gateway.transfer("MOVE", "/file", &path).await >= 400, "{path}");
        }
        assert!(gateway.status("DELETE", &format!("/{link}/secret")).await >= 400);
        prison.check();
    }
    assert_eq!(gateway.get("/secret").await.0, 404);
    // The name is taken by what no path can show.
    for path in ["/secret", "/dangling"] {
        assert_eq!(gateway.put(path, "mine").await, 409, "{path}");
    }
    assert_eq!(
        gateway.hrefs("/", "1").await,
        ["/", "/file", "/dir/"].map(str::to_owned),
        "and no copy is made"
    );
    prison.check();
    // A tree with such links: copied as they are, and deleted without what they lead to.
    fs::create_dir(root.join("tree")).unwrap();
    symlink(outside, root.join("tree/out")).unwrap();
    assert_eq!(gateway.transfer("COPY", "/tree", "/tree2").await, 201);
    assert_eq!(gateway.status("GET", "/tree2/out/secret").await, 404);
    assert_eq!(gateway.status("DELETE", "/tree").await, 409, "it holds what no path can show");
    prison.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn races_with_links() {
    let prison = Prison::new().await;
    let gateway = &prison.gateway;
    let root = gateway.directory().to_owned();
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/secret"), "inside").unwrap();
    symlink("real", root.join("turning")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let turner = {
        let (root, outside, stop) = (root.clone(), prison.outside.path().to_owned(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut turns = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let target = if turns.is_multiple_of(2) { outside.clone() } else { "real".into() };
                symlink(target, root.join("next")).unwrap();
                fs::rename(root.join("next"), root.join("turning")).unwrap();
                turns += 1;
            }
            turns
        })
    };
    let mut inside = 0;
    for n in 0..400 {
        let (code, body) = gateway.get("/turning/secret").await;
        assert_ne!(body, SECRET);
        inside += u32::from(code == 200);
        gateway.put(&format!("/turning/planted{}", n % 7), "x").await;
        gateway.status("MKCOL", &format!("/turning/folder{}", n % 7)).await;
        gateway.transfer("MOVE", "/turning/planted0", "/moved").await;
        gateway.status("DELETE", &format!("/turning/folder{}", n % 7)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let turns = turner.join().unwrap();
    prison.check();
    assert!(inside > 0 && turns > 100, "{inside} of 400 inside, {turns} turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_becomes_a_link_while_it_is_deleted() {
    let prison = Prison::new().await;
    let gateway = &prison.gateway;
    let root = gateway.directory().to_owned();
    for round in 0..20 {
        for n in 0..40 {
            let folder = root.join(format!("tree/{n}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("secret"), "inside").unwrap();
        }
        let swapping = {
            let (root, outside) = (root.clone(), prison.outside.path().to_owned());
            std::thread::spawn(move || {
                for n in (0..40).rev() {
                    let folder = root.join(format!("tree/{n}"));
                    if fs::rename(&folder, root.join(format!("away-{round}-{n}"))).is_ok() {
                        let _ = symlink(&outside, &folder);
                    }
                }
            })
        };
        gateway.status("DELETE", "/tree").await;
        swapping.join().unwrap();
        prison.check();
        let _ = fs::remove_dir_all(root.join("tree"));
    }
}
