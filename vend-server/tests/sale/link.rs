//! What somebody between machine and server can do with the messages he carries: nothing that moves money, stock or a motor.

use std::time::Duration;

use vend_payments::{
    keys::TrustedKeys,
    session::{SessionKeys, SessionSeal},
    signed::Signer,
};
use vend_protocol::{
    DropReport, List, MachineId,
    frame::MACHINE_FRAME_MAX,
    machine_link::{
        Accepted, End, KeyList, KeyListApplied, Pending, Receipt, Rejected, Rejection, Unsupported, kind,
    },
    signed::{HelloBody, Revision},
};
use vend_server::engine::{PickRefused, Settings};

use crate::{App, fast, machine::seen, machine_1};

const SETTLE: Duration = Duration::from_millis(400);

/// Everything that a hello may change.
const STATE: &str = "SELECT (SELECT issued_seq || ' ' || restored_below FROM enrolments)
    || (SELECT ' ' || plan_applied || ' ' || COALESCE(seen_ms, 'never') FROM machines)
    || (SELECT ' ' || COUNT(*) FROM alarms) || (SELECT ' ' || COUNT(*) FROM history)";

#[tokio::test]
async fn a_replayed_hello_changes_nothing_and_nothing_is_sold_over_it() {
    let mut app = App::start().await;
    app.sell(1).await;
    // Somebody records the next connection, on which the machine says that it has used sequence 1.
    app.machine.disconnect();
    app.machine.dial(app.server.mqtt()).await;
    app.machine.greet(app.machine.hello()).await;
    let hello = app.machine.last_frame();
    app.machine.ask_time().await;
    let sealed = app.machine.last_frame();
    // A second order is paid and waits for this machine.
    let (order, attempt) = app.order(&[2]).await;
    app.pay(&attempt).await;
    assert_eq!(app.machine.authorization().await.order, order);
    app.machine.disconnect();
    // A database from which each part of the hello would be news.
    let forget = app.server.engine().db().writer().write("forget", async move |conn| {
        sqlx::query("UPDATE enrolments SET issued_seq = 0").execute(&mut *conn).await?;
        sqlx::query("UPDATE machines SET plan_applied = 0, seen_ms = NULL").execute(conn).await?;
        Ok(())
    });
    forget.await.unwrap();
    let before = app.text(STATE).await;

    app.machine.dial(app.server.mqtt()).await;
    app.machine.send_frame(hello).await;
    let Accepted(_) = app.machine.expect().await;
    assert!(!app.server.engine().is_connected(machine_1()));
    assert_eq!(app.pick(&[3]).await.unwrap_err(), PickRefused::Offline);
    app.machine.expect_silence(SETTLE).await;
    app.machine.send_frame(sealed).await;
    app.machine.expect_closed().await;
    assert_eq!(app.text(STATE).await, before);

    // The machine itself says the same, and is believed.
    app.machine.connect(app.server.mqtt()).await;
    assert_eq!(app.machine.authorization().await.order, order);
    assert_eq!(app.number("SELECT issued_seq FROM enrolments").await, 1);
    assert_eq!(app.number("SELECT COUNT(*) FROM alarms").await, 1);
    assert_eq!(app.number("SELECT plan_applied = plan AND seen_ms IS NOT NULL FROM machines").await, 1);
}

/// An authorization that the machine has, and the receipt it has written for it.
async fn sold(app: &mut App) -> Receipt {
    let (_, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    Receipt(app.machine.receipt(&authorization, &[seen(DropReport::NotSeen)]))
}

/// The connection is closed and the receipt has had no effect; on the next one it is taken.
async fn refused_without_effect(mut app: App, Receipt(receipt): Receipt) {
    app.machine.expect_closed().await;
    assert_eq!(app.number("SELECT COUNT(*) FROM receipts").await, 0);
    assert_eq!(app.text("SELECT state FROM orders").await, "authorized");
    assert_eq!(app.number("SELECT COUNT(*) FROM refunds").await, 0);
    app.machine.connect(app.server.mqtt()).await;
    app.machine.send(&Receipt(receipt.clone())).await;
    app.machine.authorization().await;
    app.machine.expect_acknowledged(&receipt).await;
    app.until("SELECT state = 'settled' FROM orders").await;
}

#[tokio::test]
async fn a_message_with_another_code_closes_without_effect() {
    let mut app = App::start().await;
    let receipt = sold(&mut app).await;
    app.machine.seal_with(SessionSeal::new(End::Machine, SessionKeys::new([1; 32], [2; 32])));
    app.machine.send(&receipt).await;
    refused_without_effect(app, receipt).await;
}

#[tokio::test]
async fn a_message_without_a_code_closes_without_effect() {
    let mut app = App::start().await;
    let receipt = sold(&mut app).await;
    let frame = app.machine.plain_frame(&receipt);
    app.machine.send_frame(frame).await;
    refused_without_effect(app, receipt).await;
}

#[tokio::test]
async fn a_message_of_an_older_connection_is_refused_at_its_very_place_in_the_next() {
    let mut app = App::start().await;
    let receipt = sold(&mut app).await;
    app.machine.disconnect();
    app.machine.connect(app.server.mqtt()).await;
    // Third after the hello and a question for the time; it is recorded and never arrives.
    let held_back = app.machine.frame(&receipt);
    app.machine.disconnect();
    app.machine.dial(app.server.mqtt()).await;
    app.machine.greet(app.machine.hello()).await;
    app.machine.ask_time().await;
    app.machine.authorization().await;
    app.machine.send_frame(held_back).await;
    refused_without_effect(app, receipt).await;
}

#[tokio::test]
async fn accepted_says_what_the_server_reads_and_what_it_goes_by() {
    let mut app = App::start().await;
    app.machine.disconnect();
    let accepted = app.machine.connect(app.server.mqtt()).await;
    let receipts_only = List::try_from_iter([Revision { kind: kind::RECEIPT, revision: 1 }]).unwrap();
    assert_eq!(accepted.revisions, receipts_only);
    assert_eq!(usize::from(accepted.frame_max), MACHINE_FRAME_MAX);
    assert_eq!((accepted.key_list, accepted.config, accepted.floor_seq), (1, 0, 0));
    let now = u64::try_from(vend_server::engine::now_ms()).unwrap();
    assert!(now.abs_diff(accepted.server_time_ms) < 10_000);
}

#[tokio::test]
async fn a_hello_that_is_not_the_machines_or_reads_too_little_is_turned_away() {
    let mut app = App::start().await;
    let hello = app.machine.hello();
    // The machine's own key is made of ones.
    let cases = [
        (9, hello.clone(), Rejection::SIGNATURE),
        (1, HelloBody { machine: MachineId::new(2).unwrap(), ..hello.clone() }, Rejection::LOGIN),
        (1, HelloBody { revisions: List::default(), ..hello }, Rejection::REVISION),
    ];
    for (seed, hello, code) in cases {
        app.machine.disconnect();
        app.machine.dial(app.server.mqtt()).await;
        app.machine.signer = Signer::from_seed(&[seed; 32]);
        app.machine.say_hello(hello).await;
        assert_eq!(app.machine.expect::<Rejected>().await.code, code);
        assert!(!app.server.engine().is_connected(machine_1()));
    }
    app.machine.disconnect();
    app.machine.dial(app.server.mqtt()).await;
    app.machine.send_kind(kind::HELLO, 2).await;
    assert_eq!(app.machine.expect::<Rejected>().await.code, Rejection::REVISION);
    app.machine.connect(app.server.mqtt()).await;
}

#[tokio::test]
async fn a_hello_waits_while_the_database_does_not_answer() {
    let mut app = App::start().await;
    app.machine.disconnect();
    app.machine.dial(app.server.mqtt()).await;
    // The login is through: it needs the database too.
    tokio::time::sleep(SETTLE).await;
    app.server.engine().db().readers().close().await;
    app.machine.say_hello(app.machine.hello()).await;
    assert_eq!(app.machine.expect::<Pending>().await.retry_s, 30);
}

#[tokio::test]
async fn a_machine_with_an_older_key_list_is_sent_the_present_one_before_it_is_accepted() {
    let mut app = App::start().await;
    app.machine.disconnect();
    app.machine.dial(app.server.mqtt()).await;
    app.machine.say_hello(HelloBody { key_list: 0, ..app.machine.hello() }).await;
    let KeyList(signed) = app.machine.expect().await;
    let root = app.root();
    let list = TrustedKeys::from_root(&root.to_bytes(), root.fingerprint(), &signed).unwrap();
    assert_eq!(list.version(), app.machine.hello().key_list);
    app.machine.greet(app.machine.hello()).await;
    app.machine.ask_time().await;
    app.machine.send(&KeyListApplied { version: list.version() }).await;
    app.machine.ask_time().await;
}

#[tokio::test]
async fn what_the_server_has_no_use_for_is_answered_once_and_blocks_nothing() {
    let mut app = App::start().await;
    let unknown = 0x3E;
    for kind in [
        kind::ORDER_REQUEST,
        kind::CONFIG_APPLIED,
        kind::STOCK_REPORT,
        kind::FAULT,
        kind::SECURITY_EVENT,
        kind::COMMAND_RESULT,
        kind::CHUNK_REQUEST,
        kind::UPDATE_VERDICT,
        kind::CLAIM,
        unknown,
    ] {
        let sequence = app.machine.send_kind(kind, 1).await;
        let answer: Unsupported = app.machine.expect().await;
        assert_eq!(answer, Unsupported { kind, revision: 1, sequence });
    }
    for kind in [kind::TELEMETRY, kind::LOG_LINE, kind::ORDER_CANCEL] {
        app.machine.send_kind(kind, 1).await;
    }
    // The next thing that comes is the answer to this.
    app.machine.ask_time().await;
}

#[tokio::test]
async fn a_machine_whose_own_messages_stop_is_closed_though_the_transport_stands() {
    let mut app = App::with(Settings { keepalive: Duration::from_millis(500), ..fast() }).await;
    app.machine.expect_closed().await;
    assert!(!app.server.engine().is_connected(machine_1()));
}
