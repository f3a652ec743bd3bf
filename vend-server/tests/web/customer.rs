//! Picking, and following an order.

use std::time::Duration;

use crate::App;

#[tokio::test]
async fn the_screen_shows_products_and_the_label() {
    let app = App::start().await;
    let page = app.get("/m/1/screen").await;
    assert_eq!(page.status, 200);
    page.shows("<h1>Lobby</h1>").shows("Building 2").shows("Water").shows("2.00 CNY").shows("sold out");
    page.shows("or pick on your phone").shows("This machine is not connected at the moment.");
    assert!(page.body.contains("id=\"slot-2\" name=\"slot\" value=\"2\" disabled"), "{}", page.body);
    assert!(!page.body.contains("Pay with"), "no money is asked for while nothing can be sold");
    page.shows("<noscript><meta http-equiv=\"refresh\" content=\"15; url=/m/1/screen\"></noscript>");
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn the_screen_shows_live_orders_with_their_code_and_the_ones_that_just_ended() {
    let app = App::start().await;
    let offered = app.order("offered", 1_000).await;
    let taken = app.order("taken", 60_000).await;
    app.order("settled", 60_000).await;
    app.order("settling", 3_600_000).await;
    let page = app.get("/m/1/screen").await;
    assert_eq!(page.body.matches("<article class=\"card").count(), 2, "{}", page.body);
    page.shows("Scan with WeChat Pay").shows("QR code to pay with WeChat Pay");
    page.shows(&format!("action=\"/o/{offered}/cancel\"")).shows("Paid: the machine is at work");
    assert!(!page.body.contains(&format!("action=\"/o/{taken}/cancel\"")), "a paid order is not cancelled");
    page.shows("content=\"5; url=/m/1/screen\"");
    app.order("settled", 100).await;
    let page = app.get("/m/1/screen").await;
    assert_eq!(page.body.matches("<article class=\"card").count(), 3);
}

#[tokio::test]
async fn the_phone_page_says_where_to_pay() {
    let app = App::start().await;
    app.get("/m/1").await.shows("scanning a code on the machine's screen").shows("value=\"phone\"");
}

#[tokio::test]
async fn there_are_only_the_machines_there_are() {
    let app = App::start().await;
    for path in
        ["/m/2", "/m/2/screen", "/m/0", "/m/007", "/m/4294967296", "/m/x/screen", "/m/%FF", "/m/2/events"]
    {
        let page = app.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.shows("There is no such machine.").shows("<html");
    }
}

#[tokio::test]
async fn a_refused_pick_comes_back_in_words_with_its_status() {
    let app = App::start().await;
    let cases: [(&str, &[(&str, &str)], u16, &str); 8] = [
        (
            "/m/1/orders",
            &[("slot", "1"), ("wallet", "wechat")],
            409,
            "This machine is not connected at the moment.",
        ),
        ("/m/2/orders", &[("slot", "1"), ("wallet", "wechat")], 404, "There is no such machine."),
        ("/m/1/orders", &[("wallet", "wechat")], 422, "Pick a product first."),
        ("/m/1/orders", &[("slot", "1000"), ("wallet", "wechat")], 422, "There is no product in that slot."),
        ("/m/1/orders", &[("slot", "<b>"), ("wallet", "wechat")], 422, "There is no product in that slot."),
        ("/m/1/orders", &[("slot", "1"), ("wallet", "paypal")], 422, "This wallet is not accepted here."),
        ("/m/1/orders", &[("slot", "1")], 422, "This wallet is not accepted here."),
        (
            "/m/1/orders",
            &[("slot", "1"), ("wallet", "wechat"), ("from", "mars")],
            422,
            "from the screen or from a phone",
        ),
    ];
    let nine = vec![("slot", "1"); 9].into_iter().chain([("wallet", "wechat")]).collect::<Vec<_>>();
    let many = ("/m/1/orders", nine.as_slice(), 422, "At most 8 products at once.");
    for (path, fields, status, words) in cases.into_iter().chain([many]) {
        let page = app.post(path, fields).await;
        assert_eq!(page.status, status, "{fields:?}");
        page.shows(words).shows("<html");
        let data = app.post_json(path, fields).await;
        assert_eq!(data.status, status, "{fields:?}");
        assert!(data.json()["error"].as_str().unwrap().contains(words), "{}", data.body);
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM orders").await, 0);
}

#[tokio::test]
async fn a_refused_pick_keeps_what_was_picked() {
    let app = App::start().await;
    let page = app.post("/m/1/orders", &[("slot", "1"), ("wallet", "wechat"), ("from", "screen")]).await;
    assert_eq!(page.status, 409);
    page.shows("name=\"slot\" value=\"1\" checked").shows("role=\"alert\"").shows("class=\"screen\"");
}

#[tokio::test]
async fn an_order_is_shown_to_whoever_has_its_token() {
    let app = App::start().await;
    let order = app.order("offered", 1_000).await;
    let page = app.get(&format!("/o/{order}?t=t{order}")).await;
    assert_eq!(page.status, 200);
    page.shows("Waiting for your payment")
        .shows("Scan the code on the machine's screen with WeChat Pay")
        .shows("Water");
    let seconds: i64 =
        page.body.split("data-seconds=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!((170..=179).contains(&seconds), "{seconds}");
    for path in [
        format!("/o/{order}"),
        format!("/o/{order}?t="),
        format!("/o/{order}?t=t{order}0"),
        format!("/o/{}?t=t{order}", order + 1),
        format!("/o/{order}.json?t=x"),
        format!("/o/{order}/events?t=x"),
        "/o/0?t=t0".to_owned(),
        "/o/9007199254740992?t=t0".to_owned(),
        "/o/x?t=t0".to_owned(),
    ] {
        assert_eq!(app.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(app.post(&format!("/o/{order}/cancel"), &[("t", "x")]).await.status, 404);
}

#[tokio::test]
async fn an_order_as_data() {
    let app = App::start().await;
    let order = app.order("settled", 60_000).await;
    app.run("UPDATE lines SET state = 'refunded', verdict = 'not delivered: motor over-current'").await;
    let expected = serde_json::json!({
        "order": order,
        "state": "settled",
        "lines": [{
            "slot": 1,
            "name": "Water",
            "price_minor": 200,
            "state": "refunded",
            "verdict": "not delivered: motor over-current",
        }],
    });
    assert_eq!(app.get(&format!("/o/{order}.json?t=t{order}")).await.json(), expected);
    assert_eq!(app.get_json(&format!("/o/{order}?t=t{order}")).await.json(), expected);
    let wrong = app.get_json(&format!("/o/{order}?t=x")).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.json()),
        (404, serde_json::json!({"error": "There is no such order."}))
    );
}

#[tokio::test]
async fn what_became_of_an_order_is_told_in_words() {
    let app = App::start().await;
    let order = app.order("settling", 60_000).await;
    let path = format!("/o/{order}?t=t{order}");
    app.run("UPDATE lines SET state = 'refunding', verdict = 'not delivered'").await;
    app.run("INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms) VALUES ('R1', 'V1', 'wechat', 1, 200, 200, 156, 'sent', 'not delivered', 0)").await;
    let page = app.get(&path).await;
    page.shows("Your money is on its way back")
        .shows("it did not come out")
        .shows("Refund of 2.00 CNY: asked of the wallet.");
    app.run("UPDATE lines SET state = 'refunded'").await;
    app.run("UPDATE orders SET state = 'settled', ended_ms = 1").await;
    app.get(&path).await.shows("Nothing came out: your money was refunded").shows("Buy something else");
    app.run("UPDATE lines SET state = 'delivered', verdict = 'delivered'").await;
    app.get(&path).await.shows("Done: please take your products").shows("it came out");
    app.run("UPDATE orders SET state = 'refused', note = 'the machine does not answer; nothing was charged'")
        .await;
    app.get(&path).await.shows("Not sold: nothing was charged").shows("the machine does not answer");
}

#[tokio::test]
async fn cancelling_brings_the_order_to_its_end_early() {
    let app = App::start().await;
    let order = app.order("offered", 1_000).await;
    app.run("INSERT INTO jobs (kind, subject, due_ms) VALUES ('expire', '1', 9999999999999)").await;
    let token = format!("t{order}");
    let back = app.post(&format!("/o/{order}/cancel"), &[("t", &token)]).await;
    assert_eq!(back.location(), format!("/o/{order}?t={token}"));
    let due = app.number("SELECT due_ms FROM jobs WHERE kind = 'expire'").await;
    assert!(due <= vend_server::engine::now_ms());
    let back = app.post(&format!("/o/{order}/cancel"), &[("t", &token), ("from", "screen")]).await;
    assert_eq!(back.location(), "/m/1/screen");
}

#[tokio::test]
async fn a_change_of_the_machine_is_an_event() {
    let app = App::start().await;
    let mut machine = app.request(reqwest::Method::GET, "/m/1/events").send().await.unwrap();
    assert_eq!(machine.headers()["content-type"], "text/event-stream");
    let other = app.engine.add_machine(
        vend_protocol::MachineId::new(2).unwrap(),
        "Roof",
        "",
        vend_protocol::Currency::CNY,
    );
    other.await.unwrap();
    app.engine.set_stopped(vend_protocol::MachineId::new(2).unwrap(), Some("not ours")).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(200), machine.chunk()).await;
    assert!(silent.is_err(), "another machine's change is none of this page: {silent:?}");
    app.engine.set_stopped(crate::machine_1(), Some("refilling")).await.unwrap();
    let event =
        tokio::time::timeout(Duration::from_secs(5), machine.chunk()).await.unwrap().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&event).contains("event: changed"), "{event:?}");
    app.get("/m/1/screen").await.shows("This machine is out of service.");
}
