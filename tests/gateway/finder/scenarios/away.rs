//! S3 away, and the gateway killed: close(2) tells no program that its file is not stored.

use s3dav::store::journal::Durability;

use super::{Kind, PATIENCE, World, scenarios};
use crate::finder::parser::entries;
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::process::Process;

scenarios! {
    s27_a_save_outlives_s3_and_the_gateway fails if |asked, answer| {
        if asked.method == "PUT" && asked.length > 0 {
            answer.swallow();
        }
    };
}

async fn s27_a_save_outlives_s3_and_the_gateway(world: World) {
    // A directory is as near as this machine's disk: `path::syscalls` has what is synced before an answer.
    let Kind::Bucket(durability) = world.kind else { return };
    world.outside("d/doc", "old").await;
    // This one needs a gateway of its own, which can be killed.
    let state = tempfile::tempdir().unwrap();
    let mut door = Door::before(&world.gateway.s3().endpoint_url()).await;
    let mut gateway = serve(&door, &state, durability, "127.0.0.1:0").await;
    let mac = world.mac_at(&gateway.url).await;
    assert_eq!(mac.list("/d/").await, ["/d/", "/d/doc"]);
    door.shut().await;
    let token = mac.lock("/d/doc").await;
    assert_eq!(mac.put("/d/doc", &token, "saved").await, 204);
    assert_eq!(mac.unlock("/d/doc", &token).await, 204);
    mac.create("/d/new", "made").await;
    for is_killed in [true, false] {
        for (path, content) in [("/d/doc", "saved"), ("/d/new", "made")] {
            assert_eq!(mac.get(path).await, (200, content.into()));
            let told = mac.propfind(path, "0", crate::finder::client::STAT).send().await.unwrap();
            assert_eq!(entries(&told.text().await.unwrap())[0].size, Some(content.len() as u64), "{path}");
        }
        if is_killed {
            gateway.signal("KILL").await;
            gateway.child.wait().await.unwrap();
            let address = gateway.url.trim_start_matches("http://").to_owned();
            gateway = serve(&door, &state, durability, &address).await;
        }
    }
    door.open().await;
    drained(&state.path().join("state")).await;
    let bucket = world.gateway.bucket().await;
    assert_eq!(bucket.keys().await, ["d/doc", "d/new"], "and nothing lies beside");
    assert_eq!(bucket.get("d/doc").await.unwrap(), "saved");
    assert_eq!(bucket.get("d/new").await.unwrap(), "made");
}

async fn serve(door: &Door, state: &tempfile::TempDir, durability: Durability, address: &str) -> Process {
    let endpoint = format!("http://{}", door.address);
    let (durability, patience) = (durability.to_string(), format!("{}ms", PATIENCE.as_millis()));
    let more = ["--listen", address, "--on-outage", "keep", "--store-patience", &patience];
    Process::gateway(&endpoint, state, &[&more[..], &["--durability", &durability]].concat()).await
}
