//! Which bytes of a file somebody has.

/// Ranges that do not touch, by their begin; each ends before its second number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds the bytes from `first` to before `end`. Of too many pieces the shortest is forgotten.
    pub fn add(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let touches = |range: &&(u64, u64)| range.0 <= end && first <= range.1;
        let first = self.0.iter().filter(touches).map(|range| range.0).fold(first, u64::min);
        let end_of_all = self.0.iter().filter(touches).map(|range| range.1).fold(end, u64::max);
        self.0.retain(|range| !(range.0 <= end && first <= range.1));
        self.0.push((first, end_of_all));
        self.0.sort_unstable();
        if self.0.len() > MOST {
            let shortest = self.0.iter().enumerate().min_by_key(|(_, range)| range.1 - range.0);
            if let Some((at, _)) = shortest {
                self.0.remove(at);
            }
        }
    }

    /// Whether all bytes of a file of `size` are there.
    pub fn cover(&self, size: u64) -> bool {
        size == 0 || self.0.first().is_some_and(|range| range.0 == 0 && range.1 >= size)
    }
}

/// Who reads a file in more pieces that are apart at once is not reading it whole.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u64, u64)]) -> Ranges {
        let mut all = Ranges::default();
        ranges.iter().for_each(|range| all.add(range.0, range.1));
        all
    }

    #[test]
    fn pieces_that_touch_are_one() {
        assert_eq!(of(&[(0, 5), (10, 15), (5, 10)]), Ranges(vec![(0, 15)]));
        assert_eq!(of(&[(3, 4), (8, 9), (0, 20), (7, 7)]), Ranges(vec![(0, 20)]));
        assert_eq!(of(&[(5, 9), (0, 2)]), Ranges(vec![(0, 2), (5, 9)]));
        assert_eq!(of(&[(0, 4), (2, 6), (9, 10)]), Ranges(vec![(0, 6), (9, 10)]));
    }

    #[test]
    fn a_file_is_covered_when_nothing_is_missing() {
        assert!(of(&[]).cover(0) && !of(&[]).cover(1));
        assert!(of(&[(5, 10), (0, 5)]).cover(10) && !of(&[(0, 9)]).cover(10) && !of(&[(1, 10)]).cover(10));
    }

    #[test]
    fn few_pieces_are_kept() {
        let mut ranges = of(&[(0, 100)]);
        (0..1000).for_each(|at| ranges.add(1000 + at * 10, 1001 + at * 10));
        assert!(ranges.0.len() <= MOST && ranges.0.contains(&(0, 100)));
    }

    #[test]
    fn the_shortest_of_too_many_is_forgotten() {
        let apart = |count: usize| -> Vec<(u64, u64)> {
            (0..count as u64).map(|at| (at * 10, at * 10 + if at == 3 { 1 } else { 2 })).collect()
        };
        assert_eq!(of(&apart(MOST)).0, apart(MOST));
        let mut left = apart(MOST + 1);
        left.remove(3);
        assert_eq!(of(&apart(MOST + 1)).0, left);
    }
}
