//! Runs made one number, and histograms made one curve.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Several runs of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// None without runs.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { min: *first, median, max: *last })
    }
}

/// The metrics of all runs; one that is not in every run is left out.
pub(crate) fn summarize(runs: &[BTreeMap<String, f64>]) -> BTreeMap<String, Summary> {
    let Some(first) = runs.first() else { return BTreeMap::new() };
    first
        .keys()
        .filter_map(|name| {
            let values: Option<Vec<f64>> = runs.iter().map(|run| run.get(name).copied()).collect();
            Some((name.clone(), Summary::of(&values?)?))
        })
        .collect()
}

/// Adds a histogram to another one. Bounds that differ in the fourth digit only are the same.
pub(crate) fn merge(into: &mut Vec<(f64, u64)>, other: &[(f64, u64)]) {
    for (bound, count) in other {
        match into.iter_mut().find(|(known, _)| (known / bound - 1.0).abs() < 1e-3) {
            Some((_, known)) => *known += count,
            None => into.push((*bound, *count)),
        }
    }
    into.sort_by(|a, b| a.0.total_cmp(&b.0));
}

/// Shares of all values, and the bound they are below.
pub(crate) fn cumulative(histogram: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let total: u64 = histogram.iter().map(|(_, count)| count).sum();
    let mut below = 0;
    histogram
        .iter()
        .map(|(bound, count)| {
            below += count;
            (below as f64 / total as f64, *bound)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_outliers_are_min_and_max() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[3.0]), Some(Summary { min: 3.0, median: 3.0, max: 3.0 }));
        let odd = Summary::of(&[5.0, 1.0, 100.0, 2.0, 3.0]).unwrap();
        assert_eq!(odd, Summary { min: 1.0, median: 3.0, max: 100.0 });
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn only_what_every_run_measured_is_summarized() {
        let run = |values: &[(&str, f64)]| {
            values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let runs = [run(&[("a", 1.0), ("b", 1.0)]), run(&[("a", 3.0)])];
        let summary = summarize(&runs);
        assert_eq!(summary.len(), 1);
        assert_eq!(summary["a"].median, 2.0);
        assert!(summarize(&[]).is_empty());
    }

    #[test]
    fn histograms_of_runs_become_one() {
        let mut all = vec![(10.0, 3), (20.0, 1)];
        merge(&mut all, &[(10.0001, 2), (15.0, 4)]);
        assert_eq!(all, [(10.0, 5), (15.0, 4), (20.0, 1)]);
        assert_eq!(cumulative(&all), [(0.5, 10.0), (0.9, 15.0), (1.0, 20.0)]);
    }
}
