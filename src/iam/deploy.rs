//! What whoever creates, changes and removes a stack of `s3dav stack` may do.
//!
//! CloudFormation acts with the rights of its caller. A test holds this against what the handlers of the template's
//! resources ask for. A bucket may be made here, and none can be deleted.

use super::document::{Document, Statement, Texts};

/// Actions of one statement.
struct Rights {
    sid: &'static str,
    actions: &'static [&'static str],
    /// Words in capitals are to be filled in.
    resources: &'static [&'static str],
    /// Operator, key and values of a condition.
    condition: Option<(&'static str, &'static str, &'static [&'static str])>,
}

const fn rights(
    sid: &'static str,
    resources: &'static [&'static str],
    actions: &'static [&'static str],
) -> Rights {
    Rights { sid, actions, resources, condition: None }
}

const RIGHTS: &[Rights] = &[
    rights(
        "Stacks",
        &["arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK/*"],
        &[
            "cloudformation:CreateStack",
            "cloudformation:DeleteStack",
            "cloudformation:DescribeStackEvents",
            "cloudformation:DescribeStacks",
            "cloudformation:UpdateStack",
        ],
    ),
    rights(
        "Buckets",
        &["*"],
        &[
            "s3:CreateBucket",
            "s3:DeleteBucketPolicy",
            "s3:Get*Configuration",
            "s3:GetBucket*",
            "s3:ListAllMyBuckets",
            "s3:ListBucket",
            "s3:ListTagsForResource",
            "s3:PutBucket*",
            "s3:PutEncryptionConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:TagResource",
            "s3:UntagResource",
        ],
    ),
    rights("FileSystems", &["*"], &["s3files:*"]),
    rights(
        "RulesOfFileSystems",
        &["arn:aws:events:*:*:rule/*"],
        &[
            "events:DeleteRule",
            "events:DescribeRule",
            "events:ListRules",
            "events:ListTargetsByRule",
            "events:PutRule",
            "events:PutTargets",
            "events:RemoveTargets",
        ],
    ),
    rights(
        "Network",
        &["*"],
        &[
            "ec2:AssociateRouteTable",
            "ec2:AttachInternetGateway",
            "ec2:AuthorizeSecurityGroup*",
            "ec2:Create*",
            "ec2:DeleteInternetGateway",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteRoute",
            "ec2:DeleteRouteTable",
            "ec2:DeleteSecurityGroup",
            "ec2:DeleteSubnet",
            "ec2:DeleteTags",
            "ec2:DeleteVpc",
            "ec2:DeleteVpcEndpoints",
            "ec2:Describe*",
            "ec2:DetachInternetGateway",
            "ec2:DisassociateRouteTable",
            "ec2:ModifyNetworkInterfaceAttribute",
            "ec2:ModifySubnetAttribute",
            "ec2:ModifyVpcAttribute",
            "ec2:ModifyVpcEndpoint",
            "ec2:ReplaceRoute",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:RevokeSecurityGroup*",
            "ec2:UpdateSecurityGroupRuleDescriptions*",
        ],
    ),
    rights("LoadBalancers", &["*"], &["elasticloadbalancing:*"]),
    rights("Tasks", &["*"], &["ecs:*", "ecr:BatchGetImage"]),
    rights(
        "Logs",
        &["*"],
        &[
            "logs:CreateLogGroup",
            "logs:DeleteLogGroup",
            "logs:DeleteRetentionPolicy",
            "logs:DescribeIndexPolicies",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetDataProtectionPolicy",
            "logs:ListTagsForResource",
            "logs:PutRetentionPolicy",
            "logs:TagResource",
            "logs:UntagResource",
        ],
    ),
    rights(
        "Password",
        &["arn:aws:ssm:REGION:ACCOUNT:parameter/s3dav/STACK/password"],
        &["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"],
    ),
    rights(
        "Roles",
        &["arn:aws:iam::ACCOUNT:role/STACK-*", "arn:aws:iam::ACCOUNT:policy/STACK-*"],
        &[
            "iam:AttachRolePolicy",
            "iam:CreatePolicy",
            "iam:CreatePolicyVersion",
            "iam:CreateRole",
            "iam:DeletePolicy",
            "iam:DeletePolicyVersion",
            "iam:DeleteRole",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:Get*",
            "iam:List*",
            "iam:PutRolePolicy",
            "iam:TagRole",
            "iam:UntagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:UpdateRole",
            "iam:UpdateRoleDescription",
        ],
    ),
    Rights {
        sid: "HandRolesOver",
        actions: &["iam:PassRole"],
        resources: &["arn:aws:iam::ACCOUNT:role/STACK-*"],
        condition: Some((
            "StringEquals",
            "iam:PassedToService",
            &["ecs-tasks.amazonaws.com", "elasticfilesystem.amazonaws.com"],
        )),
    },
    Rights {
        sid: "RolesOfServices",
        actions: &["iam:CreateServiceLinkedRole"],
        resources: &["arn:aws:iam::ACCOUNT:role/aws-service-role/*"],
        condition: Some((
            "StringEquals",
            "iam:AWSServiceName",
            &["ecs.amazonaws.com", "elasticfilesystem.amazonaws.com", "elasticloadbalancing.amazonaws.com"],
        )),
    },
];

/// The policy for whoever creates, changes and removes such stacks; words in capitals are to be filled in.
pub fn of_deployer() -> Document {
    Document::new(RIGHTS.iter().map(statement).collect())
}

fn statement(rights: &Rights) -> Statement {
    let statement = Statement {
        sid: Some(rights.sid),
        action: texts(rights.actions),
        resource: texts(rights.resources),
        ..Statement::default()
    };
    match rights.condition {
        Some((operator, key, values)) => statement.when(operator, key, texts(values)),
        None => statement,
    }
}

fn texts(given: &[&str]) -> Texts {
    let mut texts = Texts::default();
    given.iter().for_each(|text| texts.push(*text));
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_into_a_managed_policy_and_deletes_no_bucket() {
        let text = of_deployer().to_string();
        let characters = text.chars().filter(|c| !c.is_whitespace()).count();
        assert!(characters <= 6144, "IAM takes no more: {characters}");
        assert!(!text.contains("s3:Delete") || text.matches("s3:Delete").count() == 1, "{text}");
        assert!(text.contains("\"s3:DeleteBucketPolicy\"") && !text.contains("\"s3:*\""), "{text}");
    }
}
