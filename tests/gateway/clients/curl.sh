# $URL; $LOCAL: room beside.
cd "$LOCAL"
head -c 5000000 /dev/urandom >file
c() { curl -sS --fail-with-body "$@"; }
c -T file "$URL/file"
c "$URL/file" | cmp - file
# Ranges and resuming.
c -r 1000-1999 "$URL/file" | cmp - <(tail -c +1001 file | head -c 1000)
c -r -500 "$URL/file" | cmp - <(tail -c 500 file)
head -c 1234567 file >part
c -C - -o part "$URL/file"
cmp part file
# A body whose length is not known, and one that waits to be asked for.
c -T - "$URL/chunked" <file
c -H 'Expect: 100-continue' -T file "$URL/expected"
c "$URL/chunked" | cmp - file
c "$URL/expected" | cmp - file
# Conditions.
etag=$(c -I "$URL/file" | tr -d '\r' | sed -n 's/^etag: //pI')
[ "$(c -o /dev/null -w '%{http_code}' -H "If-None-Match: $etag" "$URL/file")" = 304 ]
[ "$(curl -sS -o /dev/null -w '%{http_code}' -H 'If-Match: "other"' -T file "$URL/file")" = 412 ]
[ "$(c -o /dev/null -w '%{http_code}' -z "$(c -I "$URL/file" | tr -d '\r' | sed -n 's/^last-modified: //pI')" "$URL/file")" = 304 ]
c --compressed -o again "$URL/file"
cmp again file
c -X DELETE "$URL/chunked"
