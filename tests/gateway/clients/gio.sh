# gvfs, as GNOME's file manager uses it. $HOST: host and port; $LOCAL: room beside.
export XDG_RUNTIME_DIR="$LOCAL/run" GVFS_DISABLE_FUSE=1
mkdir -m 700 "$XDG_RUNTIME_DIR"
dbus-run-session -- bash -euo pipefail -c '
    gio mount "dav://$HOST/"
    u="dav://$HOST"
    echo "content" >"$LOCAL/odd näme #1%.txt"
    gio copy "$LOCAL/odd näme #1%.txt" "$u/"
    gio mkdir "$u/folder"
    gio copy "$u/odd%20n%C3%A4me%20%231%25.txt" "$u/folder/copy.txt"
    gio move "$u/folder/copy.txt" "$u/folder/moved.txt"
    [ "$(gio cat "$u/folder/moved.txt")" = "content" ]
    [ "$(gio list "$u/folder/")" = "moved.txt" ]
    gio rename "$u/folder/moved.txt" "renamed.txt"
    gio info "$u/folder/renamed.txt" | grep -q "standard::size: 8"
    echo "new" | gio save "$u/folder/renamed.txt"
    [ "$(gio cat "$u/folder/renamed.txt")" = "new" ]
    gio remove "$u/folder/renamed.txt"
    gio remove "$u/folder"
    [ "$(gio list "$u/" | wc -l)" = 1 ]
    gio mount -u "dav://$HOST/"
'
