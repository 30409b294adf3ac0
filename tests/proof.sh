# shellcheck shell=sh
# What tests/mac/run and tests/aws/run share: checks with a time limit, one table at the end, and a work directory
# that is removed only when nothing is mounted in it.
#
# A check is a function. What it prints last is what was seen; it ends with 0 (passed), 77 (skipped) or anything
# else (failed). It runs in a shell of its own: what the next one needs is left in a file.

# The work directory: short, since sockets lie in it, and resolved, since tables of mounts are.
work=$(mktemp -d /tmp/s3dav-proof.XXXXXX) && work=$(cd "$work" && pwd -P) || exit 2
number=0

say() { printf '%s\n' "$*" >&2; }

skip() {
    echo "$*"
    return 77
}

# Ends a process and all that it has started.
end_tree() {
    for child in $(ps -A -o pid= -o ppid= | awk -v parent="$1" '$2 == parent { print $1 }'); do
        end_tree "$child"
    done
    kill -KILL "$1" 2>/dev/null
}

# Runs a command for so many seconds at the most; 124 when they are over. One that hangs in the kernel is left alone.
within() {
    limit=$1 begin=$(date +%s) ending="$work/ended.$$.$number"
    shift
    rm -f "$ending"
    (
        "$@"
        echo $? >"$ending"
    ) &
    process=$!
    until [ -s "$ending" ]; do
        if [ $(($(date +%s) - begin)) -ge "$limit" ]; then
            end_tree "$process"
            process=''
            return 124
        fi
        sleep 0.1
    done
    process=''
    return "$(cat "$ending")"
}

# Asks again and again, for so many seconds at the most, until a command succeeds.
wait_for() {
    until_time=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$until_time" ] || return 1
        sleep 0.2
    done
}

# One row of the table: NAME SECONDS FUNCTION [ARGUMENT...].
check() {
    name=$1 most=$2 number=$((number + 1)) started=$(date +%s)
    shift 2
    say "$name ..."
    within "$most" "$@" >"$work/seen" 2>"$work/said"
    case $? in
        0) result=passed ;;
        77) result=skipped ;;
        124) result=failed && echo "did not end within $most s" >>"$work/seen" ;;
        *) result=failed ;;
    esac
    if [ "$result" = failed ] && [ -s "$work/said" ]; then sed 's/^/    /' "$work/said" >&2; fi
    # A failure without a message of its own has the program's.
    seen=$(grep -v '^$' "$work/seen" | tail -n 1)
    [ -n "$seen" ] || seen=$(grep -v '^$' "$work/said" | grep -v '^hint: ' | tail -n 1)
    seen=$(printf '%s' "$seen" | tr '\t|' '  ')
    printf '%s\t%s\t%s\t%s\n' "$name" "$result" $(($(date +%s) - started)) "$seen" >>"$work/rows"
    say "    $result: $seen"
}

# The table; fails if a row does, or if there is none.
table() {
    [ -s "$work/rows" ] || return 1
    awk -F'\t' '
        { rows[NR] = $0; if (length($1) > width) width = length($1); count[$2]++ }
        END {
            line = "| %-" width "s | %-7s | %7s | %s |\n"
            printf line, "what", "result", "seconds", "what was seen"
            rule = sprintf("%" width "s", ""); gsub(/ /, "-", rule)
            print "|-" rule "-|---------|--------:|---|"
            for (row = 1; row <= NR; row++) { split(rows[row], field, "\t"); printf line, field[1], field[2], field[3], field[4] }
            printf "\n%d passed, %d failed, %d skipped\n", count["passed"], count["failed"], count["skipped"]
        }' "$work/rows"
    ! grep -q "$(printf '\tfailed\t')" "$work/rows"
}

is_mounted() { mount | grep -qF " on $1 "; }

# Removes the work directory, whatever lies in it; but never by a path that leads into a mount.
remove_work() {
    if mount | grep -qF " on $work/"; then
        say "something is still mounted below $work: unmount it, then remove that directory"
        return 1
    fi
    rm -rf "$work"
}

# What `status` says of the gateway whose state is in S3DAV_STATE_DIR: its process, or its first address.
gateway() {
    status=$("$s3dav" status --json 2>/dev/null) || true
    case "$1" in
        pid) printf '%s\n' "$status" | tr ',' '\n' | sed -n 's/^ *"pid": *\([0-9][0-9]*\).*/\1/p' | head -n 1 ;;
        url) printf '%s\n' "$status" | grep -o '"http://[^"]*"' | tr -d '"' | head -n 1 ;;
        all) printf '%s\n' "$status" ;;
    esac
}

# The program that is to be tried; the script's own folder is $2: the one that is named, the one that was built here, or the one in the path.
find_s3dav() {
    built="$2/../../target/release/s3dav"
    if [ -n "$1" ]; then
        s3dav=$1
    elif [ -x "$built" ]; then
        s3dav=$built
    else
        s3dav=$(command -v s3dav) || true
    fi
    [ -n "$s3dav" ] && [ -x "$s3dav" ] || {
        say "error: there is no s3dav at ${s3dav:-target/release or in the path}"
        say "hint: build it with \`cargo build --release\`, or name it: $0 PATH"
        rm -rf "$work"
        exit 2
    }
    s3dav=$(cd "$(dirname "$s3dav")" && pwd)/$(basename "$s3dav")
}
