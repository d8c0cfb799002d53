//! The rules, each as a function from the modules to what breaks it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    circles::{self, Graph},
    modules::{self, Files, Mention, Module, Modules},
    names::{Target, resolve},
};

/// The layer of each file: the longest directory, or the file, that its path begins with.
pub(crate) struct Layers<'a>(pub(crate) &'a [(&'a str, &'a str)]);

impl Layers<'_> {
    /// The layer of a file. A layer `src/app` takes in `src/app.rs` too.
    pub(crate) fn of(&self, file: &str) -> Option<&str> {
        let is_in = |place: &str| {
            file.strip_prefix(place)
                .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
        };
        let layers = self.0.iter().filter(|(_, place)| is_in(place));
        layers.max_by_key(|(_, place)| place.len()).map(|(layer, _)| *layer)
    }
}

/// Pairs of layers: the first imports the second.
pub(crate) type Edges = BTreeSet<(String, String)>;

/// Every name in the modules, with its target.
fn resolved(modules: &Modules) -> impl Iterator<Item = (&Module, &Mention, Target)> {
    modules.iter().flat_map(move |(path, module)| {
        let targets = move |mention| {
            resolve(modules, path, mention).into_iter().map(move |target| (module, mention, target))
        };
        module.mentions.iter().flat_map(targets)
    })
}

/// The same for what leads to a module of the workspace.
fn imports(modules: &Modules) -> impl Iterator<Item = (&Module, &Mention, &Module, Vec<String>)> {
    resolved(modules).filter_map(|(module, mention, target)| match target {
        Target::Ours { module: target, rest } => Some((module, mention, &modules[&target], rest)),
        Target::Foreign(_) => None,
    })
}

fn place(module: &Module, mention: &Mention) -> String {
    format!("{}:{}: {}", module.file, mention.line, mention.segments.join("::"))
}

/// Imports between layers, each with the first place that needs it.
pub(crate) fn edges(modules: &Modules, layers: &Layers<'_>) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for (module, mention, target, _) in imports(modules) {
        let (from, to) = (layers.of(&module.file), layers.of(&target.file));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            found.entry((from.to_owned(), to.to_owned())).or_insert_with(|| place(module, mention));
        }
    }
    found
}

/// Edges that the list forbids, and those that it lists for nothing.
pub(crate) fn wrong_edges(modules: &Modules, layers: &Layers<'_>, listed: &Edges) -> Vec<String> {
    let found = edges(modules, layers);
    let forbidden = found
        .iter()
        .filter(|(edge, _)| !listed.contains(*edge))
        .map(|((from, to), place)| format!("{from} imports {to}: {place}"));
    let unused = listed
        .iter()
        .filter(|edge| !found.contains_key(*edge))
        .map(|(from, to)| format!("{from} does not import {to}, which ARCHITECTURE.md lists"));
    forbidden.chain(unused).collect()
}

/// Files that belong to no layer. The crates' roots are of none.
pub(crate) fn without_layer<'a>(modules: &'a Modules, layers: &Layers<'_>) -> BTreeSet<&'a str> {
    let files = modules.values().map(|module| module.file.as_str());
    files.filter(|file| layers.of(file).is_none() && *file != "src/lib.rs").collect()
}

/// Names of foreign crates that a layer must not use.
pub(crate) fn forbidden_names(
    modules: &Modules,
    layers: &Layers<'_>,
    forbidden: impl Fn(&str) -> Vec<&'static str>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (module, mention, target) in resolved(modules) {
        let (Some(layer), Target::Foreign(path)) = (layers.of(&module.file), target) else { continue };
        if forbidden(layer).iter().any(|name| covers(&path, name)) {
            faults.push(place(module, mention));
        }
    }
    faults
}

/// Returns true if a path is the forbidden one, lies below it, or includes it by a glob import.
fn covers(path: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    let known = path.strip_suffix(&["*".to_owned()]).unwrap_or(path);
    let is_glob = known.len() < path.len();
    let is_below = known.len() >= forbidden.len();
    (is_below || is_glob) && known.iter().zip(&forbidden).all(|(one, other)| one == other)
}

/// Traits of actors.
const ACTOR_TRAITS: [&str; 2] = ["Actor", "Work"];

/// The actors: files of `directory`, or folders with the file of the same name, that hold `impl Actor for` or
/// `impl Work for`. An implementation for everything that has one of these traits wraps an actor and is none itself.
pub(crate) fn actors(modules: &Modules, directory: &str) -> BTreeSet<String> {
    let is_of_actors = |name: &String| ACTOR_TRAITS.contains(&name.as_str());
    let is_wrapper = |module: &Module, implementer: &str| {
        module.bounds.get(implementer).is_some_and(|bounds| bounds.iter().any(is_of_actors))
    };
    let is_actor = |module: &Module| {
        let mut implementations = module.implementations.iter();
        implementations.any(|(of, implementer)| is_of_actors(of) && !is_wrapper(module, implementer))
    };
    modules
        .values()
        .filter(|module| !module.is_test && is_actor(module))
        .filter_map(|module| owner(&module.file, directory))
        .collect()
}

/// The actors that the call of `actors!` in a file lists, by the modules from which the file imports them.
pub(crate) fn listed_actors(text: &str) -> BTreeSet<String> {
    let tree = syn::parse_file(text).expect("the file parses");
    let call = tree.items.iter().find_map(|item| match item {
        syn::Item::Macro(item) if item.mac.path.is_ident("actors") => Some(item.mac.tokens.to_string()),
        _ => None,
    });
    let fields = format!("struct Actors {{ {} }}", call.expect("the file calls actors!"));
    let fields: syn::ItemStruct = syn::parse_str(&fields).expect("actors! lists names and types");
    let files = Files::from([("tree.rs".to_owned(), text.to_owned())]);
    let modules = modules::read(&files, &[("tree".to_owned(), "tree.rs".to_owned())]);
    let imports = &modules[&vec!["tree".to_owned()]].imports;
    let module = |field: &syn::Field| {
        let syn::Type::Path(listed) = &field.ty else { panic!("an actor is a type") };
        let name = listed.path.segments.last()?.ident.to_string();
        let import = imports.get(&name).unwrap_or_else(|| panic!("{name} is not imported"));
        import.segments.iter().nth_back(1).cloned()
    };
    fields.fields.iter().filter_map(module).collect()
}

/// Errors with a name that does not say so.
pub(crate) fn misnamed_errors(modules: &Modules) -> Vec<String> {
    let misnamed = modules.values().filter(|module| !module.is_test).flat_map(|module| {
        let errors = module.implementations.iter().filter(|(of, _)| of == "Error");
        let misnamed = errors.filter(|(_, error)| !error.ends_with("Error"));
        misnamed.map(move |(_, error)| format!("{}: {error}", module.file))
    });
    misnamed.collect()
}

/// `aggregator` for `src/actors/aggregator.rs` and `src/actors/aggregator/pace.rs`.
fn owner(file: &str, directory: &str) -> Option<String> {
    let below = file.strip_prefix(directory)?.strip_prefix('/')?;
    below.split('/').next().map(|first| first.trim_end_matches(".rs").to_owned())
}

/// Places where an actor names another.
pub(crate) fn actors_that_import_actors(modules: &Modules, directory: &str) -> Vec<String> {
    let actors = actors(modules, directory);
    let actor = |file: &str| owner(file, directory).filter(|name| actors.contains(name));
    let mut faults = Vec::new();
    for (module, mention, target, _) in imports(modules) {
        if let (Some(here), Some(there)) = (actor(&module.file), actor(&target.file))
            && here != there
        {
            faults.push(format!("{here} imports {there}: {}", place(module, mention)));
        }
    }
    faults
}

/// Types of messages below `directory` that another file than `file` declares.
pub(crate) fn stray_messages(modules: &Modules, directory: &str, file: &str) -> Vec<String> {
    let is_elsewhere =
        |module: &&Module| !module.is_test && module.file.starts_with(directory) && module.file != file;
    let strays = modules.values().filter(is_elsewhere).flat_map(|module| {
        let messages = module.implementations.iter().filter(|(of, _)| of == "Message");
        messages.map(move |(_, message)| format!("{}: {message}", module.file))
    });
    strays.collect()
}

/// Texts that are SQL, and SQL files that are included, outside the layers that may hold them.
pub(crate) fn stray_sql(modules: &Modules, layers: &Layers<'_>, may_hold: &[&str]) -> Vec<String> {
    let outside = modules
        .values()
        .filter(|module| layers.of(&module.file).is_none_or(|layer| !may_hold.contains(&layer)));
    outside
        .flat_map(|module| module.texts.iter().map(move |text| (module, text)))
        .filter(|(_, text)| is_sql(&text.value))
        .map(|(module, text)| format!("{}:{}: {}", module.file, text.line, text.value))
        .collect()
}

/// Returns true if a text holds a statement of SQL, in capitals or not. A sentence in English is none.
pub(crate) fn is_sql(text: &str) -> bool {
    let lower = text.to_lowercase();
    let code: Vec<&str> = lower.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    let words: Vec<&str> = code.split(|c: char| c.is_whitespace() || "();".contains(c)).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let pair = |one: &str, other: &str| words.windows(2).any(|pair| pair == [one, other]);
    let objects =
        ["table", "index", "schema", "database", "role", "function", "trigger", "view", "extension"];
    let is_made = ["create", "alter", "drop"].iter().any(|verb| objects.iter().any(|what| pair(verb, what)));
    let first = words.first().copied().unwrap_or_default();
    let is_english = words.contains(&"the") || words.get(1).is_some_and(|word| ["a", "an"].contains(word));
    let is_select = first == "select" && words.contains(&"from") && !is_english;
    let is_with = first == "with" && words.get(2) == Some(&"as") && words.contains(&"select");
    let is_update = first == "update" && words.get(2) == Some(&"set");
    let is_call = first == "select" && code.contains('(');
    let is_copy = first == "copy" && ["from", "to"].iter().any(|word| words.contains(word)) && !is_english;
    let is_truncate = first == "truncate" && words.len() > 1 && !is_english;
    is_made
        || is_select
        || is_with
        || is_update
        || is_call
        || is_copy
        || is_truncate
        || pair("insert", "into")
        || pair("delete", "from")
        || pair("merge", "into")
        || pair("lock", "table")
        || pair("truncate", "table")
        || lower.ends_with(".sql")
}

/// Circles between files, without tests. A module and the modules inside it are one concept in several files, so what
/// they use of each other does not count.
pub(crate) fn circles_of_files(modules: &Modules) -> Vec<Vec<String>> {
    circles::circles(&file_graph(modules))
}

/// Each file with the files that it uses.
pub(crate) fn file_graph(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    let code = imports(modules).filter(|(module, _, target, _)| !module.is_test && !target.is_test);
    for (module, mention, target, rest) in code {
        // A local variable may be called like a module.
        let is_module_alone = rest.is_empty() && !mention.is_import;
        let is_family = target.path.starts_with(&module.path) || module.path.starts_with(&target.path);
        if module.file != target.file && !is_module_alone && !is_family {
            graph.entry(module.file.clone()).or_default().insert(target.file.clone());
        }
    }
    graph
}

/// Circles between layers in the list of edges.
pub(crate) fn circles_of_layers(listed: &Edges) -> Vec<Vec<String>> {
    let mut graph = Graph::new();
    for (from, to) in listed {
        graph.entry(from.clone()).or_default().insert(to.clone());
    }
    circles::circles(&graph)
}

/// The edges that the section "Allowed imports" of ARCHITECTURE.md lists: lines `layer <- layer, layer` in its first
/// block of code. An em dash or nothing behind the arrow means none.
pub(crate) fn listed_edges(page: &str) -> Edges {
    let (_, section) = page.split_once("\n## Allowed imports\n").expect("ARCHITECTURE.md has the section");
    let block = section.split("```").nth(1).expect("the section has a block");
    let mut edges = Edges::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let (layer, imported) = line.split_once("<-").unwrap_or_else(|| panic!("no arrow in {line:?}"));
        for name in imported.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            edges.insert((layer.trim().to_owned(), name.to_owned()));
        }
    }
    edges
}

/// Layers that the list names and the table does not, or the other way round.
pub(crate) fn unlisted_layers(page: &str, layers: &Layers<'_>) -> Vec<String> {
    let (_, section) = page.split_once("\n## Allowed imports\n").expect("ARCHITECTURE.md has the section");
    let block = section.split("```").nth(1).expect("the section has a block");
    let listed: BTreeSet<&str> =
        block.lines().filter_map(|line| line.split_once("<-")).map(|(layer, _)| layer.trim()).collect();
    let known: BTreeSet<&str> = layers.0.iter().map(|(layer, _)| *layer).collect();
    listed.symmetric_difference(&known).map(|layer| (*layer).to_owned()).collect()
}
