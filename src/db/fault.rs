//! Faults of the whole database, in fixed words for `/readyz`. Texts of the server may hold names that are nobody's
//! business.

use std::borrow::Cow;

use super::error::DbError;

/// Fault of the database, as a failed call shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer, or no connection.
    Silent,
    /// It is starting or stopping.
    Unready,
    /// It refuses the log-in.
    RefusesLogIn,
    /// All its connections are in use.
    NoConnection,
    /// Its disk is full.
    DiskFull,
    /// It takes no writes.
    ReadOnly,
    /// A table of the ticker is missing.
    NoTables,
    /// It holds another network.
    OtherNetwork,
    /// Its tables are not those of the start.
    Replaced,
    /// It answers with an error. Holds the SQLSTATE, if it is one of the server.
    Other(Option<String>),
}

impl DbError {
    /// Returns the fault that this error shows.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Silent(_) => return Fault::Silent,
            Self::Refused(_) => return Fault::RefusesLogIn,
            Self::OtherNetwork { .. } => return Fault::OtherNetwork,
            Self::Replaced => return Fault::Replaced,
            _ => {}
        }
        let Some(state) = self.state() else {
            let is_of_connection = matches!(self, Self::Pool { .. } | Self::Postgres(_));
            return if is_of_connection { Fault::Silent } else { Fault::Other(None) };
        };
        match state.code() {
            "57P01" | "57P02" | "57P03" => Fault::Unready,
            "53300" => Fault::NoConnection,
            "53100" => Fault::DiskFull,
            "25006" => Fault::ReadOnly,
            "42P01" | "3F000" => Fault::NoTables,
            code if code.starts_with("08") => Fault::Silent,
            code => Fault::Other(Some(code.to_owned())),
        }
    }
}

impl Fault {
    /// Returns the fault in words that follow "the database".
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        let fixed = match self {
            Self::Silent => "does not answer",
            Self::Unready => "is starting or stopping",
            Self::RefusesLogIn => "refuses the log-in",
            Self::NoConnection => "has no free connection",
            Self::DiskFull => "cannot write: its disk is full",
            Self::ReadOnly => "is read-only: no trade can be stored",
            Self::NoTables => "has no ticker tables",
            Self::OtherNetwork => "holds another network",
            Self::Replaced => "was emptied, replaced or started over",
            Self::Other(None) => "answers with something unexpected",
            Self::Other(Some(code)) => return format!("refuses to renew the lease (SQLSTATE {code})").into(),
        };
        fixed.into()
    }

    /// Returns true if the database answers other callers, so that more exact faults may be known.
    #[must_use]
    pub const fn is_of_one_call(&self) -> bool {
        matches!(self, Self::Other(_))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_postgres::error::SqlState;

    use super::*;

    fn refused(code: &str) -> DbError {
        DbError::Pool { text: String::new(), state: Some(SqlState::from_code(code)) }
    }

    #[test]
    fn each_kind_of_error_has_words_of_its_own() {
        let silent = DbError::Pool { text: "no connection to PostgreSQL at …".into(), state: None };
        for (error, detail) in [
            (silent, "does not answer"),
            (DbError::Silent(Duration::from_secs(6)), "does not answer"),
            (DbError::Refused("secret".into()), "refuses the log-in"),
            (refused("08006"), "does not answer"),
            (refused("57P03"), "is starting or stopping"),
            (refused("53300"), "has no free connection"),
            (refused("53100"), "cannot write: its disk is full"),
            (refused("25006"), "is read-only: no trade can be stored"),
            (refused("42P01"), "has no ticker tables"),
            (refused("3F000"), "has no ticker tables"),
            (refused("42501"), "refuses to renew the lease (SQLSTATE 42501)"),
            (DbError::Replaced, "was emptied, replaced or started over"),
            (DbError::OtherNetwork { held: "a".into(), wanted: "b".into() }, "holds another network"),
            (DbError::Corrupt("odd".into()), "answers with something unexpected"),
        ] {
            assert_eq!(error.fault().detail(), detail, "{error}");
        }
    }
}
