//! Sales from beginning to end, and what happens when the machine or the server is away.

use std::time::Duration;

use vend_protocol::{DropReport, Outcome, Reason, machine_link::Readiness};
use vend_server::engine::{PickRefused, Settings};

use crate::{App, fast, machine::seen};

#[tokio::test]
async fn a_delivered_line_is_booked_and_the_receipt_acknowledged() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    assert_eq!((authorization.order, authorization.lines.len()), (order, 1));
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.state(order).await, "settled");
    assert_eq!(app.number("SELECT stock * 10 + reserved FROM slots WHERE slot = 1").await, 10);
    assert_eq!(app.service.refunded(&attempt), 0);
}

#[tokio::test]
async fn what_did_not_fall_is_refunded_and_only_that() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1, 2, 3]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    let outcomes =
        [seen(DropReport::Seen), seen(DropReport::NotSeen), Outcome::not_started(Reason::EARLIER_LINE)];
    app.machine.vend(&authorization, &outcomes).await;
    app.settled(order).await;
    assert_eq!(app.service.refunded(&attempt), 600);
    assert_eq!(app.number("SELECT COUNT(*) FROM refunds").await, 1);
    assert_eq!(app.number("SELECT SUM(reserved) FROM slots").await, 0);
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_asked_for_and_made_once() {
    let mut app = App::start().await;
    *app.service.mute_refunds.lock().unwrap() = 1;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    app.machine.vend(&authorization, &[seen(DropReport::NotSeen)]).await;
    app.settled(order).await;
    assert_eq!((app.service.refunded(&attempt), app.service.calls("refund")), (200, 1));
    assert_eq!(app.service.calls("refund-query"), 1);
}

#[tokio::test]
async fn no_code_is_asked_for_when_the_machine_is_not_ready_or_away() {
    let mut app = App::start().await;
    let engine = app.server.engine().clone();
    let pick = vend_server::engine::Pick {
        machine: crate::machine_1(),
        slots: vec![crate::slot(1)],
        account: vend_payments::wallet::AccountId::new("ours").unwrap(),
        source: vend_server::engine::Source::Phone,
    };
    let placing = tokio::spawn({
        let pick = pick.clone();
        async move { engine.place_order(pick).await.unwrap() }
    });
    app.machine.answer_prepare(Readiness::NotReady(Reason::DOOR)).await;
    assert_eq!(placing.await.unwrap().unwrap_err(), PickRefused::NotReady(Reason::DOOR));
    // It does not answer at all.
    assert_eq!(app.pick(&[1]).await.unwrap_err(), PickRefused::Silent);
    app.machine.disconnect();
    app.until("SELECT 1").await;
    while app.server.engine().is_connected(crate::machine_1()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.pick(&[1]).await.unwrap_err(), PickRefused::Offline);
    assert_eq!(app.service.calls("create"), 0);
    assert_eq!(app.number("SELECT SUM(reserved) FROM slots").await, 0);
}

#[tokio::test]
async fn the_last_piece_is_sold_once() {
    let mut app = App::start().await;
    app.order(&[1]).await;
    app.order(&[1]).await;
    assert_eq!(app.pick(&[1]).await.unwrap_err(), PickRefused::SoldOut);
    assert_eq!(app.pick(&[2, 2, 2]).await.unwrap_err(), PickRefused::SoldOut);
    assert_eq!(app.pick(&[9]).await.unwrap_err(), PickRefused::NoSlot);
}

#[tokio::test]
async fn an_order_given_up_is_closed_at_the_wallet_and_its_stock_released() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.server.engine().cancel_order(order).await.unwrap();
    app.until(&format!("SELECT state = 'closed' FROM orders WHERE id = {order}")).await;
    assert!(app.service.attempts.lock().unwrap()[&attempt].closed);
    assert_eq!(app.number("SELECT SUM(reserved) FROM slots").await, 0);
}

#[tokio::test]
async fn a_customer_who_pays_while_the_order_is_given_up_gets_the_product() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    // Paid, and the notification is lost: the query before closing finds it.
    app.service.attempts.lock().unwrap().get_mut(&attempt).unwrap().paid = true;
    app.server.engine().cancel_order(order).await.unwrap();
    assert_eq!(app.machine.authorization().await.order, order);
}

#[tokio::test]
async fn a_lost_notification_is_made_up_for_by_a_query() {
    let mut app = App::with(Settings { query_after: vec![Duration::from_millis(50); 3], ..fast() }).await;
    let (order, attempt) = app.order(&[1]).await;
    app.service.attempts.lock().unwrap().get_mut(&attempt).unwrap().paid = true;
    assert_eq!(app.machine.authorization().await.order, order);
}

#[tokio::test]
async fn two_paid_orders_are_authorized_one_after_the_other() {
    let mut app = App::start().await;
    let (first, a) = app.order(&[1]).await;
    let (second, b) = app.order(&[2]).await;
    app.pay(&a).await;
    app.pay(&b).await;
    let one = app.machine.authorization().await;
    app.machine.expect_silence(Duration::from_millis(800)).await;
    let receipt = app.machine.vend(&one, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    let two = app.machine.authorization().await;
    assert_eq!((one.order, two.order), (first, second));
    assert_eq!((one.seq.number(), two.seq.number()), (1, 2));
}

#[tokio::test]
async fn a_server_that_restarts_sends_the_same_authorization_again() {
    let mut app = App::start().await;
    let (_, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let before = app.machine.authorization().await;
    let mut app = app.restart().await;
    app.machine.connect(app.server.mqtt()).await;
    assert_eq!(app.machine.authorization().await, before);
    let receipt = app.machine.vend(&before, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
}

#[tokio::test]
async fn a_receipt_is_acknowledged_again_when_the_acknowledgement_was_lost() {
    let mut app = App::start().await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::NotSeen)]).await;
    app.settled(order).await;
    app.machine.disconnect();
    assert_eq!(app.machine.connect(app.server.mqtt()).await.receipt_watermark, 1, "the watermark");
    app.machine.send(&vend_protocol::machine_link::Receipt(receipt.clone())).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.service.refunded(&attempt), 200);
    assert_eq!(app.number("SELECT COUNT(*) FROM receipts").await, 1);
}

#[tokio::test]
async fn a_silent_machine_is_unknown_then_refunded_and_voided_and_a_late_delivery_is_given_away() {
    let ms = Duration::from_millis;
    let settings = Settings {
        deadline: ms(700),
        max_vend: ms(50),
        silence_grace: ms(50),
        unknown_refund_after: ms(100),
        ..fast()
    };
    let mut app = App::with(settings).await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    let authorization = app.machine.authorization().await;
    app.settled(order).await;
    assert_eq!(app.service.refunded(&attempt), 200);
    assert_eq!(
        app.number("SELECT COUNT(*) FROM alarms WHERE what = 'an outcome is unknown'").await,
        1,
        "counted"
    );
    assert_eq!(app.machine.void().await.seq, authorization.seq);
    // The machine had vended all the same, and says so now.
    let receipt = app.machine.vend(&authorization, &[seen(DropReport::Seen)]).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.number("SELECT given_away FROM lines").await, 1);
    assert_eq!(app.text("SELECT state FROM lines").await, "refunded");
    assert_eq!(app.service.refunded(&attempt), 200, "refunded once, and never charged again");
}

#[tokio::test]
async fn an_authorization_that_was_never_signed_ends_too() {
    let ms = Duration::from_millis;
    let settings =
        Settings { max_vend: ms(50), silence_grace: ms(50), unknown_refund_after: ms(100), ..fast() };
    let mut app = App::with(settings).await;
    let (order, attempt) = app.order(&[1]).await;
    app.service.attempts.lock().unwrap().get_mut(&attempt).unwrap().paid = true;
    // A server that died between numbering and signing, and was away until long after the deadline.
    let id = attempt.clone();
    let died = app.server.engine().db().writer().write("died", async move |conn| {
        sqlx::query("UPDATE attempts SET state = 'paid', transaction_id = 'x', paid_ms = 1, evidence = x'00' WHERE id = $1")
            .bind(&id)
            .execute(&mut *conn)
            .await?;
        sqlx::query("UPDATE orders SET state = 'authorizing', sold_attempt = $1").bind(&id).execute(&mut *conn).await?;
        sqlx::query(
            "INSERT INTO authorizations (enrolment, seq, order_id, state, deadline_ms, created_ms)
             SELECT enrolment, 1, id, 'numbered', 1, 1 FROM orders",
        )
        .execute(&mut *conn)
        .await?;
        sqlx::query("UPDATE enrolments SET issued_seq = 1").execute(&mut *conn).await?;
        sqlx::query("INSERT INTO jobs (kind, subject, due_ms) SELECT 'silence', id, 0 FROM orders").execute(conn).await?;
        Ok(())
    });
    died.await.unwrap();
    app.settled(order).await;
    assert_eq!(app.service.refunded(&attempt), 200);
}

#[tokio::test]
async fn a_payment_that_comes_too_late_to_vend_is_refunded_and_nothing_signed() {
    let mut app = App::with(Settings { deadline: Duration::ZERO, ..fast() }).await;
    let (order, attempt) = app.order(&[1]).await;
    app.pay(&attempt).await;
    app.settled(order).await;
    assert_eq!(app.service.refunded(&attempt), 200);
    assert_eq!(app.number("SELECT COUNT(*) FROM authorizations").await, 0);
    app.machine.expect_silence(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn too_many_unknown_outcomes_stop_the_machine_and_wait_for_the_operator() {
    let mut app = App::with(Settings { doubtful_per_day: 1, ..fast() }).await;
    let (first, a) = app.order(&[1]).await;
    app.pay(&a).await;
    let authorization = app.machine.authorization().await;
    let receipt = app.machine.vend(&authorization, &[Outcome::unwitnessed()]).await;
    app.machine.expect_acknowledged(&receipt).await;
    app.settled(first).await;
    let (second, b) = app.order(&[2]).await;
    app.pay(&b).await;
    let authorization = app.machine.authorization().await;
    let receipt = app.machine.vend(&authorization, &[Outcome::unwitnessed()]).await;
    app.machine.expect_acknowledged(&receipt).await;
    assert_eq!(app.pick(&[3]).await.unwrap_err(), PickRefused::OutOfService);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((app.service.refunded(&a), app.service.refunded(&b)), (200, 0));
    assert_eq!(app.state(second).await, "settling");
}
