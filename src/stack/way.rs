//! Which way leads to the files of a stack.
//!
//! The bucket itself is the fast one, costs nothing more, and needs no Docker. It shows what others write through the
//! file system a minute after their last write to it, when S3 Files has exported it; who must see that at once goes
//! through the file system.

use super::found::Outputs;
use crate::named::names;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Direct,
    Docker,
    Task,
}

names!(Via {
    Direct = "direct": "the bucket itself; what others write through S3 Files shows a minute later",
    Docker = "docker": "S3 Files, mounted in a container on this machine, through the stack's load balancer",
    Task = "task": "S3 Files, through the stack's task and an SSM session; experimental: never run on AWS",
});

/// A way, and all that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The bucket, without S3 Files.
    Direct(Direct),
    /// The file system, mounted by a container on this machine, through the load balancer.
    Docker(Docker),
    /// The gateway beside the file system, through a session of SSM.
    Task(Task),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// With its prefix, as an option names it.
    pub source: String,
    pub region: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    pub file_system: String,
    /// Host name of the load balancer.
    pub endpoint: String,
    pub access_point: String,
    pub az_id: String,
    pub region: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub cluster: String,
    pub service: String,
    pub region: String,
    /// On the task's own loopback.
    pub port: u16,
    /// SecureString of SSM with the password; the name is that of all far gateways.
    pub password_parameter: String,
    pub read_only: bool,
}

/// A way, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub way: Way,
    pub why: &'static str,
}

/// There is no such way.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum NoWay {
    #[error("the stack has no load balancer")]
    NoLoadBalancer,
    #[error("the task of the stack is stopped")]
    Stopped,
    #[error("the stack has no load balancer, and its task is stopped")]
    Neither,
}

/// Whether there is anything to choose from.
pub fn has_alternatives(outputs: &Outputs) -> bool {
    outputs.load_balancer.is_some() || outputs.running
}

/// Chooses. `needs_unexported`: whether what others have written within the last minute matters, if that is known.
pub fn choose(
    outputs: &Outputs,
    asked: Option<Via>,
    needs_unexported: Option<bool>,
) -> Result<Choice, NoWay> {
    let chose = |way, why| Ok(Choice { way, why });
    match (asked, needs_unexported) {
        (Some(Via::Direct), _) => chose(direct(outputs), ASKED),
        (Some(Via::Docker), _) => chose(docker(outputs).ok_or(NoWay::NoLoadBalancer)?, ASKED),
        (Some(Via::Task), _) => chose(task(outputs).ok_or(NoWay::Stopped)?, ASKED),
        (None, Some(true)) => match (docker(outputs), task(outputs)) {
            (Some(way), _) => {
                chose(way, "what others write is seen at once, and the stack has a load balancer")
            }
            (None, Some(way)) => {
                chose(way, "what others write is seen at once, and the stack has no load balancer")
            }
            (None, None) => Err(NoWay::Neither),
        },
        (None, Some(false)) => chose(direct(outputs), "it is the fastest, and needs no Docker"),
        (None, None) if has_alternatives(outputs) => chose(
            direct(outputs),
            "it is the fastest; what others write shows a minute later, and --via task or docker at once",
        ),
        (None, None) => {
            chose(direct(outputs), "it is the only way: no task runs, and there is no load balancer")
        }
    }
}

fn direct(outputs: &Outputs) -> Way {
    let (region, read_only) = (outputs.region.clone(), outputs.read_only);
    Way::Direct(Direct { source: outputs.source(), region, read_only })
}

fn docker(outputs: &Outputs) -> Option<Way> {
    Some(Way::Docker(Docker {
        file_system: outputs.file_system.clone(),
        endpoint: outputs.load_balancer.clone()?,
        access_point: outputs.access_point.clone(),
        az_id: outputs.az_id.clone(),
        region: outputs.region.clone(),
        read_only: outputs.read_only,
    }))
}

fn task(outputs: &Outputs) -> Option<Way> {
    outputs.running.then(|| {
        Way::Task(Task {
            cluster: outputs.cluster.clone(),
            service: outputs.service.clone(),
            region: outputs.region.clone(),
            port: outputs.port,
            password_parameter: outputs.password_parameter.clone(),
            read_only: outputs.read_only,
        })
    })
}

const ASKED: &str = "as --via says";

#[cfg(test)]
mod tests {
    use super::super::found::tests::found;
    use super::*;

    /// What is chosen without a wish, with each wish, and where unexported writes matter or not: the first letters.
    fn chosen(more: &[(&str, Option<&str>)]) -> String {
        let outputs = found(more).outputs().unwrap();
        let letter = |asked, needs| match choose(&outputs, asked, needs) {
            Ok(Choice { way: Way::Direct(_), .. }) => 'd',
            Ok(Choice { way: Way::Docker(_), .. }) => 'k',
            Ok(Choice { way: Way::Task(_), .. }) => 't',
            Err(_) => '-',
        };
        let wishes = [Via::Direct, Via::Docker, Via::Task].map(|via| letter(Some(via), Some(true)));
        let [direct, docker, task] = wishes;
        let free = [None, Some(false), Some(true)].map(|needs| letter(None, needs));
        free.into_iter().chain([direct, docker, task]).collect()
    }

    const BALANCER: (&str, Option<&str>) = ("LoadBalancerName", Some("nlb.example"));
    const STOPPED: (&str, Option<&str>) = ("Running", Some("0"));

    #[test]
    fn the_bucket_itself_unless_the_last_minute_of_others_matters() {
        assert_eq!(chosen(&[]), "ddtd-t", "a task that runs");
        assert_eq!(chosen(&[STOPPED]), "dd-d--", "nothing but the bucket");
        assert_eq!(chosen(&[BALANCER]), "ddkdkt", "both");
        assert_eq!(chosen(&[BALANCER, STOPPED]), "ddkdk-", "a load balancer alone");
        assert_eq!(chosen(&[("BucketPrefix", Some("team/")), ("ReadOnly", Some("true"))]), "ddtd-t");
    }

    #[test]
    fn a_way_has_all_that_it_takes() {
        let outputs = found(&[BALANCER, ("BucketPrefix", Some("team/")), ("ReadOnly", Some("true"))])
            .outputs()
            .unwrap();
        let choice = choose(&outputs, None, None).unwrap();
        let expected = Direct { source: "photos/team".into(), region: "eu-west-1".into(), read_only: true };
        assert_eq!(choice.way, Way::Direct(expected));
        assert!(choice.why.contains("a minute later"), "{}", choice.why);
        let Way::Docker(docker) = choose(&outputs, Some(Via::Docker), None).unwrap().way else { panic!() };
        assert_eq!((docker.endpoint.as_str(), docker.az_id.as_str()), ("nlb.example", "euw1-az1"));
        let Way::Task(task) = choose(&outputs, Some(Via::Task), None).unwrap().way else { panic!() };
        assert_eq!((task.port, task.password_parameter.as_str()), (8330, "/s3dav/files/password"));
        let stopped = found(&[STOPPED]).outputs().unwrap();
        assert_eq!(choose(&stopped, None, Some(true)), Err(NoWay::Neither));
        assert_eq!(choose(&stopped, Some(Via::Task), None), Err(NoWay::Stopped));
        assert_eq!(choose(&stopped, Some(Via::Docker), None), Err(NoWay::NoLoadBalancer));
        assert!(choose(&stopped, None, None).unwrap().why.contains("the only way"));
    }
}
