//! Which snapshot files of a long series are kept: all of the last hour, one an hour of the last
//! day, and so on, under a limit of bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One file of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub path: PathBuf,
    /// When it was taken, in seconds since 1970.
    pub taken: i64,
    /// Its length, in bytes.
    pub size: u64,
}

/// For how long how many are kept: each part reaches from the one before it to its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// In seconds.
    age: i64,
    /// One of so many seconds; 0 keeps all.
    spacing: i64,
}

impl Policy {
    /// All of the last hour, one an hour of the last day, one a day of the last 30 days.
    pub const DEFAULT: &'static str = "1h,1d:1h,30d:1d";

    /// The files that are not to be kept. Ages are counted from `newest`, the one that was
    /// written last, which always stays. Others may seem to be later: then the clock was set
    /// back meanwhile, and they are older in truth.
    pub fn superfluous(&self, files: &[Kept], newest: &Path, max_bytes: Option<u64>) -> Vec<Kept> {
        let mut sorted = files.to_vec();
        // Of one second, the later ones have a number behind: 2 to 9, 10 and so on.
        let order = |file: &Kept| (file.taken, file.path.as_os_str().len());
        sorted.sort_by(|a, b| (order(a), &a.path).cmp(&(order(b), &b.path)));
        let place = sorted.iter().position(|file| file.path == newest);
        let Some(place) = place else { return Vec::new() };
        let newest = sorted.remove(place);
        sorted.rotate_left(place);
        let mut seen = BTreeSet::new();
        let (mut kept, mut superfluous) = (Vec::new(), Vec::new());
        for file in sorted {
            let age = newest.taken.saturating_sub(file.taken);
            let part = self.0.iter().position(|part| age <= part.age);
            let keep = part.and_then(|index| Some((index, self.0.get(index)?))).is_some_and(
                |(index, part)| {
                    let slot = file.taken.checked_div_euclid(part.spacing);
                    // The oldest of each slot, which stays the oldest.
                    slot.is_none_or(|slot| seen.insert((index, slot)))
                },
            );
            if keep { kept.push(file) } else { superfluous.push(file) }
        }
        if let Some(most) = max_bytes {
            let mut bytes = kept.iter().fold(newest.size, |sum, file| sum + file.size);
            for file in kept {
                if bytes <= most {
                    break;
                }
                bytes -= file.size;
                superfluous.push(file);
            }
        }
        superfluous
    }
}

/// "1h,1d:1h,30d:1d": ages in rising order, each with the spacing it is thinned to.
impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(vec![Part { age: i64::MAX, spacing: 0 }]));
        }
        let mut parts: Vec<Part> = Vec::new();
        for part in text.split(',') {
            let (age, spacing) = match part.split_once(':') {
                Some((age, spacing)) => (seconds(age)?, seconds(spacing)?),
                None => (seconds(part)?, 0),
            };
            if parts.last().is_some_and(|last| last.age >= age) {
                return Err("ages in rising order, as 1h,1d:1h,30d:1d".to_owned());
            }
            parts.push(Part { age, spacing });
        }
        Ok(Self(parts))
    }
}

/// "30s", "5m", "1h", "2d", "1w".
fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("'{text}' is no time such as 30s, 5m, 1h, 2d, 1w");
    let mut letters = text.chars();
    let unit = match letters.next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return Err(wrong()),
    };
    let number: i64 = letters.as_str().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|&seconds| seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: i64) -> Vec<Kept> {
        (0..count)
            .map(|minute| Kept {
                path: PathBuf::from(format!("{minute:06}")),
                taken: 1_700_000_000 + minute * 60,
                size: 10_000,
            })
            .collect()
    }

    fn left(policy: &str, files: &[Kept], max: Option<u64>) -> Vec<Kept> {
        let newest = &files.last().unwrap().path;
        let gone = policy.parse::<Policy>().unwrap().superfluous(files, newest, max);
        files.iter().filter(|file| !gone.contains(file)).cloned().collect()
    }

    #[test]
    fn a_week_of_minutes_is_thinned() {
        let week = minutes(7 * 1440);
        let kept = left(Policy::DEFAULT, &week, None);
        // 61 of the last hour, 23 or 24 of the day, 6 or 7 of the week.
        assert!((88..=94).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last(), week.last());
        assert_eq!(left("all", &week, None).len(), week.len());
    }

    #[test]
    fn thinning_again_and_again_keeps_as_much_as_once() {
        let all = minutes(4000);
        let mut files: Vec<Kept> = Vec::new();
        for file in &all {
            files.push(file.clone());
            files = left("1h,1d:1h", &files, None);
        }
        let once = left("1h,1d:1h", &all, None);
        // Of the oldest hour, which is just being left behind, at once finds one that is young
        // enough; again and again has none left.
        assert!(once.len() - files.len() <= 1, "{} and {}", once.len(), files.len());
        assert_eq!(files.last(), once.last());
    }

    #[test]
    fn the_limit_of_bytes_costs_the_oldest() {
        let files = minutes(30);
        let kept = left("1d", &files, Some(100_000));
        assert_eq!(kept, files[20..]);
        assert_eq!(left("1d", &files, Some(1)).len(), 1);
    }

    #[test]
    fn a_clock_set_back_costs_nothing_new() {
        // Three hours, then the clock goes back by two of them, and half an hour more.
        let mut files = minutes(180);
        files.extend(minutes(90).split_off(60).into_iter().map(|file| {
            let path = PathBuf::from(format!("{}-2", file.path.display()));
            Kept { path, ..file }
        }));
        let kept = left("1h,1d:1h", &files, None);
        assert!(files[180..].iter().all(|file| kept.contains(file)), "{kept:?}");
        assert!(files[90..180].iter().all(|file| kept.contains(file)), "{kept:?}");
        // Those of before go first when there is too much.
        let few = left("all", &files, Some(300_000));
        assert_eq!(few.len(), 30);
        assert!(files[90..180].iter().all(|file| !few.contains(file)), "{few:?}");
        assert_eq!(few.last(), files.last());
    }

    #[test]
    fn policies_are_checked() {
        for wrong in ["", "1h,30m:1m", "h", "1h:0s", "-1h", "1y", "99999999999999999w"] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }
}
