//! Rules that judge one capture: data in TOML, with thresholds the user may set.
//!
//! A rule either says in its conditions which resources it is about ([`rows`]), or names a check in
//! code for what conditions cannot say ([`checks`]). Both work on a [`Whole`], so they judge a
//! process and a file alike. What lacks data is "not judged", with the reason.
//!
//! Severity `warning` and above is for what must not be seen in a healthy service.

mod checks;
mod condition;
mod error;
#[cfg(test)]
mod judged;
mod load;
mod places;
mod rows;
mod template;

pub use error::{RuleError, RuleMistake};

use super::findings::{Confidence, Diagnosis, Finding, Holder, NotJudged, Severity};
use super::holders::Held;
use super::whole::Whole;
use condition::Condition;
use globset::GlobSet;
use load::{Part, Wrong};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The built-in rules.
const BUILTIN: &str = include_str!("rules.toml");

/// Holders named by a finding.
const HOLDERS: usize = 5;

/// All rules, with their thresholds as they are set.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique: "pool-exhausted".
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// Read, or inferred.
    pub confidence: Confidence,
    /// What to do about it.
    pub advice: String,
    /// Numbers that the user may set.
    pub thresholds: BTreeMap<String, f64>,
    /// Switched off by the user.
    pub off: bool,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    /// Which resources it is about.
    Rows(Box<Selection>),
    /// A check in code, and the kinds it looks at.
    Check(checks::Check, Kinds),
}

/// Kinds of resources, by patterns.
#[derive(Debug, Clone, Default)]
struct Kinds {
    with: GlobSet,
    without: GlobSet,
}

impl Kinds {
    fn include(&self, kind: &str) -> bool {
        self.with.is_match(kind) && !self.without.is_match(kind)
    }
}

/// The declarative part of a rule.
#[derive(Debug, Clone)]
struct Selection {
    kinds: Kinds,
    states: Vec<String>,
    conditions: Vec<Condition>,
    /// Only what no running code has at hand.
    unused: bool,
    /// How many more there must be than this.
    beyond: Option<rows::Beyond>,
    by: Vec<String>,
    at_least: Option<String>,
    title: String,
    sentence: String,
}

impl Rule {
    /// A threshold; one that a rule does not have is 0.
    fn threshold(&self, name: &str) -> f64 {
        self.thresholds.get(name).copied().unwrap_or(0.0)
    }

    fn finding(&self, title: String) -> Finding {
        Finding {
            rule: self.id.clone(),
            severity: self.severity,
            title,
            evidence: Default::default(),
            objects: Default::default(),
            holders: None,
            advice: self.advice.clone(),
            confidence: self.confidence,
        }
    }

    fn not_judged(&self, reason: impl Into<String>) -> NotJudged {
        NotJudged { rule: self.id.clone(), reason: reason.into() }
    }
}

/// What a rule makes of a process.
#[derive(Debug, Default)]
struct Outcome {
    findings: Vec<Finding>,
    not_judged: Vec<NotJudged>,
}

/// Who holds these objects, most first; `None` when that is not known of any.
fn holders(held: &Held, objects: &[String]) -> Option<Vec<Holder>> {
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    for group in objects.iter().filter_map(|object| held.of.get(object)) {
        *counts.entry(*group).or_default() += 1;
    }
    let mut holders: Vec<Holder> = counts
        .into_iter()
        .filter_map(|(group, count)| {
            let group = held.groups.get(group)?;
            Some(Holder { count, path: group.path.clone(), inferred: group.inferred })
        })
        .collect();
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.count));
    holders.truncate(HOLDERS);
    Some(holders).filter(|holders| !holders.is_empty())
}

impl Rules {
    /// The built-in rules. A test makes sure that they can be read.
    pub fn builtin() -> Self {
        static RULES: LazyLock<Rules> =
            LazyLock::new(|| Rules { rules: load::rules(BUILTIN).unwrap_or_default() });
        RULES.clone()
    }

    /// The rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Sets a threshold or the severity, from the text `RULE.NAME=VALUE`; the severity "off"
    /// switches a rule off. The error says what is wrong.
    pub fn set(&mut self, setting: &str) -> Result<(), String> {
        let parts = setting.split_once('=').and_then(|(name, value)| {
            let (id, name) = name.trim().split_once('.')?;
            Some((id, name, value.trim()))
        });
        let Some((id, name, value)) = parts else {
            return Err(format!("'{setting}' is not RULE.NAME=VALUE"));
        };
        self.set_one(id, name, value).map_err(|wrong| wrong.message)
    }

    /// Sets what the tables `[rules.RULE]` of a TOML text set.
    pub fn set_all(&mut self, text: &str) -> Result<(), Vec<RuleMistake>> {
        load::settings(text, self)
    }

    fn set_one(&mut self, id: &str, name: &str, value: &str) -> Result<(), Wrong> {
        let wrong = |part, message| Err(Wrong { part, message });
        let known: Vec<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        let known = known.join(", ");
        let Some(rule) = self.rules.iter_mut().find(|rule| rule.id == id) else {
            return wrong(Part::Rule, format!("there is no rule '{id}'; the rules are {known}"));
        };
        if name == "severity" {
            rule.off = value == "off";
            match value.parse() {
                Ok(severity) => rule.severity = severity,
                Err(_) if rule.off => {}
                Err(_) => {
                    let message = format!("'{value}' is none of info, warning, critical, off");
                    return wrong(Part::Value, message);
                }
            }
            return Ok(());
        }
        let mut names: Vec<&str> = rule.thresholds.keys().map(String::as_str).collect();
        names.push("severity");
        let names = names.join(", ");
        let Some(threshold) = rule.thresholds.get_mut(name) else {
            let message = format!("the rule '{id}' has no '{name}'; it has {names}");
            return wrong(Part::Name, message);
        };
        match value.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => *threshold = number,
            _ => return wrong(Part::Value, format!("'{value}' is not a number from 0 on")),
        }
        Ok(())
    }

    /// Judges a process by all rules; the gravest findings come first.
    pub fn judge(&self, whole: &Whole) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        for rule in self.rules.iter().filter(|rule| !rule.off) {
            let outcome = match &rule.body {
                Body::Rows(selection) => rows::judge(rule, selection, whole),
                Body::Check(check, kinds) => check.judge(rule, kinds, whole),
            };
            diagnosis.findings.extend(outcome.findings);
            diagnosis.not_judged.extend(outcome.not_judged);
        }
        for finding in &mut diagnosis.findings {
            if finding.holders.is_none()
                && let Some(held) = &whole.held
            {
                finding.holders = holders(held, &finding.objects.addresses);
            }
        }
        diagnosis.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        diagnosis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_load() {
        let rules = load::rules(BUILTIN).unwrap();
        assert!(rules.len() >= 20);
        let reference = include_str!("../../../docs/reference/findings.md");
        for rule in rules {
            assert!(reference.contains(&format!("`{}`", rule.id)), "{} is undocumented", rule.id);
            for name in rule.thresholds.keys() {
                assert!(reference.contains(&format!("`{name}`")), "{}.{name}", rule.id);
            }
        }
    }

    #[test]
    fn settings() {
        let mut rules = Rules::builtin();
        rules.set("tasks-piling-up.least=10").unwrap();
        rules.set("zombies.severity=off").unwrap();
        rules.set("close-wait.severity=critical").unwrap();
        let rule = |id: &str| rules.iter().find(|rule| rule.id == id).unwrap();
        assert_eq!(rule("tasks-piling-up").threshold("least"), 10.0);
        assert!(rule("zombies").off);
        assert_eq!(rule("close-wait").severity, Severity::Critical);
        let mut rules = Rules::builtin();
        for (wrong, part) in [
            ("tasks", "is not RULE.NAME=VALUE"),
            ("nonsense.least=1", "there is no rule 'nonsense'"),
            ("zombies.most=1", "has no 'most'; it has grave, least, severity"),
            ("zombies.least=many", "'many' is not a number"),
            ("zombies.least=-1", "from 0 on"),
            ("zombies.severity=bad", "none of info, warning, critical, off"),
        ] {
            let error = rules.set(wrong).unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_file_of_settings_and_its_mistakes() {
        let mut rules = Rules::builtin();
        rules.set_all("[rules.zombies]\nleast = 7\nseverity = \"info\"\n").unwrap();
        let zombies = rules.iter().find(|rule| rule.id == "zombies").unwrap();
        assert_eq!((zombies.threshold("least"), zombies.severity), (7.0, Severity::Info));
        let places = |text: &str| -> Vec<(usize, usize)> {
            let mistakes = Rules::builtin().set_all(text).unwrap_err();
            mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect()
        };
        assert_eq!(places("[rules.zombies]\nmost = 1\nleast = \"x\"\n"), [(2, 1), (3, 9)]);
        assert_eq!(places("\n[rules.nobody]\nleast = 1\n"), [(2, 8)]);
        assert_eq!(places("[rulez]\n"), [(1, 2)]);
        assert_eq!(places("[rules\n").len(), 1);
    }
}
