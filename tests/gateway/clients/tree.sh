# Makes the folder $TREE: names that are legal and odd, empty things, and some content.
mkdir -p "$TREE"
cd "$TREE"
for name in 'plain.txt' 'with space' 'per%cent' 'per%20cent' 'hash#tag' 'question?mark' 'a&b' "quote'd" \
    'double"quoted' 'semi;colon' 'pl+us' 'tilde~' '.hidden' '-dash' 'equals=sign' 'comma,' 'at@sign' 'dollar$' \
    'brackets[x]' 'braces{x}' 'paren(x)' 'less<more>' 'pipe|' 'back\slash' 'star*' 'colon:x' 'caret^' '`tick' \
    'grüße' '日本語' 'emoji😀' 'ключ' 'ends.' ' leading' 'UPPER' 'Upper' "long-$(printf 'n%.0s' $(seq 200))"; do
    mkdir -p "dir $name"
    printf 'content of %s' "$name" >"$name"
    printf 'below %s' "$name" >"dir $name/$name"
done
mkdir -p a/b/c/d/e/f empty
: >zero
seq 20000 >a/b/c/numbers
