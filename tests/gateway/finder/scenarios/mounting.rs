//! From "Connect to Server" to the first window.

use s3dav::embedded::Action;

use super::{World, scenarios};
use crate::finder::client::{AGENT, QUOTA, STAT};
use crate::finder::parser::entries;

scenarios! {
    s01_asked_before_the_mount fails if |_, answer| { answer.headers.remove("dav"); };
    s02_asked_by_the_mount fails if |_, answer| answer.header("server", "Microsoft-IIS/10.0");
    s03_the_root_is_a_folder fails if |_, answer| answer.replace("<D:collection/>", "");
    s04_nothing_is_said_of_quota fails if |_, answer| {
        answer.replace("</D:prop>", "<D:quota-available-bytes>1000</D:quota-available-bytes></D:prop>");
    };
    s05_mounted_while_what_is_served_is_away fails if |asked, answer| {
        if asked.method == "PROPFIND" {
            answer.is(503);
        }
    };
    s44_a_password_is_asked_for_once fails if |asked, answer| {
        if asked.headers.contains_key("authorization") && answer.status == 401 {
            answer.is(403);
        }
    };
    s45_nobody_gets_a_whole_tree fails if |_, answer| {
        if answer.status == 403 {
            answer.is(207);
        }
    };
}

async fn options(world: &World, agent: &str) {
    world.forget_costs();
    let answer = world.mac.request("OPTIONS", "/").header("User-Agent", agent).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let classes = answer.headers()["dav"].to_str().unwrap();
    let has = |class: &str| classes.split(',').any(|token| token.trim() == class);
    assert!(has("1") && has("2"), "{classes}");
    let server = answer.headers().get("server").map(|server| server.to_str().unwrap().to_owned());
    assert!(!server.unwrap_or_default().starts_with("Microsoft-IIS/"));
    world.cost_nothing();
}

async fn s01_asked_before_the_mount(world: World) {
    options(&world, "WebDAVLib/1.3").await;
}

async fn s02_asked_by_the_mount(world: World) {
    options(&world, AGENT).await;
}

async fn root(world: &World) {
    let answer = world.mac.propfind("/", "0", STAT).send().await.unwrap();
    assert_eq!(answer.status(), 207);
    let found = entries(&answer.text().await.unwrap());
    assert_eq!(found.len(), 1);
    assert!(found[0].is_folder && found[0].href == "/");
}

async fn s03_the_root_is_a_folder(world: World) {
    world.forget_costs();
    root(&world).await;
    world.cost_nothing();
}

async fn s04_nothing_is_said_of_quota(world: World) {
    let answer = world.mac.propfind("/", "0", QUOTA).send().await.unwrap();
    assert_eq!(answer.status(), 207);
    let text = answer.text().await.unwrap();
    for name in ["quota-available-bytes", "quota-used-bytes", "quota", "quotaused"] {
        let tag = format!("{name}>");
        let has_number = |value: &str| value.starts_with(|c: char| c.is_ascii_digit());
        assert!(!text.split(&tag).skip(1).any(has_number), "{text}");
    }
}

async fn s05_mounted_while_what_is_served_is_away(world: World) {
    if let Some(s3) = world.s3() {
        s3.always(Action::Fail { status: 503, code: "ServiceUnavailable", message: "" });
    }
    options(&world, "WebDAVLib/1.3").await;
    options(&world, AGENT).await;
    root(&world).await;
    assert_eq!(world.mac.propfind("/", "0", QUOTA).send().await.unwrap().status(), 207);
}

async fn s44_a_password_is_asked_for_once(world: World) {
    // This one needs a gateway of its own.
    let guarded = crate::harness::TestGateway::start_with(|config| {
        let credentials = s3dav::http::auth::Credentials::new("mac", "secret");
        config.access = s3dav::http::auth::Access::Password(Some(credentials));
    })
    .await;
    let direct = world.mac.url == world.gateway.url;
    let url =
        if direct { guarded.url.clone() } else { crate::finder::broken::front(&guarded.url, FORBIDS).await };
    let mac = crate::finder::client::Finder::at(&url);
    let refused = mac.send("OPTIONS", "/").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    for (password, status) in [("wrong", 401), ("secret", 200), ("secret", 200)] {
        let answer = mac.request("OPTIONS", "/").basic_auth("mac", Some(password)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{password}");
    }
}

/// The fault of its scenario, before the gateway that has a password.
const FORBIDS: crate::finder::broken::Fault = |asked, answer| {
    if asked.headers.contains_key("authorization") && answer.status == 401 {
        answer.is(403);
    }
};

async fn s45_nobody_gets_a_whole_tree(world: World) {
    let answer = world.mac.propfind("/", "infinity", STAT).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("propfind-finite-depth"));
}
