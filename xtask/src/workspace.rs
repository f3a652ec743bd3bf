//! The workspace as cargo sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context as _, Result};

use crate::{command::Run, json::Json};

/// The workspace.
pub(crate) struct Workspace {
    /// Its folder.
    pub(crate) root: PathBuf,
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
        let metadata = Json::parse(&metadata).context("cargo metadata")?;
        let root = metadata.get("workspace_root").and_then(Json::text).context("no workspace root")?;
        let packages = metadata.get("packages").context("no packages")?.items().iter().map(package);
        Ok(Self {
            root: root.into(),
            offline,
            packages: packages.collect::<Option<_>>().context("a package")?,
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

fn package(json: &Json) -> Option<Package> {
    let features = json.get("features")?.members()?.iter().map(|(name, turns_on)| {
        (name.clone(), turns_on.items().iter().filter_map(Json::text).map(str::to_owned).collect())
    });
    Some(Package {
        name: json.get("name")?.text()?.to_owned(),
        // Absent or null: anywhere. An empty list: nowhere.
        published: !matches!(json.get("publish"), Some(Json::Array(registries)) if registries.is_empty()),
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
