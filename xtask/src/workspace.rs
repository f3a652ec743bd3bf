//! The workspace as cargo sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context as _, Result};

use serde_json::Value;

use crate::command::Run;

/// The workspace.
pub(crate) struct Workspace {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// Use no network and install nothing.
    pub(crate) offline: bool,
    packages: Vec<Package>,
}

/// One of its packages.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Whether it goes to the registry.
    pub(crate) published: bool,
    /// Its features and what each turns on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read(offline: bool) -> Result<Self> {
        let metadata = Run::cargo().args("metadata --no-deps --format-version 1").output()?;
        let metadata = serde_json::from_str::<Value>(&metadata).context("cargo metadata")?;
        let folder = |name: &str| metadata.get(name).and_then(Value::as_str).map(PathBuf::from);
        let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
        Ok(Self {
            root: folder("workspace_root").context("no workspace root")?,
            target: folder("target_directory").context("no target folder")?,
            offline,
            packages: packages.iter().map(package).collect::<Option<_>>().context("a package")?,
        })
    }

    /// Cargo, in the workspace's folder.
    pub(crate) fn cargo(&self, args: &str) -> Run {
        let run = Run::cargo().dir(&self.root).args(args);
        if self.offline { run.env("CARGO_NET_OFFLINE", "true") } else { run }
    }

    /// The package of that name.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("there is no package {name}"))
    }

    /// The packages that go to the registry.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }
}

fn package(json: &Value) -> Option<Package> {
    let features = json.get("features")?.as_object()?.iter().map(|(name, turns_on)| {
        let turns_on = turns_on.as_array().into_iter().flatten();
        (name.clone(), turns_on.filter_map(Value::as_str).map(str::to_owned).collect())
    });
    Some(Package {
        name: json.get("name")?.as_str()?.to_owned(),
        // Absent or null: anywhere. An empty list: nowhere.
        published: !matches!(json.get("publish"), Some(Value::Array(registries)) if registries.is_empty()),
        features: features.collect(),
    })
}

impl Package {
    /// No feature, each, each two, and all; of those that turn on the same ones, the first.
    pub(crate) fn feature_sets(&self) -> Vec<Vec<&str>> {
        let names: Vec<&str> =
            self.features.keys().map(String::as_str).filter(|name| *name != "default").collect();
        let mut sets: Vec<Vec<&str>> = vec![Vec::new()];
        sets.extend(names.iter().map(|name| vec![*name]));
        for (at, first) in names.iter().enumerate() {
            sets.extend(names.iter().skip(at + 1).map(|second| vec![*first, *second]));
        }
        sets.push(names);
        let mut seen = BTreeSet::new();
        sets.retain(|set| seen.insert(self.closure(set)));
        sets
    }

    /// A set of features with all of this package's that they turn on.
    fn closure<'a>(&'a self, set: &[&'a str]) -> BTreeSet<&'a str> {
        let mut closure = BTreeSet::new();
        let mut open = set.to_vec();
        while let Some(name) = open.pop() {
            if closure.insert(name) {
                let turns_on = self.features.get(name).into_iter().flatten();
                open.extend(turns_on.map(String::as_str).filter(|name| self.features.contains_key(*name)));
            }
        }
        closure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_sets_go_two_deep_and_name_no_set_twice() {
        let feature = |name: &str, turns_on: &[&str]| {
            (name.to_owned(), turns_on.iter().map(|&on| on.to_owned()).collect::<Vec<_>>())
        };
        let features = [
            feature("default", &["a"]),
            feature("a", &["dep:x"]),
            feature("b", &["a"]),
            feature("c", &[]),
            feature("d", &[]),
        ];
        let package =
            Package { name: String::new(), published: true, features: features.into_iter().collect() };
        let sets: Vec<String> = package.feature_sets().iter().map(|set| set.join(",")).collect();
        // `a,b` is `b`.
        assert_eq!(sets, ["", "a", "b", "c", "d", "a,c", "a,d", "b,c", "b,d", "c,d", "a,b,c,d"]);
    }
}
