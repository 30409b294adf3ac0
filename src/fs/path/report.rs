//! How far the files of a folder, or one, are on their way into the bucket: for people, and for nobody's request.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as Deadline;

use super::names;
use super::root::leads_nowhere;
use super::{PathShare, Shared};
use crate::fs::{ExportState, Failure, ResourcePath};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub exported: u64,
    pub pending: u64,
    pub failed: u64,
    /// Keys of those that are not there, and why if that is told; not all of them where they are many.
    pub named: Vec<(String, Option<String>)>,
    /// Files of which nothing is told.
    pub untold: u64,
    /// There are more files than were looked at.
    pub is_cut: bool,
}

impl PathShare {
    /// Whether what is served is Amazon S3 Files, as far as is known.
    pub fn tells_exports(&self) -> bool {
        self.0.exports.tells()
    }

    /// What is told of the file at `path`, or of those in the folder there.
    pub async fn export_report(&self, path: &ResourcePath) -> Result<ExportReport, Failure> {
        let (shared, path) = (Arc::clone(&self.0), path.clone());
        let deadline = Deadline::now() + PATIENCE + Duration::from_secs(5);
        let looking = move || shared.export_report(&path);
        self.0.disk.by(deadline, looking).await
    }
}

impl Shared {
    fn export_report(&self, path: &ResourcePath) -> Result<ExportReport, Failure> {
        let located = self.search(path)?.ok_or(Failure::NotFound)?;
        let mut report = ExportReport::default();
        if !located.stat.is_folder {
            report.add(self, located.key)?;
            return Ok(report);
        }
        let (begun, mut folders) = (Instant::now(), vec![located.id()]);
        while let Some(folder) = folders.pop() {
            let opened = match self.root.folder(&folder) {
                // Gone in this moment, or not to be read.
                Err(error) if leads_nowhere(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                    continue;
                }
                opened => opened?,
            };
            for entry in opened.entries()? {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if names::owner(&name).is_some() {
                    continue;
                }
                if report.files() >= MOST_FILES || begun.elapsed() > PATIENCE {
                    report.is_cut = true;
                    return Ok(report);
                }
                let (key, kind) = (format!("{folder}{name}"), entry.file_type()?);
                if kind.is_dir() {
                    folders.push(format!("{key}/"));
                } else if kind.is_file() {
                    report.add(self, key)?;
                }
            }
        }
        Ok(report)
    }
}

impl ExportReport {
    fn files(&self) -> u64 {
        self.exported + self.pending + self.failed + self.untold
    }

    fn add(&mut self, shared: &Shared, key: String) -> Result<(), Failure> {
        let Some(status) = shared.exports.status(&shared.root, &key)? else {
            self.untold += 1;
            return Ok(());
        };
        match status.state {
            ExportState::Exported => {
                self.exported += 1;
                return Ok(());
            }
            ExportState::Pending => self.pending += 1,
            ExportState::Failed => self.failed += 1,
        }
        if self.named.len() < MOST_NAMED {
            self.named.push((key, status.error));
        }
        Ok(())
    }
}

/// Files that are looked at: each look is a request to S3 Files, which meters it.
const MOST_FILES: u64 = 10_000;
const MOST_NAMED: usize = 100;
/// Until what has been found is told.
const PATIENCE: Duration = Duration::from_secs(20);
