//! rclone as a client.

use super::{TREE, bash};
use crate::harness::TestGateway;
use crate::harness::clients::needs;

const SCRIPT_NEEDS: &[&str] = &["rclone", "cat", "cp", "diff", "mv", "rm"];

const SCRIPT: &str = r#"
export RCLONE_CONFIG=/dev/null RCLONE_WEBDAV_URL="$URL" RCLONE_WEBDAV_VENDOR=other
r() { rclone --retries 1 "$@" 2>&1; }
# 500 files, the odd names among them.
mkdir -p "$TREE/many"
for n in $(seq 430); do echo "file $n" >"$TREE/many/$n.txt"; done
r sync "$TREE" :webdav:tree --create-empty-src-dirs
r check "$TREE" :webdav:tree --download
# There and back: what comes is what went.
r sync :webdav:tree "$LOCAL/back" --create-empty-src-dirs
diff -r "$TREE" "$LOCAL/back"
# Changes, one of each kind.
rm "$TREE/many/1.txt"
echo "changed" >"$TREE/many/2.txt"
echo "new" >"$TREE/many/new.txt"
mv "$TREE/many/3.txt" "$TREE/many/renamed.txt"
r sync "$TREE" :webdav:tree --create-empty-src-dirs
r check "$TREE" :webdav:tree --download
# Both ways at once.
mkdir -p "$LOCAL/bi"
cp -r "$TREE/many" "$LOCAL/bi/"
r mkdir :webdav:bi
r bisync "$LOCAL/bi" :webdav:bi --resync --workdir "$LOCAL/work"
echo "from here" >"$LOCAL/bi/many/here.txt"
echo "from there" | r rcat :webdav:bi/many/there.txt
r bisync "$LOCAL/bi" :webdav:bi --workdir "$LOCAL/work"
[ "$(cat "$LOCAL/bi/many/there.txt")" = "from there" ]
[ "$(r cat :webdav:bi/many/here.txt)" = "from here" ]
r moveto :webdav:bi/many/here.txt :webdav:bi/moved.txt
r copyto :webdav:bi/moved.txt :webdav:bi/copied.txt
[ "$(r cat :webdav:bi/copied.txt)" = "from here" ]
r purge :webdav:bi
[ "$(r lsf :webdav:)" = "tree/" ]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn rclone_synchronises_both_ways() {
    let Some(tools) = needs(&[TREE, SCRIPT_NEEDS].concat()) else { return };
    for gateway in TestGateway::both().await {
        let local = tempfile::tempdir().unwrap();
        let tree = local.path().join("tree");
        bash(&tools, include_str!("tree.sh"), &[("TREE", tree.to_str().unwrap())]).await;
        let variables = [
            ("URL", &*gateway.url),
            ("TREE", tree.to_str().unwrap()),
            ("LOCAL", local.path().to_str().unwrap()),
        ];
        bash(&tools, SCRIPT, &variables).await;
    }
}
