//! What `.ci/release` makes, of this very program, and under names of the tests: it is installed as a reader would, and
//! serves its first file.

mod contents;
mod install;
mod names;

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::harness::clients::{Tools, needs};
use crate::harness::in_repository;
use crate::harness::process::outcome_within;

/// Where everything is that is published of this machine's target.
pub struct Packages {
    pub place: PathBuf,
    /// The program that was packed.
    pub binary: PathBuf,
}

impl Packages {
    /// Made once, by programs that are asked for together with the test's own; `None` after saying which are missing.
    pub async fn made(own: &[&'static str]) -> Option<(Tools, &'static Self)> {
        static MADE: OnceCell<Packages> = OnceCell::const_new();
        let tools = needs(&[MAKERS, own].concat())?;
        let make = || async {
            // Cargo's own place for what tests leave.
            let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
            let _ = std::fs::remove_dir_all(&place);
            std::fs::create_dir_all(&place).unwrap();
            let binary = place.join("s3dav");
            // Without its debugging information, which is most of it.
            let mut strip = tools.command("strip");
            strip.arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_s3dav"));
            succeeds(strip).await;
            let (names, out) = (place.join("names.toml"), place.join("published"));
            std::fs::write(&names, NAMES).unwrap();
            let mut release = release(&tools, &out, &["--little", "--binary"]);
            succeeds(release.arg(&binary).arg("--names").arg(&names)).await;
            Self { place: out, binary }
        };
        let made = MADE.get_or_init(make).await;
        Some((tools, made))
    }

    /// The one file whose name ends so.
    pub fn file(&self, end: &str) -> PathBuf {
        let files = files(&self.place);
        let mut named = files.iter().filter(|name| name.ends_with(end));
        let (first, more) = (named.next(), named.next());
        assert!(more.is_none(), "{end}: {files:?}");
        self.place.join(first.unwrap_or_else(|| panic!("{end}: {files:?}")))
    }
}

/// `.ci/release`, which puts what it makes into `out`.
pub fn release(tools: &Tools, out: &Path, arguments: &[&str]) -> Command {
    let mut release = tools.command("bash");
    release.arg(in_repository(".ci/release")).args(arguments);
    let mut path = vec![Path::new(env!("CARGO")).parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    release.env("PATH", std::env::join_paths(path).unwrap());
    release.env("S3DAV_PACKAGING", tools.path("Python for packages")).env("S3DAV_RELEASE_DIR", out);
    release.env("SOURCE_DATE_EPOCH", "1800000000");
    release
}

/// The names of the files of a directory, in order.
pub fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a command prints that must end well.
pub async fn succeeds(mut command: impl std::borrow::BorrowMut<Command>) -> String {
    let (code, out, error) = ending(command.borrow_mut()).await;
    assert_eq!(code, 0, "{out}{error}");
    out
}

/// How a command ends, and what it prints.
pub async fn ending(command: &mut Command) -> (i32, String, String) {
    outcome_within(command, LIMIT).await
}

/// What packages are made with.
const MAKERS: &[&str] =
    &["bash", "sed", "mkdir", "strip", "readelf", "dpkg-deb", "rpmbuild", "Python for packages"];

/// Of nobody.
const NAMES: &str = r#"
homepage = "https://s3dav.example"
repository = "https://code.example/owner/s3dav"
maintainer = "The Tests <tests@s3dav.example>"
pypi = "s3dav-of-tests"
npm = "@of-tests/s3dav"
"#;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// For packing, on a machine that is busy with other tests.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);
