//! What a suite found: tables for people, JSON for programs, and the ratios for both.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::figures::Row;
use crate::machine::Machine;
use crate::series::Series;

/// A figure that a table shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The figure's name in [`Row::figures`].
    pub(crate) figure: &'static str,
    pub(crate) heading: &'static str,
    pub(crate) decimals: usize,
}

/// Rows that are compared with each other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    #[serde(skip)]
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Row>,
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure by which the project judges itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) goal: Option<Goal>,
}

/// Everything that a suite found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) suite: &'static str,
    pub(crate) runs: usize,
    pub(crate) before: Machine,
    pub(crate) after: Machine,
    pub(crate) tables: Vec<Table>,
    pub(crate) ratios: Vec<Ratio>,
}

impl Ratio {
    /// A ratio for which every contestant that it needs was there, or nothing.
    pub(crate) fn new(name: &'static str, value: Option<f64>, goal: Option<Goal>) -> Option<Self> {
        value.map(|value| Self { name, value, goal })
    }

    fn verdict(&self) -> Option<String> {
        let verdict = |met: bool| if met { "met" } else { "missed" };
        Some(match self.goal? {
            Goal::AtLeast(least) => format!("at least {least}: {}", verdict(self.value >= least)),
            Goal::AtMost(most) => format!("at most {most}: {}", verdict(self.value <= most)),
        })
    }
}

impl Report {
    /// The tables, and after them one line `ratio NAME VALUE` for each ratio.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("suite {}, {} runs of each contestant, interleaved\n", self.suite, self.runs);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "before: {}\nafter:  {}", self.before, self.after);
        for table in &self.tables {
            let _ = write!(text, "\n{}\n{}", table.title, table.text());
        }
        text.push('\n');
        for ratio in &self.ratios {
            if let Some(verdict) = ratio.verdict() {
                let _ = writeln!(text, "goal {} {verdict}", ratio.name);
            }
        }
        for ratio in &self.ratios {
            let _ = writeln!(text, "ratio {} {:.3}", ratio.name, ratio.value);
        }
        text
    }

    /// Writes everything, each value of each run included.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Table {
    /// The median of `figure` of the contestant called `name`, if it was there.
    pub(crate) fn median(&self, name: &str, figure: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.median(figure)
    }

    /// Each cell has the median, and the least and the greatest value below it.
    fn text(&self) -> String {
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(self.columns.iter().map(|column| column.heading.to_owned()));
        for row in &self.rows {
            let mut line = vec![row.name.to_owned()];
            if let Some(reason) = &row.absent {
                line.push(reason.clone());
                lines.push(line);
                continue;
            }
            line.extend(self.columns.iter().map(|column| {
                row.figures
                    .get(column.figure)
                    .map_or_else(|| "–".to_owned(), |series| cell(series, column.decimals))
            }));
            lines.push(line);
        }
        let widths: Vec<usize> = (0..=self.columns.len())
            .map(|at| {
                lines
                    .iter()
                    .filter_map(|line| line.get(at))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(
                    |(at, (cell, width))| {
                        if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                    },
                )
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cell(series: &Series, decimals: usize) -> String {
    match (series.median(), series.least(), series.greatest()) {
        (Some(median), Some(least), Some(greatest)) => {
            format!("{median:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
        }
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn report() -> Report {
        let row = Row {
            name: "ours",
            absent: None,
            figures: BTreeMap::from([("gb_per_s", Series::from_iter([1.0, 3.0, 2.0]))]),
        };
        let absent =
            Row { name: "theirs", absent: Some("not installed".to_owned()), figures: BTreeMap::new() };
        let columns = &[Column { figure: "gb_per_s", heading: "GB/s", decimals: 1 }];
        Report {
            suite: "test",
            runs: 3,
            before: Machine::now(),
            after: Machine::now(),
            tables: vec![Table { title: "speed".to_owned(), columns, rows: vec![row, absent] }],
            ratios: [
                Ratio::new("test.fast", Some(0.75), Some(Goal::AtLeast(0.7))),
                Ratio::new("test.slow", Some(6.0), Some(Goal::AtMost(5.0))),
                Ratio::new("test.unmeasured", None, Some(Goal::AtMost(5.0))),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }

    #[test]
    fn the_text_ends_with_the_ratios_and_says_which_goals_are_met() {
        let text = report().text();
        assert!(text.contains("ours    2.0 (1.0–3.0)\ntheirs  not installed\n"), "{text}");
        assert!(text.ends_with(
            "goal test.fast at least 0.7: met\ngoal test.slow at most 5: missed\n\
             ratio test.fast 0.750\nratio test.slow 6.000\n"
        ));
    }

    #[test]
    fn the_json_has_every_value() {
        let file = tempfile::NamedTempFile::new().unwrap();
        report().write_json(file.path()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        assert_eq!(json["tables"][0]["rows"][0]["figures"]["gb_per_s"], serde_json::json!([1.0, 3.0, 2.0]));
        assert_eq!(json["ratios"][0]["value"], 0.75);
    }
}
