//! What a stack costs, whether it is used or not.
//!
//! Prices change, and differ between regions: they carry a date and a source, and are an estimate.

/// Dollars of the United States for a month of 730 hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub task: f64,
    pub load_balancer: f64,
}

impl Estimate {
    pub fn new(runs: bool, is_arm: bool, has_load_balancer: bool) -> Self {
        let (cpu, memory) = if is_arm { (ARM_CPU_HOUR, ARM_GB_HOUR) } else { (X86_CPU_HOUR, X86_GB_HOUR) };
        let task = cpu * TASK_CPUS + memory * TASK_GB + ADDRESS_HOUR;
        let balancer = BALANCER_HOUR + ADDRESS_HOUR;
        Self {
            task: if runs { task * HOURS } else { 0.0 },
            load_balancer: if has_load_balancer { balancer * HOURS } else { 0.0 },
        }
    }

    pub fn total(&self) -> f64 {
        self.task + self.load_balancer
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "about {:.0} dollars a month", self.total())?;
        if self.task > 0.0 {
            write!(f, "; {:.2} for the task and its address, nothing while it is stopped", self.task)?;
        }
        if self.load_balancer > 0.0 {
            write!(f, "; {:.2} for the load balancer and its address, besides traffic", self.load_balancer)?;
        }
        Ok(())
    }
}

/// Of which region and when the prices were looked up.
pub const PRICES_OF: &str = "us-east-1, November 2026";
pub const PRICES_SOURCES: &str = "aws.amazon.com/fargate/pricing, /vpc/pricing, /elasticloadbalancing/pricing; S3 Files itself is \
                                  billed by use: aws.amazon.com/s3/pricing";

const HOURS: f64 = 730.0;
/// Of the task, as the template has it.
const TASK_CPUS: f64 = 0.25;
const TASK_GB: f64 = 0.5;
/// Fargate, an hour.
const ARM_CPU_HOUR: f64 = 0.03238;
const ARM_GB_HOUR: f64 = 0.00356;
const X86_CPU_HOUR: f64 = 0.04048;
const X86_GB_HOUR: f64 = 0.004445;
/// A public address of IPv4, an hour.
const ADDRESS_HOUR: f64 = 0.005;
/// A network load balancer, an hour.
const BALANCER_HOUR: f64 = 0.0225;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_costs_nothing() {
        assert_eq!(Estimate::new(false, true, false).total(), 0.0);
        assert_eq!(
            Estimate::new(true, true, false).to_string(),
            "about 11 dollars a month; 10.86 for the task and its address, nothing while it is stopped"
        );
        let both = Estimate::new(true, false, true).to_string();
        assert!(
            both.starts_with("about 33 dollars") && both.contains("20.07 for the load balancer"),
            "{both}"
        );
    }

    #[test]
    fn the_sheet_says_the_same() {
        let sheet = include_str!("../../docs/S3-FILES.md");
        let estimate = Estimate::new(true, true, true);
        for price in [estimate.task, estimate.load_balancer] {
            assert!(sheet.contains(&format!("| {price:.2} ")), "{price}");
        }
        for hour in [ARM_CPU_HOUR, ARM_GB_HOUR, ADDRESS_HOUR, BALANCER_HOUR] {
            assert!(sheet.contains(&hour.to_string()), "{hour}");
        }
        assert!(sheet.contains("of November 2026") && PRICES_OF.ends_with("November 2026"));
    }
}
