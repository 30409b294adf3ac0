//! The names that a misspelt one was meant to be.

/// Those of the names that are like `given`, the likest first. `plain` leaves of each what counts, such as its small
/// letters; `enough`, from 0 to 1, is exceeded by the likeness (Jaro-Winkler) of what is like it.
pub fn like<N: AsRef<str>>(
    given: &str,
    names: impl IntoIterator<Item = N>,
    plain: impl Fn(&str) -> String,
    enough: f64,
) -> Vec<N> {
    let given = plain(given);
    let likeness = |name: N| (strsim::jaro_winkler(&given, &plain(name.as_ref())), name);
    let mut like: Vec<(f64, N)> = names.into_iter().map(likeness).collect();
    like.retain(|(likeness, _)| *likeness > enough);
    like.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    like.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_comes_first_and_others_not_at_all() {
        let like = |given: &str, enough: f64| {
            like(given, ["Photos", "photo", "music"], |name| name.to_ascii_lowercase(), enough)
        };
        assert_eq!(like("PHOTOS", 0.7), ["Photos", "photo"]);
        assert_eq!(like("PHOTOS", 0.99), ["Photos"]);
        assert!(like("elsewhere", 0.7).is_empty());
    }
}
