//! S3 in trouble: the client takes any 5xx for "there is no such file", and remembers that.

use s3dav::embedded::Action;

use super::{World, scenarios};

scenarios! {
    s40_a_passing_trouble_is_waited_for fails if |asked, answer| {
        if asked.path.contains("waited") {
            answer.is(503);
        }
    };
}

async fn s40_a_passing_trouble_is_waited_for(world: World) {
    for key in ["waited", "d/waited"] {
        world.outside(key, "x").await;
    }
    let troubles = [
        Action::Fail { status: 503, code: "SlowDown", message: "" },
        Action::Fail { status: 500, code: "InternalError", message: "" },
    ];
    for trouble in troubles {
        for operation in ["HeadObject", "ListObjectsV2", "GetObject"] {
            if let Some(s3) = world.s3() {
                s3.next(3, operation, trouble.clone());
            }
        }
        assert_eq!(world.mac.look("/waited").await, 207);
        assert_eq!(world.mac.get("/waited").await.0, 200);
        assert_eq!(world.mac.list("/d/").await, ["/d/", "/d/waited"]);
        assert_eq!(world.mac.look("/d/missing").await, 404, "known, not guessed");
        tokio::time::sleep(super::TTL).await;
    }
}
