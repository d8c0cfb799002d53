//! Resolution of paths: to a module of the workspace, or to an item of a foreign crate.

use super::modules::{Mention, Modules};

/// More re-exports in a row than any name has; a circle of them ends here.
const HOPS_MAX: usize = 32;

/// Target of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A module of the workspace, and what stands behind it in the path: an item, or nothing for the module itself.
    Ours { module: Vec<String>, rest: Vec<String> },
    /// The path from a foreign crate on. `core` and `alloc` are printed as `std`.
    Foreign(Vec<String>),
}

/// The targets of a path: the item itself, and each other module that passes it on.
///
/// Empty for names of the module itself, local variables, and `Self`.
pub(crate) fn resolve(modules: &Modules, here: &[String], mention: &Mention) -> Vec<Target> {
    let mut passed_on = Trail::new();
    let resolver = Resolver { modules };
    let target =
        resolver.resolve(here, &mention.segments, mention.is_global, HOPS_MAX, &mut passed_on).or_else(
            || mention.is_import.then(|| resolver.path_in_crate(&mention.segments, HOPS_MAX, &mut passed_on)),
        );
    passed_on.retain(|module| module != here);
    let others = passed_on.into_iter().map(|module| Target::Ours { module, rest: Vec::new() });
    if target.is_some() { target.into_iter().chain(others).collect() } else { Vec::new() }
}

/// Modules whose imports were followed.
type Trail = Vec<Vec<String>>;

#[derive(Clone, Copy)]
struct Resolver<'a> {
    modules: &'a Modules,
}

impl Resolver<'_> {
    fn resolve(
        self,
        here: &[String],
        segments: &[String],
        is_global: bool,
        hops: usize,
        trail: &mut Trail,
    ) -> Option<Target> {
        let hops = hops.checked_sub(1)?;
        let (first, rest) = segments.split_first()?;
        if is_global {
            return Some(self.path_in_crate(segments, hops, trail));
        }
        match first.as_str() {
            "Self" => None,
            "crate" => Some(self.walk(here.get(..1)?, rest, hops, trail)),
            "self" => Some(self.walk(here, rest, hops, trail)),
            "super" => {
                let supers = segments.iter().take_while(|segment| *segment == "super").count();
                let above = here.get(..here.len().checked_sub(supers)?).filter(|above| !above.is_empty())?;
                Some(self.walk(above, segments.get(supers..)?, hops, trail))
            }
            _ => self
                .lookup(here, first, rest, hops, trail)
                .or_else(|| (segments.len() > 1).then(|| self.path_in_crate(segments, hops, trail))),
        }
    }

    /// A path whose first segment is a crate.
    fn path_in_crate(self, segments: &[String], hops: usize, trail: &mut Trail) -> Target {
        let root = &segments[..1];
        if self.modules.contains_key(root) {
            return self.walk(root, &segments[1..], hops, trail);
        }
        let mut foreign = segments.to_vec();
        if ["core", "alloc"].contains(&foreign[0].as_str()) {
            foreign[0] = "std".to_owned();
        }
        Target::Foreign(foreign)
    }

    /// Goes on from a module through child modules and re-exports.
    fn walk(self, from: &[String], rest: &[String], hops: usize, trail: &mut Trail) -> Target {
        let found = rest
            .split_first()
            .and_then(|(first, behind)| hops.checked_sub(1).map(|hops| (first, behind, hops)))
            .and_then(|(first, behind, hops)| self.lookup(from, first, behind, hops, trail));
        found.unwrap_or_else(|| Target::Ours { module: from.to_vec(), rest: rest.to_vec() })
    }

    /// A name in the scope of a module: a child module, an import, or a name behind a glob import.
    fn lookup(
        self,
        at: &[String],
        name: &str,
        rest: &[String],
        hops: usize,
        trail: &mut Trail,
    ) -> Option<Target> {
        let module = self.modules.get(at)?;
        if module.children.contains(name) {
            let child = [at, &[name.to_owned()]].concat();
            return Some(self.walk(&child, rest, hops, trail));
        }
        if let Some(import) = module.imports.get(name) {
            // `use tokio;` and `use time::time;` bind the name that they begin with: it can only be the crate's.
            let is_itself = import.segments.first().is_some_and(|first| first == name);
            let segments = [import.segments.as_slice(), rest].concat();
            let target = if is_itself {
                Some(self.path_in_crate(&segments, hops, trail))
            } else {
                self.resolve(at, &segments, import.is_global, hops, trail)
            };
            if target.is_some() {
                trail.push(at.to_vec());
            }
            return target;
        }
        let hops = hops.checked_sub(1)?;
        let globs =
            module.mentions.iter().filter(|mention| mention.segments.last().is_some_and(|last| last == "*"));
        for glob in globs {
            let before = &glob.segments[..glob.segments.len() - 1];
            let Some(Target::Ours { module: target, rest: behind }) =
                self.resolve(at, before, glob.is_global, hops, &mut Trail::new())
            else {
                continue;
            };
            if behind.is_empty()
                && target != at
                && let Some(found) = self.lookup(&target, name, rest, hops, trail)
            {
                return Some(found);
            }
        }
        None
    }
}
