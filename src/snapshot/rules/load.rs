//! Rules and settings from TOML. Unknown keys are errors, and errors have a place.

use super::super::findings::Confidence;
use super::condition::Condition;
use super::{Body, Kinds, Rule, RuleMistake, Rules, Selection, checks, rows};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: Spanned<String>,
    severity: Spanned<String>,
    advice: String,
    #[serde(default)]
    confidence: Option<Confidence>,
    #[serde(default)]
    thresholds: BTreeMap<String, f64>,
    check: Option<Spanned<String>>,
    #[serde(default)]
    kinds: Vec<Spanned<String>>,
    #[serde(default, rename = "except")]
    without: Vec<Spanned<String>>,
    #[serde(default)]
    states: Vec<String>,
    #[serde(default, rename = "where")]
    conditions: Vec<Spanned<String>>,
    #[serde(default)]
    unused: bool,
    beyond: Option<Spanned<String>>,
    #[serde(default)]
    by: Vec<String>,
    at_least: Option<Spanned<String>>,
    title: Option<String>,
    sentence: Option<String>,
}

/// The rules of a text.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, Vec<RuleMistake>> {
    let file: File = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut mistakes = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    for raw in file.rule {
        let id = raw.id.get_ref().clone();
        if rules.iter().any(|rule| rule.id == id) {
            mistakes.push(RuleMistake::at(text, raw.id.span().start, "a second rule of this id"));
        }
        match rule(raw) {
            Ok(rule) => rules.push(rule),
            Err((at, message)) => mistakes.push(RuleMistake::at(text, at, message)),
        }
    }
    if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
}

/// A mistake with the byte it is at.
type Misplaced = (usize, String);

fn rule(raw: RawRule) -> Result<Rule, Misplaced> {
    let severity =
        raw.severity.get_ref().parse().map_err(|error| (raw.severity.span().start, error))?;
    let kinds = Kinds { with: globs(&raw.kinds)?, without: globs(&raw.without)? };
    let body = match raw.check {
        Some(name) => {
            let check = checks::Check::named(name.get_ref());
            let check = check.ok_or((name.span().start, "there is no such check".to_owned()))?;
            Body::Check(check, kinds)
        }
        None => {
            let mut conditions = Vec::new();
            for condition in &raw.conditions {
                let parsed = Condition::parse(condition.get_ref());
                conditions.push(parsed.map_err(|error| (condition.span().start, error))?);
            }
            let beyond = raw.beyond.map(|name| {
                rows::Beyond::named(name.get_ref())
                    .ok_or((name.span().start, "nothing is counted by this name".to_owned()))
            });
            if let Some(name) = &raw.at_least
                && !raw.thresholds.contains_key(name.get_ref())
            {
                return Err((name.span().start, "there is no such threshold".to_owned()));
            }
            let missing =
                || (raw.id.span().start, "a rule without a check needs a title".to_owned());
            Body::Rows(Box::new(Selection {
                kinds,
                states: raw.states,
                conditions,
                unused: raw.unused,
                beyond: beyond.transpose()?,
                by: raw.by,
                at_least: raw.at_least.map(Spanned::into_inner),
                title: raw.title.ok_or_else(missing)?,
                sentence: raw.sentence.unwrap_or_else(|| "{type} at {address}".to_owned()),
            }))
        }
    };
    Ok(Rule {
        id: raw.id.into_inner(),
        severity,
        confidence: raw.confidence.unwrap_or(Confidence::Read),
        advice: raw.advice,
        thresholds: raw.thresholds,
        off: false,
        body,
    })
}

fn globs(patterns: &[Spanned<String>]) -> Result<GlobSet, Misplaced> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern.get_ref());
        set.add(glob.map_err(|error| (pattern.span().start, error.to_string()))?);
    }
    set.build().map_err(|error| (0, error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    rules: Named<Named<Spanned<toml::Value>>>,
}

/// A table with free keys, each with its place.
type Named<T> = BTreeMap<Spanned<String>, T>;

/// Sets what the tables `[rules.RULE]` set.
pub(super) fn settings(text: &str, rules: &mut Rules) -> Result<(), Vec<RuleMistake>> {
    let settings: Settings = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut mistakes = Vec::new();
    for (id, names) in &settings.rules {
        for (name, value) in names {
            let word = match value.get_ref() {
                toml::Value::String(word) => word.clone(),
                other => other.to_string(),
            };
            if let Err(mistake) = rules.set_one(id.get_ref(), name.get_ref(), &word) {
                let at = match mistake.part {
                    Part::Rule => id.span().start,
                    Part::Name => name.span().start,
                    Part::Value => value.span().start,
                };
                mistakes.push(RuleMistake::at(text, at, mistake.message));
            }
        }
    }
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    mistakes.dedup();
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// What is wrong with one setting.
pub(super) struct Wrong {
    pub(super) part: Part,
    pub(super) message: String,
}

/// The part of a setting that is wrong.
pub(super) enum Part {
    Rule,
    Name,
    Value,
}

fn syntax(text: &str, error: &toml::de::Error) -> RuleMistake {
    let at = error.span().map_or(0, |span| span.start);
    RuleMistake::at(text, at, error.message())
}
