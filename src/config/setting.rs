//! Row of the table of settings.

/// A setting: everything that the command line, the environment, the file and the documentation need.
#[derive(Debug)]
pub struct Setting {
    /// Long flag without its dashes. The key in the file is the same with `_` for `-`.
    pub name: &'static str,
    /// Short flag, if there is one.
    pub short: Option<char>,
    /// Further long flags with the same meaning.
    pub aliases: &'static [&'static str],
    /// Variables of the environment, of which the first that is set counts. If empty, the environment cannot set it.
    pub env: &'static [&'static str],
    /// Default.
    pub fallback: Fallback,
    /// Placeholder of the value in the help.
    pub value_name: &'static str,
    /// Line for the help, without the default and the environment, which are added from this row.
    pub help: &'static str,
    /// Description of the allowed values. Every fault of this setting ends with it.
    pub allowed: &'static str,
    /// Form of its values.
    pub kind: Kind,
    /// True if the value is never shown. A file that the variable `<NAME>_FILE` names may then set it, too.
    pub is_secret: bool,
    /// True if the file may set it.
    pub is_in_file: bool,
    /// Heading in the help.
    pub group: Group,
    /// Treatment in `demo`.
    pub in_demo: InDemo,
    /// Default in `demo`, where it has another one.
    pub demo_fallback: Option<Fallback>,
}

/// Default of a setting.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// A text that is parsed like a given one.
    Value(&'static str),
    /// No text: the value derives from other settings or stays empty. This describes it for the help.
    Described(&'static str),
}

/// Form of a setting's values. It decides which TOML type, besides a string, the file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Count,
    /// On or off; a flag without a value.
    Switch,
    /// A list of strings, or one string with commas.
    List,
}

/// Headings of the help, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The configuration file itself.
    Configuration,
    /// PostgreSQL.
    Database,
    /// The network and its sources.
    Upstream,
    /// Addresses on which this program listens.
    Listeners,
    /// Directories and retention.
    Storage,
    /// Schedules of the recurring tasks.
    Schedules,
    /// Content and frequency of publications.
    Publication,
    /// The log.
    Logging,
    /// The simulated network.
    Simulation,
    /// Options of `audit`.
    Audit,
}

impl Group {
    /// Returns the heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Database => "Database",
            Self::Upstream => "Network and Horizon",
            Self::Listeners => "Listeners",
            Self::Storage => "Storage",
            Self::Schedules => "Schedules",
            Self::Publication => "Publication",
            Self::Logging => "Logging",
            Self::Simulation => "Simulation",
            Self::Audit => "Audit",
        }
    }
}

/// Treatment of a setting in `demo`. Simulated trades must reach neither a real database nor published files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDemo {
    /// Any source may set it, as for other commands.
    AnySource,
    /// Only its flag may set it. The environment and the file may name a real database or directory.
    FlagOnly,
    /// The demo sets it and has no such flag.
    Fixed,
}

impl Setting {
    /// Defaults for the other rows.
    pub(super) const PLAIN: Self = Self {
        name: "",
        short: None,
        aliases: &[],
        env: &[],
        fallback: Fallback::Described("none"),
        value_name: "VALUE",
        help: "",
        allowed: "",
        kind: Kind::Text,
        is_secret: false,
        is_in_file: true,
        group: Group::Configuration,
        in_demo: InDemo::AnySource,
        demo_fallback: None,
    };

    /// Returns the key in the configuration file.
    #[must_use]
    pub fn file_key(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Returns all variables of the environment that may set it, including those that name a file.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let direct = self.env.iter().map(|name| (*name).to_owned());
        let by_file = self.env.iter().filter(|_| self.is_secret).map(|name| secret_file_variable(name));
        direct.chain(by_file).collect()
    }

    /// Returns the help text, followed by the environment and the default.
    #[must_use]
    pub fn long_help(&self) -> String {
        self.described(&self.variables(), self.fallback)
    }

    /// Returns the same for the help of `demo`.
    #[must_use]
    pub fn demo_help(&self) -> String {
        let variables = if self.in_demo == InDemo::AnySource { self.variables() } else { vec![] };
        self.described(&variables, self.demo_fallback.unwrap_or(self.fallback))
    }

    fn described(&self, variables: &[String], fallback: Fallback) -> String {
        let mut text = self.help.to_owned();
        if !variables.is_empty() {
            text.push_str(&format!(" [env: {}]", variables.join(", ")));
        }
        if self.kind != Kind::Switch {
            let (Fallback::Value(default) | Fallback::Described(default)) = fallback;
            text.push_str(&format!(" [default: {default}]"));
        }
        text
    }
}

/// Returns the variable that names a file with the secret, as container platforms mount it.
pub(super) fn secret_file_variable(name: &str) -> String {
    format!("{name}_FILE")
}
