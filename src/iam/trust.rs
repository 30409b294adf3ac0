//! Who may take a role: the other document that each role has.

use super::document::{Document, Statement, Texts};
use super::policy::S3_FILES;
use crate::named::names;

/// Who takes the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Pods of EKS, by their cluster's OIDC provider (IAM roles for service accounts).
    Irsa,
    /// Pods of EKS, by its Pod Identity agent.
    PodIdentity,
    /// Tasks of ECS, Fargate among them.
    Ecs,
    /// Amazon S3 Files itself, to reach the bucket behind a file system.
    S3FilesService,
}

names!(Trust {
    Irsa = "irsa": "Pods of EKS, by the OIDC provider of their cluster",
    PodIdentity = "pod-identity": "Pods of EKS, by its Pod Identity agent",
    Ecs = "ecs": "Tasks of ECS, also on Fargate",
    S3FilesService = "s3files-service": "Amazon S3 Files, to reach the bucket behind a file system",
});

/// The names in such a document. In the place of one that is not given a word in capitals is written.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub partition: String,
    pub account: Option<String>,
    pub region: Option<String>,
    /// Without its scheme.
    pub oidc_provider: Option<String>,
    pub namespace: Option<String>,
    pub service_account: Option<String>,
}

/// The document that lets them take a role.
pub fn trust(who: Trust, names: &Names) -> Document {
    Document::new(vec![match who {
        Trust::Irsa => irsa(names),
        Trust::PodIdentity => pod_identity(names),
        Trust::Ecs => {
            let tasks = format!("arn:{}:ecs:*:{}:*", names.partition, names.account());
            service("ecs-tasks.amazonaws.com", ["sts:AssumeRole"].into()).of_account(names, tasks)
        }
        Trust::S3FilesService => {
            let region = names.region.as_deref().unwrap_or("REGION");
            let (partition, account) = (&names.partition, names.account());
            let systems = format!("arn:{partition}:s3files:{region}:{account}:file-system/*");
            service(S3_FILES, ["sts:AssumeRole"].into()).of_account(names, systems)
        }
    }])
}

impl Names {
    fn account(&self) -> &str {
        self.account.as_deref().unwrap_or("ACCOUNT")
    }
}

impl Statement {
    /// Only on behalf of resources of the account.
    fn of_account(self, names: &Names, source: String) -> Self {
        let statement = self.when("StringEquals", "aws:SourceAccount", [names.account()].into());
        statement.when("ArnLike", "aws:SourceArn", [source].into())
    }
}

fn service(name: &'static str, action: Texts) -> Statement {
    let principal = [("Service", name.to_owned())].into();
    Statement { principal, action, ..Statement::default() }
}

fn irsa(names: &Names) -> Statement {
    let provider = names.oidc_provider.as_deref().unwrap_or("OIDC_PROVIDER");
    let namespace = names.namespace.as_deref().unwrap_or("NAMESPACE");
    let service_account = names.service_account.as_deref().unwrap_or("SERVICE_ACCOUNT");
    let arn = format!("arn:{}:iam::{}:oidc-provider/{provider}", names.partition, names.account());
    let statement = Statement {
        principal: [("Federated", arn)].into(),
        action: ["sts:AssumeRoleWithWebIdentity"].into(),
        ..Statement::default()
    };
    let subject = format!("system:serviceaccount:{namespace}:{service_account}");
    let statement = statement.when("StringEquals", format!("{provider}:aud"), ["sts.amazonaws.com"].into());
    statement.when("StringEquals", format!("{provider}:sub"), [subject].into())
}

/// Which pods have the role is said by an association of the cluster; the names say it once more.
fn pod_identity(names: &Names) -> Statement {
    let tags =
        [("kubernetes-namespace", &names.namespace), ("kubernetes-service-account", &names.service_account)];
    let statement = service("pods.eks.amazonaws.com", ["sts:AssumeRole", "sts:TagSession"].into());
    tags.into_iter().fold(statement, |statement, (tag, name)| match name {
        Some(name) => statement.when("StringEquals", format!("aws:RequestTag/{tag}"), [name.as_str()].into()),
        None => statement,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stands_in_capitals() {
        let names = Names { partition: "aws".to_owned(), ..Names::default() };
        let text = trust(Trust::Irsa, &names).to_string();
        for expected in [
            "\"Federated\": \"arn:aws:iam::ACCOUNT:oidc-provider/OIDC_PROVIDER\"",
            "\"OIDC_PROVIDER:sub\": \"system:serviceaccount:NAMESPACE:SERVICE_ACCOUNT\"",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let text = trust(Trust::S3FilesService, &names).to_string();
        assert!(text.contains("\"arn:aws:s3files:REGION:ACCOUNT:file-system/*\""), "{text}");
        assert!(!trust(Trust::PodIdentity, &names).to_string().contains("Condition"));
    }
}
