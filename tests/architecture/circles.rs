//! Circles in a graph of names.

use std::collections::{BTreeMap, BTreeSet};

/// Each name with the names that it uses.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Groups of names of which each one reaches every other, sorted; a name that only uses itself is no circle.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|name| (name.as_str(), reachable(graph, name))).collect();
    let mut found = BTreeSet::new();
    for (name, others) in &reached {
        let group: BTreeSet<&str> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(name)))
            .copied()
            .chain([*name])
            .collect();
        if group.len() > 1 {
            found.insert(group.into_iter().map(str::to_owned).collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}
