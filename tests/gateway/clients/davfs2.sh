# Works on a mount as people and programs do. $MOUNT, $OTHER: two mounts of the same; $LOCAL: room beside.
TREE="$LOCAL/tree"

# cp -r of a tree with odd names; davfs2 itself cannot take a backslash.
rm -rf "$TREE"/*\\*
cp -r "$TREE" "$MOUNT/copied"
diff -r "$TREE" "$MOUNT/copied"

# Edited as vi does it: a backup by rename, then the file anew.
cd "$MOUNT/copied"
for round in 1 2 3; do
    echo "swap" >.plain.txt.swp
    mv plain.txt plain.txt~
    echo "edited $round" >plain.txt
    rm plain.txt~ .plain.txt.swp
    [ "$(cat plain.txt)" = "edited $round" ]
done
# In place, and at the end.
printf 'X' | dd of=a/b/c/numbers bs=1 seek=100 conv=notrunc status=none
echo "more" >>a/b/c/numbers
printf 'X' | dd of="$TREE/a/b/c/numbers" bs=1 seek=100 conv=notrunc status=none
echo "more" >>"$TREE/a/b/c/numbers"
cmp a/b/c/numbers "$TREE/a/b/c/numbers"
cp plain.txt "$TREE/plain.txt"
cd /

# mv of folders, there and back; rm -r.
mv "$MOUNT/copied" "$MOUNT/moved tree"
mkdir "$MOUNT/parent"
mv "$MOUNT/moved tree" "$MOUNT/parent/tree"
diff -r "$TREE" "$MOUNT/parent/tree"
cp -r "$MOUNT/parent/tree/a" "$MOUNT/doomed"
rm -r "$MOUNT/doomed"
[ ! -e "$MOUNT/doomed" ]

# rsync in both of its ways, twice: the second time there is nothing to do.
mkdir "$MOUNT/rsync" "$MOUNT/inplace"
rsync -rt "$TREE/" "$MOUNT/rsync/"
rsync -rt --inplace "$TREE/" "$MOUNT/inplace/"
diff -r "$TREE" "$MOUNT/rsync"
diff -r "$TREE" "$MOUNT/inplace"
[ -z "$(rsync -rc --out-format=%n "$TREE/" "$MOUNT/rsync/" | grep -v '/$' || true)" ]

# git
git init -q "$LOCAL/origin"
cp -r "$TREE/a" "$LOCAL/origin/"
git -C "$LOCAL/origin" add -A
git -C "$LOCAL/origin" -c user.name=t -c user.email=t@example.org commit -qm one
git clone -q "$LOCAL/origin" "$MOUNT/clone"
[ -z "$(git -c safe.directory='*' -C "$MOUNT/clone" status --porcelain)" ]
echo "change" >>"$MOUNT/clone/a/b/c/numbers"
git -c safe.directory='*' -C "$MOUNT/clone" -c user.name=t -c user.email=t@example.org commit -qam two
git -c safe.directory='*' -C "$MOUNT/clone" fsck --strict

# 200 MB, and tar
head -c 200000000 /dev/urandom >"$LOCAL/large"
cp "$LOCAL/large" "$MOUNT/large"
cmp "$LOCAL/large" "$MOUNT/large"
tar -C "$LOCAL" -cf "$LOCAL/tree.tar" tree
mkdir "$MOUNT/tar"
tar -C "$MOUNT/tar" --no-same-owner -xf "$LOCAL/tree.tar"
# For a second davfs2 shows the sizes from before tar set the times.
sleep 2
diff -r "$TREE" "$MOUNT/tar/tree"

# What one mount writes the other one reads.
mkdir "$MOUNT/shared"
for round in 1 2 3; do
    echo "from one $round" >"$MOUNT/shared/one"
    sync
    for _ in $(seq 100); do
        [ "$(cat "$OTHER/shared/one" 2>/dev/null)" = "from one $round" ] && break
        sleep 0.2
    done
    [ "$(cat "$OTHER/shared/one")" = "from one $round" ]
done
echo "from the other" >"$OTHER/shared/two"
for _ in $(seq 100); do
    [ "$(cat "$MOUNT/shared/two" 2>/dev/null)" = "from the other" ] && break
    sleep 0.2
done
[ "$(cat "$MOUNT/shared/two")" = "from the other" ]
