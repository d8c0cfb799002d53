//! Figures of `docs/performance.md`: each table names the costs that it leaves out, and each missed goal is explained.

use super::document;

const DOCUMENT: &str = "docs/performance.md";

/// Headings of sections with a column of figures that do not name the costs that they leave out.
fn silent_sections(document: &str) -> Vec<String> {
    let sections = document.split("\n### ").skip(1);
    let own = sections.map(|section| section.split("\n## ").next().unwrap_or(section));
    let is_silent = |section: &&str| section.contains("| figure |") && !section.contains("\nLeaves out ");
    own.filter(is_silent).filter_map(|section| section.lines().next()).map(str::to_owned).collect()
}

/// Returns true if the text begins with this figure, and not with a longer one.
fn begins_with(text: &str, figure: &str) -> bool {
    text.strip_prefix(figure).is_some_and(|rest| {
        let mut next = rest.chars();
        match next.next() {
            Some('.' | ',') => !next.next().is_some_and(|digit| digit.is_ascii_digit()),
            Some(next) => !(next.is_alphanumeric() || next == '/'),
            None => true,
        }
    })
}

/// Returns true if the text has this figure, and not only as a part of a longer one.
fn has_figure(text: &str, figure: &str) -> bool {
    let is_part = |last: char| last.is_alphanumeric() || ".,".contains(last);
    text.match_indices(figure).any(|(at, _)| {
        let (before, rest) = text.split_at(at);
        !before.ends_with(is_part) && begins_with(rest, figure)
    })
}

/// Figures that miss their goal and are not in the section of what falls short, and figures at the beginning of its
/// points that no table has.
fn unexplained(document: &str) -> Vec<String> {
    let (tables, rest) = document.split_once("\n## What falls short").unwrap();
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let rows = || tables.lines().filter(|line| line.starts_with("| "));
    let figure = |row: &str| row.split('|').nth(2).unwrap_or_default().trim().to_owned();
    let figures: Vec<String> = rows().map(figure).filter(|figure| !figure.is_empty()).collect();
    let missed = rows().filter(|row| row.to_lowercase().contains("not met")).map(figure);
    let points = section.lines().filter_map(|line| line.strip_prefix("* **")?.split_once("** ("));
    // The figure is followed by a goal, or by the place of the measurement.
    let named = points.map(|(_, rest)| rest.split([',', ';', ')']).next().unwrap_or_default().to_owned());
    let is_known = |named: &String| figures.iter().any(|figure| begins_with(named, figure));
    missed
        .filter(|figure| !has_figure(section, figure))
        .chain(named.filter(|named| !is_known(named)))
        .collect()
}

#[test]
fn every_table_of_figures_names_the_costs_that_it_leaves_out() {
    assert_eq!(silent_sections(&document(DOCUMENT)), Vec::<String>::new());
}

#[test]
fn every_missed_goal_is_explained_and_every_explained_figure_is_in_a_table() {
    assert_eq!(unexplained(&document(DOCUMENT)), Vec::<String>::new());
}

#[test]
fn a_table_that_does_not_name_what_it_leaves_out_is_found() {
    for (text, silent) in [
        ("\n### A\n\nLeaves out files.\n\n| what | figure |\n", None),
        ("\n### A\n\n| part | time |\n", None),
        ("\n### A\n\n| what | figure |\n\n### B\n\nLeaves out files.\n", Some("A")),
        ("\n### A\n\n| what | figure |\n\n## B\n\nLeaves out files.\n", Some("A")),
    ] {
        assert_eq!(silent_sections(text).first().map(String::as_str), silent, "{text}");
    }
}

#[test]
fn a_missed_goal_without_a_point_and_a_point_without_a_row_are_found() {
    let text =
        |rows: &str, points: &str| format!("{rows}\n\n## What falls short, and why\n\n{points}\n\n## More\n");
    for (rows, points, wrong) in [
        ("| a | 3.0 s |  | met |", "", None),
        ("| a | 3.0 s |  | NOT MET |", "* **A** (3.0 s at p99, goal 2 s).", None),
        ("| a | 3.0 s |  | NOT MET |", "* **B** (4.0 s, goal 2 s).", Some("3.0 s")),
        ("| a | 3.0 s |  | 2 s: **not met** |", "", Some("3.0 s")),
        ("| a | 3.0 s |  | NOT MET |", "* A took 13.0 s, 1,3.0 s or 3.0 s/day.", Some("3.0 s")),
        ("| a | 3.0 s |  | met |", "* **A** (3.0 s/day, goal 2 s).", Some("3.0 s/day")),
        ("| a | 3.0 s |  | NOT MET |", "* **A** (3.0 s, goal 2 s).\n* **B** (9/s; goal 10/s).", Some("9/s")),
    ] {
        let text = text(rows, points);
        assert_eq!(unexplained(&text).first().map(String::as_str), wrong, "{text}");
    }
}
