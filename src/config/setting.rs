//! What one row of the settings table says.

/// One setting: everything the command line, the environment, the file and the documentation need.
#[derive(Debug)]
pub struct Setting {
    /// The long flag without its dashes; the file's key is the same with `_` for `-`.
    pub name: &'static str,
    /// The short flag, if there is one.
    pub short: Option<char>,
    /// Further long flags that mean the same.
    pub aliases: &'static [&'static str],
    /// Variables of the environment, the first that is set counts; empty: the environment cannot set it.
    pub env: &'static [&'static str],
    /// What holds when nobody sets it.
    pub fallback: Fallback,
    /// The placeholder of the value in the help.
    pub value_name: &'static str,
    /// One line for the help, without the default and the environment, which are added from this row.
    pub help: &'static str,
    /// What a value may be; every fault of this setting ends with it.
    pub allowed: &'static str,
    /// The form of its values.
    pub kind: Kind,
    /// Never shown; may also be given as a file named by `<NAME>_FILE` in the environment.
    pub secret: bool,
    /// Whether the file may set it.
    pub in_file: bool,
    /// The heading under which the help lists it.
    pub group: Group,
    /// How `demo` treats it.
    pub in_demo: InDemo,
}

/// The value of a setting that nobody set.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This text, parsed as if it had been given.
    Value(&'static str),
    /// It depends on other settings or stays empty; the text tells the reader how.
    Told(&'static str),
}

/// The form of a setting's values: what TOML type the file may use besides a string.
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
    /// The network and where it is read from.
    Upstream,
    /// Addresses this program listens on.
    Listeners,
    /// Directories and how long trades are kept.
    Storage,
    /// When the recurring tasks run.
    Schedules,
    /// What is published, and how often.
    Publication,
    /// The program's own log.
    Logging,
    /// The simulated network.
    Simulation,
    /// What an audit compares and how it reports.
    Audit,
}

impl Group {
    /// The heading as the help prints it.
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

/// How `demo` treats a setting: simulated trades must reach neither a real database nor published files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDemo {
    /// From every source, as everywhere.
    Heeded,
    /// From its flag alone: what the environment or the file name may be real.
    FlagOnly,
    /// The demo decides it; it has no such flag.
    Fixed,
}

impl Setting {
    /// A row with nothing special about it, for the others to start from.
    pub(super) const PLAIN: Self = Self {
        name: "",
        short: None,
        aliases: &[],
        env: &[],
        fallback: Fallback::Told("none"),
        value_name: "VALUE",
        help: "",
        allowed: "",
        kind: Kind::Text,
        secret: false,
        in_file: true,
        group: Group::Configuration,
        in_demo: InDemo::Heeded,
    };

    /// The key in the configuration file.
    #[must_use]
    pub fn file_key(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Every variable of the environment that may set it, those that name a file included.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let direct = self.env.iter().map(|name| (*name).to_owned());
        let by_file = self.env.iter().filter(|_| self.secret).map(|name| secret_file_variable(name));
        direct.chain(by_file).collect()
    }

    /// The help text with the environment and the default behind it.
    #[must_use]
    pub fn long_help(&self) -> String {
        let mut text = self.help.to_owned();
        let variables = self.variables();
        if !variables.is_empty() {
            text.push_str(&format!(" [env: {}]", variables.join(", ")));
        }
        if self.kind != Kind::Switch {
            let (Fallback::Value(default) | Fallback::Told(default)) = self.fallback;
            text.push_str(&format!(" [default: {default}]"));
        }
        text
    }
}

/// The variable that names a file holding the secret, as container platforms mount them.
pub(super) fn secret_file_variable(name: &str) -> String {
    format!("{name}_FILE")
}
