//! Locks, as a client takes them that forgets its token when a refresh fails.

use super::{World, scenarios};

scenarios! {
    s22_a_lock_gives_its_token fails if |asked, answer| {
        if asked.method == "LOCK" {
            answer.replace("<D:locktoken><D:href>", "<D:locktoken><D:href>\n  ");
        }
    };
    s23_a_lock_of_nothing_makes_a_file fails if |asked, answer| {
        if asked.method == "LOCK" {
            answer.is(500);
        }
    };
    s28_a_refresh_always_succeeds fails if |asked, answer| {
        if asked.method == "LOCK" && asked.length == 0 {
            answer.is(412);
        }
    };
    s29_its_own_lock_never_locks_it_out fails if |asked, answer| {
        if asked.method == "PUT" && !asked.headers.contains_key("if") {
            answer.is(423);
        }
    };
    s31_an_unlock_always_succeeds fails if |asked, answer| {
        if asked.method == "UNLOCK" && asked.headers["lock-token"].to_str().unwrap().contains("unknown") {
            answer.is(409);
        }
    };
}

async fn s22_a_lock_gives_its_token(world: World) {
    world.outside("file", "x").await;
    let token = world.mac.lock("/file").await;
    assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{token:?}");
    assert_eq!(world.mac.put("/file", &token, "new").await, 204);
}

async fn s23_a_lock_of_nothing_makes_a_file(world: World) {
    let token = world.mac.lock("/new").await;
    assert_eq!(world.mac.look("/new").await, 207);
    assert_eq!(world.mac.get("/new").await, (200, "".into()));
    assert_eq!(world.mac.unlock("/new", &token).await, 204);
}

async fn refresh(world: &World, path: &str, token: &str) -> (u16, String) {
    let request = world.mac.request("LOCK", path).header("Depth", "0").header("Timeout", "Second-600");
    let answer = request.header("If", format!("(<{token}>)")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn s28_a_refresh_always_succeeds(world: World) {
    world.outside("file", "x").await;
    let token = world.mac.lock("/file").await;
    for token in [&*token, "urn:uuid:00000000-0000-4000-8000-000000000000"] {
        world.mac.unlock("/file", token).await;
        let (status, text) = refresh(&world, "/file", token).await;
        assert_eq!(status, 200, "{token}");
        assert!(text.contains(token), "{text}");
    }
}

async fn s29_its_own_lock_never_locks_it_out(world: World) {
    world.outside("file", "x").await;
    assert_eq!(world.mac.put("/file", "urn:uuid:00000000-0000-4000-8000-000000000000", "1").await, 204);
    world.mac.lock("/file").await;
    let put = world.mac.request("PUT", "/file").body("2").send().await.unwrap();
    assert_eq!(put.status(), 204, "it forgot its token");
    assert_eq!(world.gateway.put("/file", "3").await, 423, "others are locked out");
}

async fn s31_an_unlock_always_succeeds(world: World) {
    world.outside("file", "x").await;
    let token = world.mac.lock("/file").await;
    for token in [&*token, &*token, "urn:unknown:token"] {
        assert_eq!(world.mac.unlock("/file", token).await, 204, "{token}");
    }
}
