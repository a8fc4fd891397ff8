//! The ways objects are held, over several captures: which paths hold more, and which are new.
//!
//! A path is the same when its steps read the same and its owner has the same name; addresses
//! are never compared. What is a number by chance (that of a thread) is left out of the
//! comparison, and keys of a dict that became a registry meanwhile count as one. Knows no files.

use super::holders::{Held, HolderGroup, Owner, Subject, line};
use super::trend::Family;
use serde::Serialize;
use std::collections::BTreeMap;

/// Steps of a path that are shown.
const DEPTH: usize = 12;

/// What became of one way of holding objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathRow {
    /// What is held: a kind of resources, or instances of a type.
    pub family: Family,
    /// The kind, or the type.
    pub name: String,
    /// From the root to the objects.
    pub path: String,
    /// The class or function that owns the container.
    pub owner: Option<Owner>,
    /// The container where the path fans out.
    pub container: Option<ContainerRow>,
    /// What became of it.
    pub change: PathChange,
    /// Objects it holds at the first capture; `null` where only larger groups were kept.
    pub first: Option<u64>,
    /// At the last.
    pub last: Option<u64>,
    /// The second less the first.
    pub grown: Option<i64>,
    /// Where the first is not known: the least it can have grown by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grown_at_least: Option<u64>,
    /// The capture that has it first, counted from 1, where that is not the first one.
    pub since: Option<u64>,
    /// Nothing else holds them, at the last capture.
    pub only_holder: bool,
    /// At each capture.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Option<u64>>,
}

/// What became of a path, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PathChange {
    /// It holds more.
    Grew,
    /// It held nothing at the first capture.
    New,
    /// It holds as many.
    Same,
    /// It holds less.
    Shrank,
    /// It holds nothing any more.
    Gone,
    /// It was left out of one of the captures, as one of many small ones.
    Unknown,
}

impl PathChange {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Grew => "same path",
            Self::New => "new path",
            Self::Same => "unchanged",
            Self::Shrank => "holds less",
            Self::Gone => "gone",
            Self::Unknown => "not known before",
        }
    }
}

/// A container over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerRow {
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
    /// The path to it.
    pub path: String,
    /// Its `len()` at the first capture that has the path; all of them, where there are several.
    pub first: Option<u64>,
    /// At the last.
    pub last: Option<u64>,
}

/// A step as it is compared: its kind, and its text without numbers of threads and addresses.
type Step = (String, String);

/// What makes a path the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    steps: Vec<Step>,
    owner: Option<(String, String)>,
}

impl Identity {
    fn of(group: &HolderGroup) -> Self {
        let step = |step: &super::holders::PathStep| {
            let threads = matches!(step.kind.as_str(), "thread" | "interpreter");
            (step.kind.clone(), plain(&step.text, threads))
        };
        Self {
            steps: group.steps.iter().map(step).collect(),
            owner: group.owner.as_ref().map(|owner| (owner.kind.clone(), owner.name.clone())),
        }
    }

    /// The same with any key of a dict for each of its keys.
    fn generic(&self) -> Self {
        let step = |(kind, text): &Step| match kind.as_str() {
            "key" => ("item".to_owned(), any_key(text)),
            _ => (kind.clone(), text.clone()),
        };
        Self { steps: self.steps.iter().map(step).collect(), owner: self.owner.clone() }
    }

    fn path(&self) -> String {
        let texts: Vec<String> = self.steps.iter().map(|(_, text)| text.clone()).collect();
        line(&texts, DEPTH)
    }
}

/// `['name'] (function f)` as `[key] (function f)`.
pub(super) fn any_key(text: &str) -> String {
    let behind = text.rfind("']").map_or("", |at| text.get(at + 2..).unwrap_or_default());
    format!("[key]{behind}")
}

/// A text without addresses, and without numbers where these only count.
pub(super) fn plain(text: &str, numbers: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let is_address = word.len() > 6
            && word.strip_prefix("0x").is_some_and(|it| it.chars().all(|c| c.is_ascii_hexdigit()));
        let used = match () {
            () if is_address => {
                shown.push_str("0x…");
                word.len()
            }
            () if numbers && letter.is_ascii_digit() => {
                shown.push('N');
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()
            }
            () if !numbers && !word.is_empty() => {
                shown.push_str(word);
                word.len()
            }
            () => {
                shown.push(letter);
                letter.len_utf8()
            }
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    shown
}

/// One path in all captures.
#[derive(Debug, Clone)]
struct Entry {
    /// As it was at the last capture that has it.
    group: HolderGroup,
    values: Vec<Option<u64>>,
    lengths: Vec<Option<u64>>,
}

/// What is known of a kind or type in one capture.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    listed: bool,
    /// Nothing was left out.
    complete: bool,
    largest_left_out: u64,
}

/// Gathers the paths of some kinds and types, capture by capture.
#[derive(Debug)]
pub(super) struct Paths {
    captures: usize,
    found: BTreeMap<(Family, String), Found>,
}

/// What is known of a kind or type.
#[derive(Debug)]
struct Found {
    /// All objects at each capture.
    totals: Vec<Option<u64>>,
    known: Vec<Known>,
    entries: BTreeMap<Identity, Entry>,
}

impl Paths {
    /// For so many captures; of each kind and type, with how many there are at each.
    pub(super) fn new(
        wanted: BTreeMap<(Family, String), Vec<Option<u64>>>,
        captures: usize,
    ) -> Self {
        let known = || vec![Known::default(); captures];
        let found = wanted
            .into_iter()
            .map(|(key, totals)| (key, Found { totals, known: known(), entries: BTreeMap::new() }));
        Self { captures, found: found.collect() }
    }

    /// Adds a capture.
    pub(super) fn add(&mut self, index: usize, held: &Held) {
        if held.subjects.is_empty() {
            return;
        }
        // A kind that is not listed has no resources; a type may only be one of the smaller.
        for ((family, _), Found { totals, known, .. }) in &mut self.found {
            let Some(known) = known.get_mut(index) else { continue };
            let total = match family {
                Family::Type => totals.get(index).copied().flatten().unwrap_or(u64::MAX),
                _ => 0,
            };
            *known = Known { listed: true, complete: total == 0, largest_left_out: total };
        }
        for (subject, groups) in held.by_subject() {
            let key = (family(subject), subject.name.clone());
            let Some(Found { known, entries, .. }) = self.found.get_mut(&key) else { continue };
            if let Some(known) = known.get_mut(index) {
                *known = Known {
                    listed: true,
                    complete: subject.objects_not_shown == 0,
                    largest_left_out: subject.largest_not_shown,
                };
            }
            for group in groups {
                let entry = entries.entry(Identity::of(group)).or_insert_with(|| Entry {
                    group: HolderGroup::default(),
                    values: vec![None; self.captures],
                    lengths: vec![None; self.captures],
                });
                entry.group.clone_from(group);
                if let Some(value) = entry.values.get_mut(index) {
                    *value.get_or_insert(0) += group.count;
                }
                let length = group.accumulation.as_ref().and_then(|it| it.length);
                if let (Some(slot), Some(length)) = (entry.lengths.get_mut(index), length) {
                    *slot.get_or_insert(0) += length;
                }
            }
        }
    }

    /// The paths of each kind and type that hold another number of objects now, the most growth
    /// first.
    pub(super) fn finish(self) -> BTreeMap<(Family, String), Vec<PathRow>> {
        let rows = |((family, name), Found { known, entries, .. }): ((Family, String), Found)| {
            let mut rows: Vec<PathRow> = joined(entries)
                .into_iter()
                .filter_map(|(identity, entry)| row(family, &name, &known, &identity, entry))
                .collect();
            rows.sort_by_key(|row| {
                let least = row.grown_at_least.and_then(|least| i64::try_from(least).ok());
                let grown = row.grown.or(least).unwrap_or(0);
                (std::cmp::Reverse(grown), std::cmp::Reverse(row.last), row.path.clone())
            });
            ((family, name), rows)
        };
        self.found.into_iter().map(rows).collect()
    }
}

fn family(subject: &Subject) -> Family {
    if subject.family == "type" { Family::Type } else { Family::Resource }
}

/// Where a dict was a registry in one capture and had few keys in another, all of its keys count
/// as one.
fn joined(entries: BTreeMap<Identity, Entry>) -> BTreeMap<Identity, Entry> {
    let mut classes: BTreeMap<Identity, Vec<(Identity, Entry)>> = BTreeMap::new();
    for (identity, entry) in entries {
        classes.entry(identity.generic()).or_default().push((identity, entry));
    }
    let mut joined = BTreeMap::new();
    for (generic, members) in classes {
        let keys = |identity: &Identity| {
            identity.steps.iter().map(|(kind, _)| kind == "key").collect::<Vec<bool>>()
        };
        let alike =
            members.windows(2).all(|pair| matches!(pair, [a, b] if keys(&a.0) == keys(&b.0)));
        if alike {
            joined.extend(members);
            continue;
        }
        let together = members.into_iter().map(|(_, entry)| entry).reduce(|mut all, one| {
            add(&mut all.values, &one.values);
            add(&mut all.lengths, &one.lengths);
            if one.values.last().is_some_and(Option::is_some) {
                all.group = one.group;
            }
            all
        });
        joined.extend(together.map(|entry| (generic, entry)));
    }
    joined
}

fn add(sums: &mut [Option<u64>], values: &[Option<u64>]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        if let Some(value) = value {
            *sum.get_or_insert(0) += value;
        }
    }
}

fn row(
    family: Family,
    name: &str,
    known: &[Known],
    identity: &Identity,
    entry: Entry,
) -> Option<PathRow> {
    let mut values = entry.values;
    for (value, known) in values.iter_mut().zip(known) {
        if known.complete {
            value.get_or_insert(0);
        }
    }
    let listed = |index: &usize| known.get(*index).is_some_and(|known| known.listed);
    let mut listed = (0..values.len()).filter(listed);
    let begin = listed.next()?;
    let end = listed.next_back()?;
    let at = |index: usize| values.get(index).copied().flatten();
    let (first, last) = (at(begin), at(end));
    // Of what was left out, the most there can have been.
    let most = known.get(begin).map_or(0, |known| known.largest_left_out);
    let change = match (first, last) {
        (Some(0), Some(0)) => return None,
        (Some(0), Some(_)) => PathChange::New,
        (Some(_), Some(0)) => PathChange::Gone,
        (Some(first), Some(last)) if last > first => PathChange::Grew,
        (Some(first), Some(last)) if last < first => PathChange::Shrank,
        (Some(_), Some(_)) => PathChange::Same,
        (None, Some(last)) if last > most => PathChange::Grew,
        _ => PathChange::Unknown,
    };
    let holds = |value: &Option<u64>| value.is_some_and(|count| count > 0);
    let since = match change {
        PathChange::New => values.iter().position(holds).map(|index| index as u64 + 1),
        _ => None,
    };
    let lengths = || entry.lengths.iter().copied().flatten();
    let container = entry.group.accumulation.as_ref().map(|it| ContainerRow {
        class: it.class.clone(),
        path: plain(&it.path, it.path.starts_with("thread ")),
        first: lengths().next(),
        last: lengths().next_back(),
    });
    Some(PathRow {
        family,
        name: name.to_owned(),
        path: identity.path(),
        owner: entry.group.owner,
        container,
        change,
        first,
        last,
        grown: first.zip(last).and_then(|(first, last)| {
            i64::try_from(last).ok()?.checked_sub(i64::try_from(first).ok()?)
        }),
        grown_at_least: match (change, first, last) {
            (PathChange::Grew, None, Some(last)) => Some(last - most),
            _ => None,
        },
        since,
        only_holder: entry.group.only_holder,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::holders::{Accumulation, PathStep};

    fn group(count: u64, steps: &[(&str, &str)], length: u64) -> HolderGroup {
        let step = |&(kind, text): &(&str, &str)| PathStep {
            kind: kind.to_owned(),
            text: text.to_owned(),
            class: String::new(),
        };
        let steps: Vec<PathStep> = steps.iter().map(step).collect();
        let texts: Vec<String> = steps.iter().map(|step| step.text.clone()).collect();
        HolderGroup {
            count,
            path: line(&texts, DEPTH),
            steps,
            accumulation: Some(Accumulation { length: Some(length), ..Accumulation::default() }),
            ..HolderGroup::default()
        }
    }

    fn held(groups: Vec<HolderGroup>) -> Held {
        let total = groups.iter().map(|group| group.count).sum();
        let subject = Subject {
            family: "resource".to_owned(),
            name: "socket".to_owned(),
            groups: groups.len() as u64,
            total,
            ..Subject::default()
        };
        Held { groups, subjects: vec![subject], ..Held::default() }
    }

    fn rows(captures: &[Held]) -> Vec<PathRow> {
        let wanted = BTreeMap::from([((Family::Resource, "socket".to_owned()), Vec::new())]);
        let mut paths = Paths::new(wanted, captures.len());
        captures.iter().enumerate().for_each(|(index, held)| paths.add(index, held));
        paths.finish().into_values().flatten().collect()
    }

    const LIVE: [(&str, &str); 3] =
        [("module", "module shop"), ("global", "LIVE"), ("item", "[item]")];

    #[test]
    fn a_path_grows_and_another_is_new() {
        let odd = [("module", "module shop"), ("global", "ODD")];
        let found = rows(&[
            held(vec![group(10, &LIVE, 10)]),
            held(vec![group(20, &LIVE, 20)]),
            held(vec![group(198, &LIVE, 200), group(3, &odd, 3)]),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].change, found[0].grown), (PathChange::Grew, Some(188)));
        let container = found[0].container.as_ref().unwrap();
        assert_eq!((container.first, container.last), (Some(10), Some(200)));
        assert_eq!((found[1].change, found[1].since), (PathChange::New, Some(3)));
        assert_eq!(found[1].values, [Some(0), Some(0), Some(3)]);
    }

    #[test]
    fn numbers_of_threads_make_no_new_path() {
        let thread = |name: &'static str| [("thread", name), ("local", "local one")];
        let found = rows(&[
            held(vec![group(1, &thread("thread Thread-7 (run)"), 1)]),
            held(vec![
                group(1, &thread("thread Thread-12 (run)"), 1),
                group(1, &thread("thread Thread-13 (run)"), 1),
            ]),
        ]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].change, found[0].grown), (PathChange::Grew, Some(1)));
        assert_eq!(found[0].path, "thread Thread-N (run) › local one");
    }

    #[test]
    fn keys_of_a_dict_that_became_a_registry_are_no_new_path() {
        let key = |key: &'static str| [("module", "module shop"), ("global", "D"), ("key", key)];
        let registry = [("module", "module shop"), ("global", "D"), ("item", "[key]")];
        let found = rows(&[
            held(vec![group(1, &key("['a']"), 2), group(1, &key("['b']"), 2)]),
            held(vec![group(9, &registry, 9)]),
        ]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            (found[0].change, found[0].first, found[0].last),
            (PathChange::Grew, Some(2), Some(9))
        );
        // As long as there are few, each is its own.
        let two = || held(vec![group(1, &key("['a']"), 2), group(1, &key("['b']"), 2)]);
        let few = rows(&[two(), two()]);
        assert_eq!(few.len(), 2);
    }

    #[test]
    fn what_was_left_out_is_not_none() {
        let mut before = held(vec![group(50, &LIVE, 50)]);
        before.subjects[0].objects_not_shown = 40;
        before.subjects[0].largest_not_shown = 4;
        let small = [("module", "module shop"), ("global", "SMALL")];
        let after = |count| held(vec![group(50, &LIVE, 50), group(count, &small, 3)]);
        let change = |count| {
            let found = rows(&[before.clone(), after(count)]);
            found.iter().find(|row| row.path.contains("SMALL")).unwrap().change
        };
        assert_eq!(change(3), PathChange::Unknown);
        assert_eq!(change(5), PathChange::Grew);
    }

    #[test]
    fn addresses_are_not_compared() {
        assert_eq!(plain("thread 0x7f12ab34cd", true), "thread 0x…");
        assert_eq!(plain("local x2 (coroutine a.b)", false), "local x2 (coroutine a.b)");
        assert_eq!(any_key("['a'] (function f)"), "[key] (function f)");
    }
}
