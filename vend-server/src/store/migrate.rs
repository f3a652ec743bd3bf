//! Schema migrations counted in `PRAGMA user_version`.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::StoreError;

/// One step of the schema: a name for people, and its SQL (any number of statements).
///
/// Steps only expand (new tables, new columns with a default, new indexes), so that the version before still runs
/// on the result while servers are replaced. A released step is never edited: the database counts steps, not texts.
pub type Migration = (&'static str, &'static str);

/// Applies the steps the database does not have yet, in order, each in a transaction of its own. Returns how many.
///
/// # Errors
///
/// [`StoreError::Newer`] where the database has more steps than `migrations`; [`StoreError::Migration`] where a
/// step fails, with the ones before it applied.
pub async fn migrate(conn: &mut SqliteConnection, migrations: &[Migration]) -> Result<u32, StoreError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let found = user_version(conn).await?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, (name, sql)) in (1..=known).zip(migrations).filter(|(version, _)| *version > found) {
        apply(conn, version, sql).await.map_err(|error| StoreError::Migration {
            name: (*name).to_owned(),
            message: error.to_string(),
        })?;
        tracing::info!(version, name, "migrated the database");
    }
    Ok(known - found)
}

async fn user_version(conn: &mut SqliteConnection) -> Result<u32, StoreError> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(conn).await?;
    u32::try_from(version).map_err(|_| StoreError::Corrupt { message: format!("user_version is {version}") })
}

async fn apply(conn: &mut SqliteConnection, version: u32, sql: &'static str) -> Result<(), StoreError> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(sql).execute(&mut *transaction).await?;
    // The counter is part of the transaction. A pragma takes no parameters, so the number is written into it.
    let count = AssertSqlSafe(format!("PRAGMA user_version = {version}"));
    sqlx::raw_sql(count).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
