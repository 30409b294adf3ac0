//! Stand-ins for the programs of efs-utils, and recorders before `mount` and `umount`: scripts that note how they were
//! started, and do what the real ones were seen to do.

/// Where the scripts find what they need.
pub struct Places {
    /// Of the system that they belong to; nothing for the system's own.
    pub root: String,
    /// What they have done, and what they are told to do, such as `says`.
    pub notes: String,
    pub python: String,
    pub sh: String,
    pub mount: String,
    pub umount: String,
    pub grep: String,
}

impl Places {
    /// The programs below the root, each with its text.
    pub fn programs(&self) -> Vec<(&'static str, String)> {
        let umount = format!(
            "#!{}\nroot='{}'\nnotes='{}'\nGREP='{}'\nUMOUNT='{}'\n{UMOUNT}",
            self.sh, self.root, self.notes, self.grep, self.umount
        );
        vec![
            ("sbin/mount.s3files", self.python(HELPER)),
            ("usr/bin/amazon-efs-mount-watchdog", self.python(WATCHDOG)),
            ("usr/bin/efs-proxy", self.python(PROXY)),
            ("usr/sbin/mount", self.python(MOUNT)),
            ("usr/sbin/umount", umount),
        ]
    }

    /// A script as a program.
    pub fn python(&self, script: &str) -> String {
        let Self { root, notes, python, mount, .. } = self;
        format!("#!{python}\nroot = {root:?}; notes = {notes:?}; MOUNT = {mount:?}\n{PRELUDE}{script}")
    }
}

/// The configuration that comes with them, below the root.
pub const CONFIGURATION: [(&str, &str); 2] = [
    (
        "etc/amazon/efs/s3files-utils.conf",
        "[mount]\nregion =\n[proxy]\nmetrics_enabled = true\n\n[cloudwatch-log]\nenabled = true\n",
    ),
    ("etc/amazon/efs/efs-utils.conf", "[cloudwatch-log]\n# enabled = true\n"),
];

const MOUNT: &str = r#"
import sys
record(' '.join(['mount', *sys.argv[1:]]))
_os.execv(MOUNT, sys.argv)
"#;

/// Mounts the directory `source`, starts a proxy and gets credentials, unless `says` tells it to fail, or to hang.
const HELPER: &str = r#"
import json, os, subprocess, sys, time, urllib.request
record('mount.s3files ' + ' '.join(sys.argv[1:]))
put('mount.env', '\n'.join(f'{name}={value}' for name, value in os.environ.items()))
request = urllib.request.Request(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])
request.add_header('Authorization', open(os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']).read())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
record('keys ' + json.load(opener.open(request, timeout=1))['AccessKeyId'])
sys.stderr.write('Could not start amazon-efs-mount-watchdog, unrecognized init system "s3dav"\n')
if os.path.exists(notes + '/hangs'):
    os.makedirs(root + '/var/log/amazon/efs', exist_ok=True)
    open(root + '/var/log/amazon/efs/fs-0.efs-proxy.log', 'w').write('began\nthe certificate of the server is wrong\n')
    start_proxy()
    time.sleep(600)
if os.path.exists(notes + '/says'):
    sys.stderr.write(open(notes + '/says').read())
    sys.exit(int(open(notes + '/code').read()))
if os.path.exists(notes + '/lies'):
    sys.exit(0)
subprocess.run([MOUNT, '--bind', notes + '/source', sys.argv[2]], check=True)
start_proxy()
"#;

const WATCHDOG: &str = r#"
import os, signal, sys, time
if os.path.exists(notes + '/no-watchdog'):
    sys.exit(3)
def end(*_):
    record('watchdog ended')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
record('watchdog began')
while True:
    try:
        proxy = int(open(notes + '/proxy').read())
        if open(f'/proc/{proxy}/stat').read().split(') ')[1][0] == 'Z':
            raise OSError
    except ValueError:
        pass
    except OSError:
        if os.path.exists(notes + '/proxy'):
            record('watchdog starts a proxy')
            start_proxy()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except OSError:
        pass
    time.sleep(0.05)
"#;

const PROXY: &str = r#"
import os, signal, time
def end(*_):
    record('proxy ended')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
put('proxy', str(os.getpid()))
record('proxy began')
while True:
    time.sleep(600)
"#;

/// Where `busy` stands, only what it names works. A shell is quick: it is ended soon.
const UMOUNT: &str = r#"
for dir; do :; done
line="umount $*"
if "$GREP" -qs -e "--path=$dir" /proc/[0-9]*/cmdline; then line="$line while served"; fi
"$GREP" -qxF -e "$line" "$notes/record" || echo "$line" >> "$notes/record"
if [ -e "$notes/busy" ]; then
    read -r works < "$notes/busy"
    [ "$1" = "$works" ] || exit 32
fi
exec "$UMOUNT" "$@"
"#;

/// What all of them know.
const PRELUDE: &str = r#"
import os as _os, subprocess as _subprocess
def put(name, text):
    with open(f'{notes}/{name}.new', 'w') as file:
        file.write(text)
    _os.rename(f'{notes}/{name}.new', f'{notes}/{name}')
def record(line):
    with open(notes + '/record', 'a') as file:
        file.write(line + '\n')
def start_proxy():
    null = _subprocess.DEVNULL
    _subprocess.Popen([root + '/usr/bin/efs-proxy'], stdin=null, stdout=null, stderr=null, start_new_session=True)
"#;
