//! Payments and receipts that must have no effect, or another one than they ask for.

use std::time::Duration;

use vend_protocol::{
    DropReport, List, ReceiptHash, ReceiptNo,
    machine_link::Receipt,
    signed::{Authority, ReceiptBody, Signed},
};
use vend_server::engine::PickRefused;

use crate::{
    App, Sold,
    machine::{TestMachine, seen},
    machine_1,
};

const SETTLE: Duration = Duration::from_millis(400);

/// Nothing was authorized and the whole of the money goes back.
async fn refunded_and_never_vended(app: &mut App, attempt: &str, amount: u32) {
    for _ in 0..400 {
        if app.service.refunded(attempt) == amount {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(app.service.refunded(attempt), amount);
    assert_eq!(app.number("SELECT COUNT(*) FROM authorizations").await, 0);
    app.machine.expect_silence(SETTLE).await;
}

#[tokio::test]
async fn a_repeated_notification_is_answered_with_success_and_changes_nothing() {
    let mut app = App::start().await;
    let Sold { order, attempt, .. } = app.sell(1).await;
    let history = app.number("SELECT COUNT(*) FROM history").await;
    for _ in 0..3 {
        assert_eq!(app.notify("ours", &attempt, 200, &format!("t{attempt}")).await, 200);
    }
    app.machine.expect_silence(SETTLE).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM history").await, history);
    assert_eq!((app.state(order).await.as_str(), app.service.refunded(&attempt)), ("settled", 0));
}

#[tokio::test]
async fn a_wrong_amount_is_an_orphan_and_goes_back() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    let transaction = format!("t{attempt}");
    {
        // The wallet goes on saying so when it is asked.
        let mut attempts = app.service.attempts.lock().unwrap();
        let held = attempts.get_mut(&attempt).unwrap();
        (held.paid, held.amount) = (true, 199);
    }
    assert_eq!(app.notify("ours", &attempt, 199, &transaction).await, 200, "kept, so it need not come again");
    refunded_and_never_vended(&mut app, &attempt, 199).await;
    assert_eq!(app.text("SELECT why FROM orphans").await, "another amount");
    assert_eq!(app.number("SELECT COUNT(*) FROM alarms").await, 1);
    // The same again is no second orphan.
    assert_eq!(app.notify("ours", &attempt, 199, &transaction).await, 200);
    assert_eq!(app.number("SELECT COUNT(*) FROM refunds").await, 1);
    // The attempt cannot be paid again, so its order does not wait for ever.
    app.server.engine().cancel_order(order).await.unwrap();
    app.until(&format!("SELECT state = 'closed' FROM orders WHERE id = {order}")).await;
    assert_eq!(app.number("SELECT SUM(reserved) FROM slots").await, 0);
}

#[tokio::test]
async fn a_payment_that_was_given_back_at_the_wallet_sells_nothing() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    {
        let mut attempts = app.service.attempts.lock().unwrap();
        let held = attempts.get_mut(&attempt).unwrap();
        (held.paid, held.returned) = (true, true);
    }
    app.server.engine().cancel_order(order).await.unwrap();
    app.until(&format!("SELECT state = 'closed' FROM orders WHERE id = {order}")).await;
    app.machine.expect_silence(SETTLE).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM refunds").await, 0, "it is back already");
    assert_eq!(app.number("SELECT COUNT(*) FROM alarms").await, 1);
}

#[tokio::test]
async fn one_tenants_account_cannot_pay_anothers_order() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    assert_eq!(app.notify("theirs", &attempt, 200, "t1").await, 200);
    refunded_and_never_vended(&mut app, &attempt, 200).await;
    assert_eq!(app.text("SELECT why FROM orphans").await, "another account");
    assert_eq!(app.text("SELECT account FROM refunds").await, "theirs", "it goes back where it came from");
    assert_eq!(app.state(order).await, "offered");
    // And does not spoil it: it is paid, jams, and is refunded in its own account.
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::NotSeen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    app.settled(order).await;
    assert_eq!(
        app.number("SELECT SUM(amount_minor) FROM refunds WHERE account = 'ours' AND state = 'succeeded'")
            .await,
        200
    );
}

#[tokio::test]
async fn another_merchants_payment_is_an_orphan() {
    let mut app = App::start().await;
    let (_, attempt) = app.order(&[1]).await;
    let body = serde_json::json!({ "attempt": attempt, "amount": 200, "transaction": "t2", "merchant": "1900000009" });
    assert_eq!(app.notify_body("ours", &body.to_string()).await, 200);
    assert_eq!(app.text("SELECT why FROM orphans WHERE transaction_id = 't2'").await, "another merchant");
    app.machine.expect_silence(SETTLE).await;
}

#[tokio::test]
async fn a_payment_for_an_unknown_order_is_an_orphan_and_goes_back() {
    let mut app = App::start().await;
    assert_eq!(app.notify("ours", "V99_1_abcdefgh", 200, "t1").await, 200);
    refunded_and_never_vended(&mut app, "V99_1_abcdefgh", 200).await;
}

#[tokio::test]
async fn a_payment_for_a_closed_order_goes_back() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.server.engine().cancel_order(order).await.unwrap();
    app.until(&format!("SELECT state = 'closed' FROM orders WHERE id = {order}")).await;
    assert_eq!(app.notify("ours", &attempt, 200, "t1").await, 200);
    refunded_and_never_vended(&mut app, &attempt, 200).await;
    assert_eq!(app.state(order).await, "closed");
}

#[tokio::test]
async fn a_notification_that_does_not_verify_or_for_no_account_is_a_4xx_without_effect() {
    let mut app = App::start().await;
    app.order(&[1]).await;
    assert!((400..500).contains(&app.notify_body("ours", "not json").await));
    assert_eq!(app.notify_body("nobody", "{}").await, 404);
    app.machine.expect_silence(SETTLE).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM orphans").await, 0);
}

#[tokio::test]
async fn evidence_that_was_changed_in_the_database_sells_nothing() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    let id = attempt.clone();
    // Somebody with write access to the database, and without the seal key, marks an order as paid.
    app.server
        .engine()
        .db()
        .writer()
        .write("forge", async move |conn| {
            sqlx::query(
                "UPDATE attempts SET state = 'paid', transaction_id = 'x', paid_ms = 9999999999999, evidence = x'00' WHERE id = $1",
            )
            .bind(&id)
            .execute(&mut *conn)
            .await?;
            sqlx::query("UPDATE orders SET state = 'paid', sold_attempt = $1").bind(&id).execute(&mut *conn).await?;
            sqlx::query("INSERT INTO jobs (kind, subject, due_ms) SELECT 'authorize', id, 0 FROM orders").execute(conn).await?;
            Ok(())
        })
        .await
        .unwrap();
    app.settled(order).await;
    app.machine.expect_silence(SETTLE).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM authorizations WHERE signed IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_receipt_with_another_key_is_neither_stored_nor_acknowledged() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    let genuine = app.machine.receipt(&authorization, &[seen(DropReport::Seen)]);
    // Every field as the machine's own, and its key's name; only the signature is somebody else's.
    let body: ReceiptBody = vend_protocol::codec::decode(&genuine.body).unwrap();
    let forged = vend_payments::signed::Signer::from_seed(&[9; 32]).sign(&body).unwrap();
    let forged = Signed { key_id: genuine.key_id, ..forged };
    app.machine.send(&Receipt(forged)).await;
    app.machine.expect_silence(SETTLE).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM receipts").await, 0);
    assert_eq!(app.state(order).await, "authorized");
    app.machine.send(&Receipt(genuine.clone())).await;
    app.machine.expect_acknowledged(&genuine).await;
}

#[tokio::test]
async fn a_gap_in_the_receipts_is_kept_acknowledged_and_stops_authorizations() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    app.machine.number = 1;
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.text("SELECT quarantined FROM receipts").await, "the receipt before it is missing");
    assert_eq!(app.state(order).await, "taken", "it had no effect");
    assert_eq!(app.pick(&[2]).await.unwrap_err(), PickRefused::OutOfService);
    app.server.engine().lift_quarantine(machine_1(), "operator").await.unwrap();
    app.order(&[2]).await;
}

#[tokio::test]
async fn a_server_restored_from_a_backup_takes_the_receipts_it_forgot_and_goes_on() {
    let mut app = App::start().await;
    let Sold { receipt, .. } = app.sell(1).await;
    // The database as it was before that sale.
    let forget = app.server.engine().db().writer().write("forget", async move |conn| {
        for table in
            ["receipts", "authorizations", "history", "alarms", "refunds", "attempts", "lines", "orders"]
        {
            sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *conn).await?;
        }
        sqlx::query("UPDATE enrolments SET issued_seq = 0").execute(conn).await?;
        Ok(())
    });
    forget.await.unwrap();
    app.machine.disconnect();
    assert_eq!(app.machine.connect(app.server.mqtt()).await.receipt_watermark, 0, "an older watermark");
    app.machine.send(&Receipt(receipt.clone())).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.number("SELECT issued_seq FROM enrolments").await, 1, "raised");
    assert_eq!(app.number("SELECT COUNT(*) FROM alarms").await, 2);
    // No sequence is used twice, and sales go on.
    let (order, attempt) = app.order(&[2]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    assert_eq!(authorization.seq.number(), 2);
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    app.settled(order).await;
}

#[tokio::test]
async fn two_receipts_of_one_number_are_both_kept_and_only_the_first_has_effect() {
    let mut app = App::start().await;
    let Sold { order, attempt, authorization, .. } = app.sell(1).await;
    app.machine.number = 0;
    app.machine.last_hash = ReceiptHash::START;
    let second = app.machine.receipt(&authorization, &[seen(DropReport::NotSeen)]);
    app.machine.send(&Receipt(second.clone())).await;
    app.machine.expect_acknowledged(&second).await;
    assert_eq!(app.number("SELECT COUNT(*) FROM receipts").await, 2);
    assert_eq!((app.state(order).await.as_str(), app.service.refunded(&attempt)), ("settled", 0));
    assert_eq!(app.number("SELECT COUNT(*) FROM enrolments WHERE quarantined IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_second_history_of_one_journal_moves_nothing_for_another_order_either() {
    let mut app = App::start().await;
    app.sell(1).await;
    // The journal was set back: number 1 is told again, now about the next order.
    let (order, attempt) = app.order(&[2]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    app.machine.number = 0;
    app.machine.last_hash = ReceiptHash::START;
    let fork = app.machine.vend(&authorization, &[seen(DropReport::NotSeen)]).await;
    app.machine.expect_acknowledged(&fork).await;
    assert_eq!(
        app.text("SELECT quarantined FROM receipts WHERE quarantined IS NOT NULL").await,
        "another receipt of the same number exists"
    );
    assert_eq!(app.state(order).await, "taken");
    assert_eq!(app.service.refunded(&attempt), 0);
}

#[tokio::test]
async fn a_receipt_for_an_authorization_that_was_not_given_moves_nothing() {
    let mut app = App::start().await;
    let (order, _) = app.order(&[1]).await;
    let body = ReceiptBody {
        enrolment: app.machine.signer.public_key().fingerprint(),
        journal: app.machine.journal,
        number: ReceiptNo::new(1).unwrap(),
        previous: ReceiptHash::START,
        authority: Authority::Authorization { seq: vend_protocol::AuthSeq::new(1).unwrap(), order },
        at_ms: 0,
        lines: List::default(),
    };
    let receipt = app.machine.signer.sign(&body).unwrap();
    app.machine.send(&Receipt(receipt.clone())).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.state(order).await, "offered");
    assert_eq!(
        app.text("SELECT quarantined FROM receipts").await,
        "it answers an authorization that was not given"
    );
}

#[tokio::test]
async fn a_replaced_board_makes_open_orders_unknown_and_the_old_one_cannot_log_in() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    app.machine.authorization().await;
    let mut new = TestMachine::enrol(&app.server, machine_1(), 2).await;
    new.connect(app.server.mqtt()).await;
    // An authorization binds to the key it was made for: the new board does not get it.
    new.expect_silence(SETTLE).await;
    app.until(&format!(
        "SELECT COUNT(*) > 0 FROM history WHERE order_id = {order} AND what LIKE '%unknown%'"
    ))
    .await;
    assert_eq!(app.number("SELECT COUNT(*) FROM enrolments WHERE active = 1").await, 1);
}
