use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tempfile::TempDir;
use tokio::sync::{Semaphore, oneshot};

use crate::store::{ConstraintKind, Database, DatabaseOptions, Migration, StoreError, Writer, migrate};

const SCHEMA: &[Migration] = &[
    ("sales", "CREATE TABLE sale (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL CHECK (slot < 100));"),
    (
        "refunds",
        "CREATE TABLE refund (sale INTEGER NOT NULL REFERENCES sale (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE INDEX refund_sale ON refund (sale);",
    ),
];

struct Fixture {
    path: PathBuf,
    database: Database,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vend.db");
        let database = Database::open(&path, DatabaseOptions::default(), SCHEMA).await.unwrap();
        Self { path, database, _folder: folder }
    }

    fn writer(&self) -> Writer {
        self.database.writer().clone()
    }

    async fn sales(&self) -> i64 {
        sales(self.database.readers()).await
    }

    /// Holds the writer inside a transaction until the permit comes, so that what is queued meanwhile is one batch.
    async fn hold(&self) -> (Arc<Semaphore>, tokio::task::JoinHandle<Result<(), StoreError>>) {
        let gate = Arc::new(Semaphore::new(0));
        let (begun, has_begun) = oneshot::channel();
        let begun = std::sync::Mutex::new(Some(begun));
        let (writer, held) = (self.writer(), Arc::clone(&gate));
        let task = tokio::spawn(async move {
            writer
                .write("hold", async move |_| {
                    if let Some(begun) = begun.lock().unwrap().take() {
                        begun.send(()).unwrap();
                    }
                    let _permit = held.acquire().await.unwrap();
                    Ok(())
                })
                .await
        });
        has_begun.await.unwrap();
        (gate, task)
    }
}

async fn sales(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sale").fetch_one(pool).await.unwrap()
}

async fn insert(conn: &mut SqliteConnection, id: i64, slot: i64) -> Result<i64, StoreError> {
    sqlx::query("INSERT INTO sale (id, slot) VALUES ($1, $2)").bind(id).bind(slot).execute(conn).await?;
    Ok(id)
}

fn sell(writer: &Writer, id: i64, slot: i64) -> tokio::task::JoinHandle<Result<i64, StoreError>> {
    let writer = writer.clone();
    tokio::spawn(async move { writer.write("sell", async move |conn| insert(conn, id, slot).await).await })
}

async fn until_queued(writer: &Writer, len: usize) {
    while writer.queue.max_capacity() - writer.queue.capacity() < len {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn concurrent_writes_share_commits() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let (gate, held) = fixture.hold().await;
    let writes = (0..200).map(|id| sell(&writer, id, 1)).collect::<Vec<_>>();
    until_queued(&writer, 200).await;
    gate.add_permits(1);
    held.await.unwrap().unwrap();
    for (id, write) in (0..).zip(writes) {
        assert_eq!(write.await.unwrap(), Ok(id));
    }
    assert_eq!(fixture.sales().await, 200);
    let stats = writer.stats();
    assert_eq!((stats.writes, stats.reruns), (201, 0));
    assert_eq!(stats.commits, 2, "one for the held write, one for the 200 queued behind it");
}

#[tokio::test]
async fn a_failing_write_harms_no_batch_mate() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let (gate, held) = fixture.hold().await;
    // A constraint, a panic and a refusal of the closure's own, each after a first statement that worked.
    let good = (0..5).map(|id| sell(&writer, id, 1)).collect::<Vec<_>>();
    let twice = sell(&writer, 3, 1);
    let checked = sell(&writer, 50, 100);
    let panics = {
        let writer = writer.clone();
        tokio::spawn(async move {
            writer
                .write("panics", async move |conn| -> Result<(), StoreError> {
                    insert(conn, 60, 1).await?;
                    panic!("a bug in a closure")
                })
                .await
        })
    };
    let refused = {
        let writer = writer.clone();
        tokio::spawn(async move {
            writer
                .write("refused", async move |conn| -> Result<(), StoreError> {
                    insert(conn, 70, 1).await?;
                    Err(StoreError::other("not today"))
                })
                .await
        })
    };
    until_queued(&writer, 9).await;
    gate.add_permits(1);
    held.await.unwrap().unwrap();
    for write in join_all(good).await {
        assert!(write.unwrap().is_ok());
    }
    assert!(twice.await.unwrap().unwrap_err().is_unique_violation());
    let error = checked.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Constraint { kind: ConstraintKind::Check, .. }), "{error}");
    assert_eq!(panics.await.unwrap(), Err(StoreError::Panicked { label: "panics" }));
    assert_eq!(refused.await.unwrap(), Err(StoreError::other("not today")));
    assert_eq!(fixture.sales().await, 5, "a write that failed left something behind");
    assert_eq!(writer.stats().reruns, 9);
    assert_eq!(sell(&writer, 6, 1).await.unwrap(), Ok(6), "the writer goes on");
}

#[tokio::test]
async fn nothing_is_answered_before_the_commit() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let (gate, held) = fixture.hold().await;
    let first = sell(&writer, 1, 1);
    until_queued(&writer, 1).await;
    // In the same batch as the first: it has run by the time this one is waiting.
    let (running, runs) = oneshot::channel();
    let running = std::sync::Mutex::new(Some(running));
    let second_gate = Arc::new(Semaphore::new(0));
    let second = {
        let (writer, gate) = (writer.clone(), Arc::clone(&second_gate));
        tokio::spawn(async move {
            writer
                .write("second", async move |_| {
                    running.lock().unwrap().take().unwrap().send(()).unwrap();
                    let _permit = gate.acquire().await.unwrap();
                    Ok(())
                })
                .await
        })
    };
    until_queued(&writer, 2).await;
    gate.add_permits(1);
    held.await.unwrap().unwrap();
    runs.await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!first.is_finished(), "answered before the commit");
    assert_eq!(fixture.sales().await, 0);
    second_gate.add_permits(1);
    second.await.unwrap().unwrap();
    assert_eq!(first.await.unwrap(), Ok(1));
    assert_eq!(fixture.sales().await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_for_certain_is_sorted_out_one_by_one() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let (gate, held) = fixture.hold().await;
    let good = sell(&writer, 1, 1);
    let orphan = {
        let writer = writer.clone();
        tokio::spawn(async move {
            writer
                .write("orphan refund", async move |conn| {
                    sqlx::query("INSERT INTO refund (sale) VALUES (99)").execute(conn).await?;
                    Ok(())
                })
                .await
        })
    };
    until_queued(&writer, 2).await;
    gate.add_permits(1);
    held.await.unwrap().unwrap();
    assert_eq!(good.await.unwrap(), Ok(1));
    let error = orphan.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Constraint { kind: ConstraintKind::ForeignKey, .. }), "{error}");
}

#[tokio::test]
async fn a_transaction_ended_under_the_batch_is_answered_unknown() {
    let fixture = Fixture::new().await;
    // What SQLite does by itself on a full disk, swallowed by the closure: the COMMIT then finds no transaction.
    let write = fixture.database.writer().write("swallows", async |conn| {
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        Ok(())
    });
    let error = write.await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert_eq!(
        sell(&fixture.writer(), 1, 1).await.unwrap(),
        Ok(1),
        "the writer goes on with a new connection"
    );
}

#[tokio::test]
async fn a_full_database_harms_only_the_write_that_does_not_fit() {
    let fixture = Fixture::new().await;
    let writer = fixture.writer();
    let table = writer.write("table", async |conn| {
        sqlx::raw_sql("CREATE TABLE fat (data BLOB)").execute(conn).await?;
        Ok(())
    });
    table.await.unwrap();
    let (gate, held) = fixture.hold().await;
    let before = sell(&writer, 1, 1);
    let runs = Arc::new(AtomicU32::new(0));
    let fat = {
        let (writer, runs) = (writer.clone(), Arc::clone(&runs));
        tokio::spawn(async move {
            writer
                .write("fat", async move |conn| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    // The limit is the connection's own, and the writer takes a new one after this error.
                    sqlx::raw_sql("PRAGMA max_page_count = 40").execute(&mut *conn).await?;
                    sqlx::query("INSERT INTO fat (data) VALUES (zeroblob(1000000))").execute(conn).await?;
                    Ok(())
                })
                .await
        })
    };
    until_queued(&writer, 2).await;
    let after = sell(&writer, 2, 1);
    until_queued(&writer, 3).await;
    gate.add_permits(1);
    held.await.unwrap().unwrap();
    assert_eq!(fat.await.unwrap(), Err(StoreError::Full));
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!((before.await.unwrap(), after.await.unwrap()), (Ok(1), Ok(2)));
    assert_eq!(fixture.sales().await, 2);
}

#[tokio::test]
async fn a_held_database_is_refused_and_a_closed_one_is_free() {
    let fixture = Fixture::new().await;
    let again = Database::open(&fixture.path, DatabaseOptions::default(), SCHEMA).await.unwrap_err();
    assert!(matches!(again, StoreError::Locked { .. }), "{again}");
    assert!(again.to_string().contains("vend.db.lock"), "{again}");
    // Another name for the same file is the same file.
    let link = fixture.path.with_file_name("other.db");
    std::os::unix::fs::symlink(&fixture.path, &link).unwrap();
    let linked = Database::open(&link, DatabaseOptions::default(), SCHEMA).await.unwrap_err();
    assert!(matches!(linked, StoreError::Locked { .. }), "{linked}");

    let writer = fixture.writer();
    assert_eq!(sell(&writer, 1, 1).await.unwrap(), Ok(1));
    fixture.database.close().await;
    assert_eq!(sell(&writer, 2, 1).await.unwrap(), Err(StoreError::Closed));
    let reopened = Database::open(&fixture.path, DatabaseOptions::default(), SCHEMA).await.unwrap();
    assert_eq!(sales(reopened.readers()).await, 1);
}

#[tokio::test]
async fn readers_cannot_write_and_every_connection_is_durable() {
    let fixture = Fixture::new().await;
    let mut reader = fixture.database.readers().acquire().await.unwrap();
    let error = StoreError::from(sqlx::query("DELETE FROM sale").execute(&mut *reader).await.unwrap_err());
    assert_eq!(error, StoreError::ReadOnly);
    let settings = fixture.database.writer().write("settings", async |conn| {
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *conn).await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *conn).await?;
        let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *conn).await?;
        Ok((mode, synchronous, keys))
    });
    assert_eq!(settings.await.unwrap(), ("wal".to_owned(), 2, 1));
}

#[tokio::test]
async fn migrations_run_once_in_order_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vend.db");
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    let broken = ("broken", "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);");
    let error = migrate(&mut conn, &[SCHEMA[0], broken]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Migration { name, .. } if name == "broken"), "{error}");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let count: i64 = sqlx::query_scalar(tables).fetch_one(&mut conn).await.unwrap();
    assert_eq!(count, 1, "the first step stays, the second leaves nothing");
    assert_eq!(migrate(&mut conn, SCHEMA).await, Ok(1));
    assert_eq!(migrate(&mut conn, SCHEMA).await, Ok(0));
    assert_eq!(migrate(&mut conn, &SCHEMA[..1]).await, Err(StoreError::Newer { found: 2, known: 1 }));
}
