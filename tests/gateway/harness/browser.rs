//! Chromium, driven by its DevTools protocol over two pipes.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::clients::Tools;

/// A browser without a window; it ends when this is dropped.
pub struct Browser {
    _child: Child,
    _profile: TempDir,
    commands: pipe::Sender,
    answers: BufReader<pipe::Receiver>,
    count: u64,
    /// Of the only tab.
    session: Option<String>,
}

impl Browser {
    /// Of `tools` it is `chromium`.
    pub async fn start(tools: &Tools) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (commands, their_commands) = pipe::pipe().unwrap();
        let (their_answers, answers) = pipe::pipe().unwrap();
        let mut command = tools.command("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mappings = vec![
            FdMapping { parent_fd: their_commands.into_blocking_fd().unwrap(), child_fd: 3 },
            FdMapping { parent_fd: their_answers.into_blocking_fd().unwrap(), child_fd: 4 },
        ];
        command.fd_mappings(mappings).unwrap();
        let mut browser = Self {
            _child: command.spawn().unwrap(),
            _profile: profile,
            commands,
            answers: BufReader::new(answers),
            count: 0,
            session: None,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", target).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser
    }

    /// A command of the protocol, and its result.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).await.unwrap();
        loop {
            let mut answer = Vec::new();
            let read = self.answers.read_until(0, &mut answer);
            let read = tokio::time::timeout(Duration::from_secs(60), read).await;
            assert!(read.expect("the browser answers").unwrap() > 0, "the browser has ended");
            answer.pop();
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.count {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// Opens a page, as whoever types its address does, and waits until it has been loaded.
    pub async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until(&format!(
            "document.readyState === 'complete' && location.href.startsWith({})",
            json!(url)
        ))
        .await;
    }

    /// The value of an expression, which may be a promise, in the page.
    pub async fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", parameters).await;
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression holds.
    pub async fn until(&mut self, expression: &str) {
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        while self.value(&format!("!!({expression})")).await != json!(true) {
            let shown = self.value("location.href + ' ' + document.documentElement?.outerHTML").await;
            assert!(tokio::time::Instant::now() < end, "never came: {expression}: {shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Clicks into the middle of an element, as often as is told.
    pub async fn click(&mut self, element: &str, times: u32) {
        self.until(element).await;
        let middle = "const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]";
        let middle = self.value(&format!("(element => {{ {middle} }})({element})")).await;
        for count in 1..=times {
            for kind in ["mousePressed", "mouseReleased"] {
                let event = json!({ "type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": count });
                self.call("Input.dispatchMouseEvent", event).await;
            }
        }
    }

    /// Types a text where the cursor is.
    pub async fn insert(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a letter with Ctrl.
    pub async fn press_with_control(&mut self, letter: char) {
        let code = letter.to_ascii_uppercase();
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({ "key": letter, "code": format!("Key{code}"), "windowsVirtualKeyCode": u32::from(code) });
            let mut event = json!({ "type": kind, "modifiers": 2 });
            event.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Makes the window as large as that.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What is seen, as a PNG in base64.
    pub async fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        picture["data"].as_str().unwrap().to_owned()
    }

    /// Takes the picture of that name for the documentation, of at most so many bytes, and keeps it there where that is
    /// wanted: S3DAV_PICTURES=1.
    pub async fn document(&mut self, name: &str, limit: usize) {
        let picture = STANDARD.decode(self.picture().await).unwrap();
        assert!((5_000..limit).contains(&picture.len()), "{name}: {} bytes", picture.len());
        if std::env::var("S3DAV_PICTURES").is_ok_and(|value| value == "1") {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(name), picture).unwrap();
        }
    }

    /// The address of a page's first frame.
    pub async fn frame(&mut self) -> String {
        let tree = self.call("Page.getFrameTree", json!({})).await;
        tree["frameTree"]["childFrames"][0]["frame"]["url"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a frame of a process of its own shows this address.
    pub async fn until_framed(&mut self, url: &str) {
        let is_it = |target: &Value| target["type"] == "iframe" && target["url"] == url;
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let targets = self.call("Target.getTargets", json!({})).await;
            if targets["targetInfos"].as_array().unwrap().iter().any(is_it) {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "never shown: {url}: {targets}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
