//! Web pages of others, in the owner's browser: they see nothing and do nothing, not even from another port of
//! this machine; and what the owner opens is shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::TestGateway;
use crate::harness::browser::Browser;
use crate::harness::clients::needs;

/// Tells what it could get: `seen`.
const PAGE: &str = r#"<!doctype html><title>page</title><p id=p>text</p><script>
const at = 'GATEWAY', seen = {};
const load = (name, element, set) => new Promise(done => {
  element.onload = () => { seen[name] = element.naturalWidth ? element.naturalWidth + ' wide' : 'loaded'; done() };
  element.onerror = () => { seen[name] = 'nothing'; done() };
  set(element); document.head.append(element);
});
const sent = (name, method) =>
  fetch(at + '/file', { method, mode: 'no-cors' }).then(a => seen[name] = a.type, () => seen[name] = 'nothing');
window.done = Promise.all([
  load('script', document.createElement('script'), e => e.src = at + '/secret.js'),
  load('picture', new Image(), e => e.src = at + '/picture.svg'),
  load('style', document.createElement('link'), e => { e.rel = 'stylesheet'; e.href = at + '/style.css' }),
  sent('get', 'GET'), sent('post', 'POST'),
  fetch(at + '/file', { method: 'PUT', body: 'x' }).then(() => seen.put = 'sent', () => seen.put = 'nothing'),
]).then(() => {
  seen.secret = window.secret || 'nothing';
  seen.colour = getComputedStyle(document.getElementById('p')).color;
  return seen;
});
</script><iframe src="GATEWAY/"></iframe><a id=link href="GATEWAY/">link</a>"#;

/// A server of that page; its address.
async fn other_page(gateway: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let page = PAGE.replace("GATEWAY", gateway);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

async fn put(gateway: &TestGateway, path: &str, kind: &str, body: impl Into<reqwest::Body>) {
    let put = gateway.request("PUT", path).header("Content-Type", kind).body(body);
    assert_eq!(put.send().await.unwrap().status(), 201, "{path}");
}

const PICTURE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"123\" height=\"45\"><rect/></svg>";

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_ports_see_nothing() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let gateway = TestGateway::start().await;
    put(&gateway, "/secret.js", "text/javascript", "window.secret = 'TOPSECRET'").await;
    put(&gateway, "/picture.svg", "image/svg+xml", PICTURE).await;
    put(&gateway, "/style.css", "text/css", "p { color: rgb(1, 2, 3) }").await;
    put(&gateway, "/file", "text/plain", "content").await;
    let mut browser = Browser::start(&tools).await;
    browser.open(&other_page(&gateway.url).await).await;
    let seen = browser.value("window.done").await;
    let expected = json!({
        "script": "nothing", "picture": "nothing", "style": "nothing", "secret": "nothing", "put": "nothing",
        "get": "nothing", "post": "nothing", "colour": "rgb(0, 0, 0)",
    });
    assert_eq!(seen, expected);
    let frame = browser.frame().await;
    assert!(frame.starts_with("chrome-error:"), "{frame}");
    assert_eq!(gateway.get("/file").await.1, "content");
    // A link is followed.
    browser.value("document.getElementById('link').click()").await;
    browser.until("document.title === 'bucket'").await;
}

/// Three seconds of a moving picture, made by the browser itself.
const VIDEO: &str = "new Promise(done => {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d'), parts = [];
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: 'video/webm' });
  const drawing = setInterval(() => pen.fillRect(Math.random() * 200, Math.random() * 100, 30, 30), 40);
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.onstop = async () => {
    clearInterval(drawing);
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    done(btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join('')));
  };
  recorder.start();
  setTimeout(() => recorder.stop(), 3000);
})";

/// A recording of a minute, 8,000 samples a second: long enough not to be fetched whole before it is played.
fn sound() -> Vec<u8> {
    let samples: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 40 % 256) as u8).collect();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + samples.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(8000_u32.to_le_bytes());
    file.extend(8000_u32.to_le_bytes());
    file.extend([1, 0, 8, 0]);
    file.extend(b"data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    file
}

const PDF: &str = "%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_opened_is_shown() {
    let Some(tools) = needs(&["chromium"]) else { return };
    let mut browser = Browser::start(&tools).await;
    let video = browser.value(VIDEO).await;
    let video = STANDARD.decode(video.as_str().unwrap()).unwrap();
    for gateway in TestGateway::both().await {
        put(&gateway, "/picture.svg", "image/svg+xml", PICTURE).await;
        put(&gateway, "/video.webm", "video/webm", video.clone()).await;
        put(&gateway, "/sound.wav", "audio/wav", sound()).await;
        put(&gateway, "/paper.pdf", "application/pdf", PDF).await;
        let at = |path: &str| format!("{}{path}", gateway.url);
        browser.open(&at("/picture.svg")).await;
        browser.until("document.documentElement.tagName === 'svg'").await;
        browser.open(&at("/video.webm")).await;
        browser.until("document.querySelector('video').readyState >= 2").await;
        browser.value("void (document.querySelector('video').currentTime = 1.5)").await;
        browser.until("!document.querySelector('video').seeking").await;
        browser.until("document.querySelector('video').currentTime >= 1.5").await;
        browser.open(&at("/sound.wav")).await;
        browser.until("document.querySelector('video').readyState >= 2").await;
        browser.value("void (document.querySelector('video').currentTime = 900)").await;
        browser.until("!document.querySelector('video').seeking").await;
        browser.until("document.querySelector('video').readyState >= 2").await;
        browser.open(&at("/paper.pdf")).await;
        // The viewer's page has a frame that shows the file.
        browser.until_framed(&at("/paper.pdf")).await;
    }
}
