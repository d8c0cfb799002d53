//! The modules of the workspace, read from their syntax trees: what each one declares, imports and names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Item, Meta, UseTree, punctuated::Punctuated, visit::Visit};

/// Source files by their path in the repository.
pub(crate) type Files = BTreeMap<String, String>;

/// A path that a module names, as it is written. A glob import ends in `*`.
#[derive(Debug, Clone)]
pub(crate) struct Mention {
    pub(crate) segments: Vec<String>,
    /// The path began with `::`, so its first segment is a crate.
    pub(crate) is_global: bool,
    pub(crate) line: usize,
    /// A `use` item named it, not an expression, a type or a macro's tokens.
    pub(crate) is_import: bool,
}

/// A string literal outside doc comments and other attributes.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// One module: a file, or a `mod name { … }` within a file.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Its absolute path.
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    /// It is compiled for tests only, or the module that contains it is.
    pub(crate) is_test: bool,
    /// Modules that it declares.
    pub(crate) children: BTreeSet<String>,
    /// Imported names and the paths behind them.
    pub(crate) imports: BTreeMap<String, Mention>,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) texts: Vec<Text>,
    /// Traits and the types that implement or derive them, by their last segments.
    pub(crate) implementations: Vec<(String, String)>,
    /// Traits that the type parameters of an implementing type must have, by the type.
    pub(crate) bounds: BTreeMap<String, Vec<String>>,
}

/// Modules by their absolute path, such as `stellar_ticker::domain::window`.
pub(crate) type Modules = BTreeMap<Vec<String>, Module>;

/// Reads every module that can be reached from the crates' roots.
///
/// `crates` holds the name of each crate and the path of its root file.
pub(crate) fn read(files: &Files, crates: &[(String, String)]) -> Modules {
    let mut modules = Modules::new();
    for (name, root) in crates {
        let directory = parent(root);
        read_file(files, root, &directory, vec![name.clone()], false, &mut modules);
    }
    modules
}

fn parent(file: &str) -> PathBuf {
    Path::new(file).parent().expect("a file has a directory").to_owned()
}

/// Reads a file as the module `path`. Its child modules lie in `directory`.
fn read_file(
    files: &Files,
    file: &str,
    directory: &Path,
    path: Vec<String>,
    is_test: bool,
    out: &mut Modules,
) {
    let text = files.get(file).unwrap_or_else(|| panic!("{file} is declared but does not exist"));
    let tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{file} does not parse: {error}"));
    let place = Place { files, file, directory, path, is_test };
    read_items(&place, &tree.items, out);
}

/// Origin of the items of a module.
struct Place<'a> {
    files: &'a Files,
    file: &'a str,
    directory: &'a Path,
    path: Vec<String>,
    is_test: bool,
}

fn read_items(place: &Place<'_>, items: &[Item], out: &mut Modules) {
    let mut reader = Reader::default();
    for item in items {
        reader.visit_item(item);
    }
    let module = Module {
        path: place.path.clone(),
        file: place.file.to_owned(),
        is_test: place.is_test,
        ..reader.module
    };
    out.insert(place.path.clone(), module);
    for declared in reader.declared {
        let name = declared.ident.to_string();
        let path = [place.path.as_slice(), std::slice::from_ref(&name)].concat();
        let is_test = place.is_test || is_for_tests(&declared.attrs);
        let directory = place.directory.join(&name);
        if let Some((_, items)) = &declared.content {
            let inner = Place { directory: &directory, path, is_test, ..*place };
            read_items(&inner, items, out);
            continue;
        }
        let candidates = match path_attribute(&declared.attrs) {
            Some(given) => vec![parent(place.file).join(given)],
            None => vec![place.directory.join(format!("{name}.rs")), directory.join("mod.rs")],
        };
        let file = candidates
            .iter()
            .filter_map(|candidate| candidate.to_str())
            .find(|candidate| place.files.contains_key(*candidate))
            .unwrap_or_else(|| panic!("{}: no file for `mod {name};`", place.file));
        read_file(place.files, file, &directory, path, is_test, out);
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("any(test,")
        }
        _ => false,
    })
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// The last segment of a path.
fn last(path: &syn::Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}

/// Traits in the list of type parameters.
fn bounds(generics: &syn::Generics) -> Vec<String> {
    let bounds = generics.type_params().flat_map(|parameter| &parameter.bounds);
    let of_trait = |bound: &syn::TypeParamBound| match bound {
        syn::TypeParamBound::Trait(bound) => last(&bound.path),
        _ => None,
    };
    bounds.filter_map(of_trait).collect()
}

/// Collects what one module holds, without the modules inside it.
#[derive(Default)]
struct Reader {
    module: Module,
    declared: Vec<syn::ItemMod>,
}

impl Reader {
    fn import(&mut self, tree: &UseTree, before: &[String], is_global: bool) {
        let step = |ident: &Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &step(&path.ident), is_global),
            UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.import(item, before, is_global));
            }
            UseTree::Name(name) if name.ident == "self" => {
                let known_as = before.last().cloned().unwrap_or_default();
                self.bind(known_as, before.to_vec(), is_global, &name.ident);
            }
            UseTree::Name(name) => {
                self.bind(name.ident.to_string(), step(&name.ident), is_global, &name.ident);
            }
            UseTree::Rename(rename) => {
                let target = if rename.ident == "self" { before.to_vec() } else { step(&rename.ident) };
                self.bind(rename.rename.to_string(), target, is_global, &rename.ident);
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.mention([before, &["*".to_owned()]].concat(), is_global, line, true);
            }
        }
    }

    fn bind(&mut self, name: String, segments: Vec<String>, is_global: bool, at: &Ident) {
        let mention = self.mention(segments, is_global, at.span().start().line, true);
        self.module.imports.insert(name, mention);
    }

    fn mention(&mut self, segments: Vec<String>, is_global: bool, line: usize, is_import: bool) -> Mention {
        let mention = Mention { segments, is_global, line, is_import };
        self.module.mentions.push(mention.clone());
        mention
    }

    fn text(&mut self, value: String, line: usize) {
        self.module.texts.push(Text { value, line });
    }

    /// Collects the traits that attributes derive for a type.
    fn derived(&mut self, attributes: &[syn::Attribute], implementer: &Ident) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            let derived = attribute
                .parse_args_with(Punctuated::<syn::Path, syn::Token![,]>::parse_terminated)
                .expect("a derive attribute lists paths");
            let traits = derived.iter().filter_map(last);
            self.module.implementations.extend(traits.map(|of| (of, implementer.to_string())));
        }
    }

    /// Finds paths and texts in the tokens of a macro, whose grammar is unknown.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colon = |at: usize| matches!(trees.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal.clone()) {
                        self.text(text.value(), literal.span().start().line);
                    }
                }
                TokenTree::Ident(first) => {
                    let is_global = at >= 2 && is_colon(at - 1) && is_colon(at - 2);
                    let mut segments = vec![first.to_string()];
                    while is_colon(at + 1) && is_colon(at + 2) {
                        let Some(TokenTree::Ident(next)) = trees.get(at + 3) else { break };
                        segments.push(next.to_string());
                        at += 3;
                    }
                    if segments.len() > 1 {
                        self.mention(segments, is_global, first.span().start().line, false);
                    }
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.children.insert(item.ident.to_string());
        self.declared.push(item.clone());
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[], item.leading_colon.is_some());
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (Some((_, of, _)), syn::Type::Path(implementer)) = (&item.trait_, &*item.self_ty)
            && let (Some(of), Some(implementer)) = (last(of), implementer.path.segments.last())
        {
            let implementer = implementer.ident.to_string();
            self.module.bounds.entry(implementer.clone()).or_default().extend(bounds(&item.generics));
            self.module.implementations.push((of, implementer));
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.derived(&item.attrs, &item.ident);
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.derived(&item.attrs, &item.ident);
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        self.mention(segments, path.leading_colon.is_some(), line, false);
        syn::visit::visit_path(self, path);
    }

    /// `pub(crate)` names who may see an item, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.text(text.value(), text.span().start().line);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.visit_path(attribute.path());
        if let Meta::List(list) = &attribute.meta {
            let texts = self.module.texts.len();
            self.tokens(list.tokens.clone());
            self.module.texts.truncate(texts); // messages and names, which no rule is about
        }
    }
}
