//! Parts of commands: an example, and flags from a table of settings.

use clap::{Arg, ArgAction, Command, ValueHint};

use crate::config::{Kind, SETTINGS, Setting};

/// Flag that prints JSON.
pub(super) const JSON: &str = "json";

/// A command with an example below its help.
pub(super) fn command(name: &'static str, about: &'static str, example: &str) -> Command {
    Command::new(name).about(about).after_help(format!("Example:\n  {example}"))
}

/// Adds all settings. The help lists only those whose name `listed` accepts.
pub(super) fn settings(command: Command, listed: impl Fn(&str) -> bool) -> Command {
    command.args(SETTINGS.iter().map(|setting| argument(setting).hide(!listed(setting.name))))
}

/// Flag of a setting in `demo`, which ignores some variables and has defaults of its own.
pub(super) fn demo_argument(setting: &'static Setting) -> Arg {
    argument(setting).help(setting.demo_help())
}

/// Flag of a setting.
pub(super) fn argument(setting: &'static Setting) -> Arg {
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .visible_aliases(setting.aliases.iter().copied())
        .help(setting.long_help())
        .help_heading(setting.group.title());
    let argument = match setting.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    let hint = match setting.value_name {
        "FILE" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        _ => ValueHint::Unknown,
    };
    match setting.kind {
        Kind::Switch => argument.action(ArgAction::SetTrue),
        _ => argument
            .action(ArgAction::Set)
            .value_name(setting.value_name)
            .value_hint(hint)
            // The setting refuses it by its name, with the allowed values.
            .allow_negative_numbers(true),
    }
}
