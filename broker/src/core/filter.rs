//! Filters of downstreams: grammar and matching (docs/protocol/behaviour.md §6.2, §11 items 51, 52).

use iscp::message::{DataId, DownstreamFilter, FilterReference};

/// Whether `pattern` is well formed: `+` and `#` stand for whole levels, `#` only for the last ones.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    let mut levels = pattern.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => {
                return Err(format!("pattern {pattern:?}: \"#\" is not the last level"));
            }
            "#" | "+" => {}
            _ if level.contains(['#', '+']) => {
                return Err(format!("pattern {pattern:?}: level {level:?} mixes a wildcard with other text"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether `pattern` matches `value`. `a/#` matches `a` as well, as it does in MQTT.
pub(super) fn pattern_matches(pattern: &str, value: &str) -> bool {
    let mut values = value.split('/');
    for level in pattern.split('/') {
        if level == "#" {
            return true;
        }
        match values.next() {
            Some(value) if level == "+" || level == value => {}
            _ => return false,
        }
    }
    values.next().is_none()
}

/// Every data filter for `node` that matches `id`, in the order of the open request.
pub(super) fn references(filters: &[DownstreamFilter], node: &str, id: &DataId) -> Vec<FilterReference> {
    let mut references = Vec::new();
    for (i, filter) in filters.iter().enumerate() {
        if filter.source_node_id != node {
            continue;
        }
        for (j, data) in filter.data_filters.iter().enumerate() {
            if pattern_matches(&data.name, &id.name) && pattern_matches(&data.kind, &id.kind) {
                references
                    .push(FilterReference { downstream_filter_index: i as u32, data_filter_index: j as u32 });
            }
        }
    }
    references
}

/// Whether a data id can be sent: wildcards have no place in one, and it must have a name.
pub(super) fn check_data_id(id: &DataId, max_len: usize) -> Result<(), String> {
    if id.name.is_empty() {
        return Err("data id without a name".to_owned());
    }
    if id.name.len() > max_len || id.kind.len() > max_len {
        return Err(format!("data id with more than {max_len} bytes in a part"));
    }
    if id.name.contains(['#', '+']) || id.kind.contains(['#', '+']) {
        return Err(format!("data id {:?} contains a wildcard", id.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use iscp::message::DataFilter;

    #[test]
    fn patterns_match_as_the_official_clients_document() {
        for (pattern, value, expected) in [
            ("#", "name", true),
            ("#", "group/name", true),
            ("group/#", "group/name", true),
            ("group/#", "group/sub/name", true),
            ("group/#", "other/name", false),
            ("+", "name", true),
            ("+", "group/name", false),
            ("group/+", "group/name", true),
            ("group/+", "group/sub/name", false),
            ("group/+/name", "group/sub/name", true),
            ("group/+/name", "group/other/name", true),
            ("group/+/name", "group/other/some", false),
            ("group/#", "group", true),
            ("group/#", "groups", false),
            ("+/#", "group", true),
            ("name", "name", true),
            ("name", "name/sub", false),
            ("name/sub", "name", false),
            ("", "", true),
            ("", "name", false),
        ] {
            assert_eq!(pattern_matches(pattern, value), expected, "{pattern} {value}");
        }
    }

    /// The rules as they are said, level by level.
    fn plainly_matches(pattern: &[&str], value: &[&str]) -> bool {
        match (pattern, value) {
            (["#"], _) | ([], []) => true,
            (["+", pattern @ ..], [_, value @ ..]) => plainly_matches(pattern, value),
            ([level, pattern @ ..], [same, value @ ..]) => level == same && plainly_matches(pattern, value),
            _ => false,
        }
    }

    /// Every text of up to `most` levels out of `levels`.
    fn texts(levels: &[&str], most: usize) -> Vec<String> {
        let mut texts: Vec<String> = levels.iter().map(|&level| level.to_owned()).collect();
        let mut longest = texts.clone();
        for _ in 1..most {
            longest = longest
                .iter()
                .flat_map(|text| levels.iter().map(move |level| format!("{text}/{level}")))
                .collect();
            texts.extend_from_slice(&longest);
        }
        texts
    }

    #[test]
    fn every_pattern_matches_what_a_plain_reference_says() {
        let patterns = texts(&["", "a", "ab", "+", "#"], 4);
        let values = texts(&["", "a", "ab", "b"], 4);
        let mut matching = 0;
        for pattern in patterns.iter().filter(|pattern| check_pattern(pattern).is_ok()) {
            let levels: Vec<_> = pattern.split('/').collect();
            for value in &values {
                let expected = plainly_matches(&levels, &value.split('/').collect::<Vec<_>>());
                assert_eq!(pattern_matches(pattern, value), expected, "{pattern:?} {value:?}");
                matching += usize::from(expected);
            }
        }
        assert!(matching > 1000, "{matching}");
    }

    #[test]
    fn wildcards_stand_for_whole_levels_and_the_hash_comes_last() {
        for good in ["#", "+", "a/+/b", "a/#", "+/+/#", "a", ""] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in ["#/a", "a#", "+a", "a/b+/c", "##", "a/#/#"] {
            assert!(check_pattern(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn an_id_matches_when_node_name_and_type_do() {
        let filter = |node: &str, patterns: &[(&str, &str)]| DownstreamFilter {
            source_node_id: node.to_owned(),
            data_filters: patterns
                .iter()
                .map(|(name, kind)| DataFilter { name: (*name).to_owned(), kind: (*kind).to_owned() })
                .collect(),
        };
        let filters = [
            filter("a", &[("x", "string"), ("#", "int/#"), ("+", "#")]),
            filter("b", &[("#", "#")]),
            filter("a", &[("x", "#")]),
        ];
        let found = |node: &str, name: &str, kind: &str| -> Vec<_> {
            references(&filters, node, &DataId::new(name, kind))
                .iter()
                .map(|reference| (reference.downstream_filter_index, reference.data_filter_index))
                .collect()
        };
        assert_eq!(found("a", "x", "string"), [(0, 0), (0, 2), (2, 0)]);
        assert_eq!(found("a", "deep/x", "int/32"), [(0, 1)]);
        assert_eq!(found("a", "deep/x", "string"), []);
        assert_eq!(found("b", "deep/x", "string"), [(1, 0)]);
        assert_eq!(found("#", "x", "string"), [], "nodes are compared exactly");
    }

    #[test]
    fn data_ids_carry_no_wildcards() {
        assert!(check_data_id(&DataId::new("a/b", ""), 10).is_ok());
        for (name, kind) in [("", "t"), ("a+", "t"), ("a", "#"), ("aaaaaaaaaaa", "t")] {
            assert!(check_data_id(&DataId::new(name, kind), 10).is_err(), "{name} {kind}");
        }
    }
}
