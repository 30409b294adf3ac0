//! `s3dav container`: S3 Files mounted, served, watched and ended, on stand-ins for the programs of efs-utils.

mod credentials;
mod failures;
mod life;
pub mod stand_ins;
pub mod system;
