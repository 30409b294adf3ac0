//! Links in a directory, as files and folders of their own.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::TestGateway;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_does_not_take_the_place_of_what_it_leads_to() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/file"), "content").unwrap();
    fs::write(root.join("file"), "content").unwrap();
    for (link, target) in [("a", "file"), ("b", "folder"), ("c", "folder/file"), ("d", "a")] {
        symlink(target, root.join(link)).unwrap();
    }
    let pairs = [("/a", "/file"), ("/b/", "/folder/"), ("/c", "/folder/"), ("/d", "/file"), ("/d", "/a")];
    for (from, to) in pairs {
        assert_eq!(gateway.transfer("MOVE", from, to).await, 403, "{from} {to}");
    }
    assert_eq!(gateway.transfer("MOVE", "/a", "/b/").await, 204, "a link is nothing that it leads to");
    assert!(root.join("b").is_symlink() && !root.join("a").exists());
    for path in ["file", "folder/file", "b"] {
        assert_eq!(fs::read_to_string(root.join(path)).unwrap(), "content", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_moved_where_it_leads_to_the_same() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    fs::create_dir_all(root.join("one/deep")).unwrap();
    fs::create_dir(root.join("two")).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    symlink("file", root.join("near")).unwrap();
    symlink("../file", root.join("one/link")).unwrap();
    for (from, to) in [("/near", "/two/near"), ("/one/link", "/link"), ("/one/link", "/one/deep/link")] {
        let request = gateway.request("MOVE", from).header("Destination", format!("{}{to}", gateway.url));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 409, "{from} {to}");
        let told = answer.text().await.unwrap();
        assert!(told.contains("would lead elsewhere"), "{told}");
    }
    assert_eq!(gateway.transfer("MOVE", "/one/link", "/two/link").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/near", "/renamed").await, 201);
    for path in ["/two/link", "/renamed"] {
        assert_eq!(gateway.get(path).await.1, "content", "{path}");
    }
}
