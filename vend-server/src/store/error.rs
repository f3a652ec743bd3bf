//! What can go wrong with the database, sorted by what the caller should do about it.

use std::path::PathBuf;

/// Why a read or a write failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Something else holds the database. Nothing was written; try again.
    #[error("the database is busy")]
    Busy,
    /// The disk is full. Nothing was written; trying again helps only once there is space.
    #[error("the disk of the database is full")]
    Full,
    /// The database cannot be written to. Nothing was written.
    #[error("the database is read-only")]
    ReadOnly,
    /// A constraint of the schema refused the write. Nothing was written, and trying again changes nothing.
    #[error("{message}")]
    Constraint {
        /// Which sort of constraint.
        kind: ConstraintKind,
        /// SQLite's words: they name tables and columns, never values.
        message: String,
    },
    /// The commit failed: whether the write took place is not known. Look the idempotency key up before anything
    /// else.
    #[error("the commit failed, and its outcome is not known: {message}")]
    Unknown {
        /// What the commit said.
        message: String,
    },
    /// The database file is damaged, or is none.
    #[error("the database file is damaged: {message}")]
    Corrupt {
        /// SQLite's words.
        message: String,
    },
    /// Another process holds this database.
    #[error("another process holds the database (lock file {})", lock.display())]
    Locked {
        /// The side file whose lock is taken.
        lock: PathBuf,
    },
    /// The database was made by a newer version of this program.
    #[error("the database is at schema version {found}, and this program knows only up to {known}")]
    Newer {
        /// The version in the file.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A migration failed. The ones before it stay applied.
    #[error("migration `{name}` failed: {message}")]
    Migration {
        /// The migration's name.
        name: String,
        /// What the database said.
        message: String,
    },
    /// The closure of a write panicked. Nothing was written.
    #[error("the write `{label}` panicked")]
    Panicked {
        /// The label the write was given.
        label: &'static str,
    },
    /// The writer has been closed. Nothing was written.
    #[error("the database is closed")]
    Closed,
    /// Anything else. Nothing was written.
    #[error("{message}")]
    Other {
        /// What the database or the driver said.
        message: String,
    },
}

/// Which sort of constraint refused a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// A unique index or a primary key.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// NOT NULL.
    NotNull,
    /// A CHECK.
    Check,
    /// A trigger, a strict table's data type, or another one.
    Other,
}

impl StoreError {
    /// An error in the caller's own words, as for a row that does not decode. It must hold no secret.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }

    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown { message: message.into() }
    }

    /// Whether a unique index or a primary key refused the write: the row was there already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Constraint { kind: ConstraintKind::Unique, .. })
    }

    /// Whether the write may have taken place although it failed.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::PoolTimedOut => Self::Busy,
                sqlx::Error::PoolClosed => Self::Closed,
                other => Self::other(other.to_string()),
            };
        };
        let message = database.message().to_owned();
        // The extended result code; its low byte is the primary one. See https://sqlite.org/rescode.html.
        let code: u32 = database.code().and_then(|code| code.parse().ok()).unwrap_or(0);
        match code & 0xff {
            5 | 6 => Self::Busy,
            8 => Self::ReadOnly,
            11 | 26 => Self::Corrupt { message },
            13 => Self::Full,
            19 => Self::Constraint { kind: ConstraintKind::from_code(code), message },
            _ => Self::other(error.to_string()),
        }
    }
}

impl ConstraintKind {
    fn from_code(code: u32) -> Self {
        match code >> 8 {
            1 => Self::Check,
            3 => Self::ForeignKey,
            5 => Self::NotNull,
            // Primary key, unique and row id.
            6 | 8 | 10 => Self::Unique,
            _ => Self::Other,
        }
    }
}
