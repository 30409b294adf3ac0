# cadaver reads its commands from a file. $URL; $LOCAL: room beside.
cd "$LOCAL"
echo "content" >file.txt
cat >commands <<'COMMANDS'
mkcol folder
cd folder
put file.txt
copy file.txt copied.txt
move copied.txt moved.txt
ls
lock moved.txt
unlock moved.txt
propset file.txt colour green
propget file.txt colour
cat moved.txt
get moved.txt fetched.txt
delete file.txt
rmcol /folder
ls /
quit
COMMANDS
HOME="$LOCAL" cadaver "$URL/" <commands >output 2>&1
cat output
if grep -iE 'failed|error' output; then exit 1; fi
grep -q 'Value of colour is: green' output
cmp file.txt fetched.txt
