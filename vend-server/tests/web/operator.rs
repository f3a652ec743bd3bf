//! Operators' pages.

use reqwest::Method;

use crate::{App, Session};

const PAGES: [&str; 8] = [
    "/operator/machines",
    "/operator/machines/1",
    "/operator/machines/1/label",
    "/operator/products",
    "/operator/orders",
    "/operator/orders/1",
    "/operator/alarms",
    "/operator/events",
];
const FORMS: [&str; 9] = [
    "/logout",
    "/operator/machines",
    "/operator/machines/1/slots",
    "/operator/machines/1/slots/add",
    "/operator/machines/1/slots/remove",
    "/operator/machines/1/stopped",
    "/operator/machines/1/ticket",
    "/operator/products",
    "/operator/products/1",
];

#[tokio::test]
async fn nothing_is_shown_or_done_without_a_login() {
    let app = App::start().await;
    app.order("settled", 0).await;
    assert_eq!(app.get("/").await.location(), "/operator/machines");
    for path in PAGES {
        for cookie in ["", "vend_session=", "vend_session=0123456789abcdef", "other=1"] {
            let answer = app.get_as(cookie, path).await;
            assert!(
                answer.location().starts_with("/login?next=%2Foperator%2F"),
                "{path}: {}",
                answer.location()
            );
        }
        assert_eq!(app.get_json(path).await.status, 401, "{path}");
    }
    for path in FORMS {
        assert_eq!(app.post(path, &[("csrf", "")]).await.location(), "/login?next=%2Foperator%2Fmachines");
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM machines").await, 1);
}

#[tokio::test]
async fn a_form_without_its_pages_secret_changes_nothing() {
    let app = App::start().await;
    let session = app.log_in().await;
    let other = Session { cookie: session.cookie.clone(), csrf: "0".repeat(32) };
    for path in FORMS {
        let fields = [("number", "9"), ("name", "x"), ("action", "stop"), ("slot", "1")];
        assert_eq!(app.post_as(&other, path, &fields).await.status, 403, "{path}");
        let without = app.request(Method::POST, path).header("cookie", &session.cookie).form(&fields);
        assert_eq!(app.send(without).await.status, 403, "{path}");
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM machines WHERE stopped IS NULL").await, 1);
    assert_eq!(app.number("SELECT COUNT(*) FROM products").await, 2);
    assert_eq!(app.number("SELECT COUNT(*) FROM slots").await, 2);
    assert_eq!(app.number("SELECT COUNT(*) FROM claim_codes").await, 0);
    assert_eq!(app.number("SELECT COUNT(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn logging_in_and_out() {
    let app = App::start().await;
    app.get("/login").await.shows("type=\"password\"");
    let session = app.log_in().await;
    let fields = [("name", "anna"), ("password", "correct horse"), ("next", "/operator/orders?machine=1")];
    let answer = app.post("/login", &fields).await;
    assert_eq!(answer.location(), "/operator/orders?machine=1");
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(answer.header("set-cookie").contains(part), "{part}");
    }
    let away = [("name", "anna"), ("password", "correct horse"), ("next", "//evil.example")];
    assert_eq!(app.post("/login", &away).await.location(), "/operator/machines");
    let cross = app.request(Method::POST, "/login").header("sec-fetch-site", "cross-site").form(&fields);
    assert_eq!(app.send(cross).await.status, 403);

    assert_eq!(app.get_as(&session.cookie, "/operator/machines").await.status, 200);
    assert_eq!(app.post_as(&session, "/logout", &[]).await.location(), "/login");
    assert_eq!(app.get_as(&session.cookie, "/operator/machines").await.status, 303);
}

#[tokio::test]
async fn passwords_are_tried_five_times_a_minute() {
    let app = App::start().await;
    app.engine.set_operator("ben", "right").await.unwrap();
    for _ in 0..5 {
        let page = app.post("/login", &[("name", "ben"), ("password", "wrong")]).await;
        assert_eq!(page.status, 401);
        page.shows("Name or password is wrong.");
    }
    let page = app.post("/login", &[("name", "ben"), ("password", "right")]).await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (429, "60"));
    page.shows("Too many tries");
    assert_eq!(
        app.post("/login", &[("name", "nobody"), ("password", "x")]).await.status,
        401,
        "another name"
    );
    let long = "x".repeat(300);
    assert_eq!(app.post("/login", &[("name", "ben2"), ("password", &long)]).await.status, 401);
    assert_eq!(app.post("/login", &[]).await.status, 401);
}

#[tokio::test]
async fn a_machine_is_added_once() {
    let app = App::start().await;
    let session = app.log_in().await;
    let page = app.get_as(&session.cookie, "/operator/machines").await;
    page.shows("Lobby")
        .shows("not connected")
        .shows("version 1")
        .shows("0.00 CNY")
        .shows("the machine has 0");
    let added = app
        .post_as(&session, "/operator/machines", &[("number", "7"), ("name", "Roof"), ("place", "Top")])
        .await;
    assert_eq!(added.location(), "/operator/machines/7");
    app.get_as(&session.cookie, "/operator/machines/7")
        .await
        .shows("Roof")
        .shows("no board yet")
        .shows("No slot yet.");
    for (fields, words) in [
        ([("number", "7"), ("name", "Again")], "There is a machine with this number already."),
        ([("number", "0"), ("name", "Zero")], "A machine&#39;s number is 1 or more"),
        ([("number", "x"), ("name", "Letters")], "A machine&#39;s number is 1 or more"),
        ([("number", "8"), ("name", " ")], "A machine has a name"),
        ([("number", "8"), ("name", "a\nb")], "A machine has a name"),
    ] {
        let page = app.post_as(&session, "/operator/machines", &fields).await;
        assert_eq!(page.status, 422, "{fields:?}");
        page.shows(words);
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM machines").await, 2);
    for path in ["/operator/machines/99", "/operator/machines/x", "/operator/machines/99/label"] {
        assert_eq!(app.get_as(&session.cookie, path).await.status, 404, "{path}");
    }
    for path in ["slots", "slots/add", "stopped", "ticket"] {
        let path = format!("/operator/machines/99/{path}");
        assert_eq!(
            app.post_as(&session, &path, &[("action", "stop"), ("slot", "1")]).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn saving_the_planogram_writes_what_was_changed_and_nothing_else() {
    let app = App::start().await;
    let session = app.log_in().await;
    let path = "/operator/machines/1/slots";
    let page = app.get_as(&session.cookie, "/operator/machines/1").await;
    page.shows("version 1, applied by the machine: 0").shows("name=\"was\" value=\"1 2.00 10 7\"");
    // One is sold while the form is open; the operator changes the price only.
    app.run("UPDATE slots SET stock = 6, reserved = 1 WHERE slot = 1").await;
    let form = |price, stock| {
        [
            ("slot", "1"),
            ("was", "1 2.00 10 7"),
            ("product", "1"),
            ("price", price),
            ("capacity", "10"),
            ("stock", stock),
            ("slot", "2"),
            ("was", "2 3.50 10 0"),
            ("product", "2"),
            ("price", "3.50"),
            ("capacity", "10"),
            ("stock", "0"),
        ]
    };
    assert_eq!(app.post_as(&session, path, &form("2.5", "7")).await.location(), "/operator/machines/1");
    assert_eq!(app.number("SELECT price_minor FROM slots WHERE slot = 1").await, 250);
    assert_eq!(app.number("SELECT stock FROM slots WHERE slot = 1").await, 6, "the sale is not undone");
    assert_eq!(app.number("SELECT plan FROM machines").await, 2);
    // Refilled: no new version.
    assert_eq!(app.post_as(&session, path, &form("2.00", "10")).await.location(), "/operator/machines/1");
    assert_eq!(app.number("SELECT stock FROM slots WHERE slot = 1").await, 10);
    assert_eq!(app.number("SELECT price_minor FROM slots WHERE slot = 1").await, 250);
    assert_eq!(app.number("SELECT plan FROM machines").await, 2);
    for (price, stock, words) in [
        ("2.505", "7", "slot 1: a price looks like 3.50"),
        ("-1", "7", "a price looks like 3.50"),
        ("1e3", "7", "a price looks like 3.50"),
        ("0", "7", "a price is at least 0.01"),
        ("2000000", "7", "at most 1,000,000.00"),
        ("2.00", "11", "stock cannot be above capacity"),
        ("2.00", "x", "the stock is a number"),
        ("2.00", "70000", "the stock is a number"),
    ] {
        let page = app.post_as(&session, path, &form(price, stock)).await;
        assert_eq!(page.status, 422, "{price} {stock}");
        page.shows(words).shows("Not saved");
        page.shows(&format!("name=\"{}\"", if price == "2.00" { "stock" } else { "price" }));
    }
    assert_eq!(app.number("SELECT stock FROM slots WHERE slot = 1").await, 10);
    let gone = [
        ("slot", "5"),
        ("was", "1 1.00 1 1"),
        ("product", "1"),
        ("price", "2"),
        ("capacity", "1"),
        ("stock", "1"),
    ];
    app.post_as(&session, path, &gone).await.shows("slot 5 is not there any more");
}

#[tokio::test]
async fn slots_are_added_and_removed() {
    let app = App::start().await;
    let session = app.log_in().await;
    let new = |slot, product| {
        [("slot", slot), ("product", product), ("price", "4"), ("capacity", "8"), ("stock", "8")]
    };
    let add = "/operator/machines/1/slots/add";
    assert_eq!(app.post_as(&session, add, &new("12", "2")).await.location(), "/operator/machines/1");
    assert_eq!(app.number("SELECT price_minor FROM slots WHERE slot = 12").await, 400);
    for (slot, product, words) in [
        ("12", "2", "slot 12 is there already"),
        ("0", "2", "number is 1 to 999"),
        ("1000", "2", "number is 1 to 999"),
        ("13", "99", "there is no such product"),
        ("13", "x", "choose a product"),
    ] {
        let page = app.post_as(&session, add, &new(slot, product)).await;
        assert_eq!(page.status, 422, "{slot} {product}");
        page.shows(words);
    }
    assert_eq!(app.post_as(&session, add, &[]).await.status, 422);
    let remove = "/operator/machines/1/slots/remove";
    assert_eq!(app.post_as(&session, remove, &[("slot", "12")]).await.location(), "/operator/machines/1");
    assert_eq!(app.post_as(&session, remove, &[("slot", "x")]).await.status, 404);
    assert_eq!(app.number("SELECT COUNT(*) FROM slots").await, 2);
}

#[tokio::test]
async fn a_machine_is_stopped_with_a_reason_and_started_again() {
    let app = App::start().await;
    let session = app.log_in().await;
    let path = "/operator/machines/1/stopped";
    app.post_as(&session, path, &[("action", "stop"), ("why", "being refilled")]).await.location();
    app.get_as(&session.cookie, "/operator/machines").await.shows("stopped: being refilled");
    app.get_as(&session.cookie, "/operator/machines/1").await.shows("Put back into service");
    app.post_as(&session, path, &[("action", "start")]).await.location();
    app.get_as(&session.cookie, "/operator/machines/1")
        .await
        .shows("in service")
        .shows("Take out of service");
    assert_eq!(app.post_as(&session, path, &[("action", "explode")]).await.status, 422);
    let long = "x".repeat(201);
    assert_eq!(app.post_as(&session, path, &[("action", "stop"), ("why", &long)]).await.status, 422);
    app.get_as(&session.cookie, "/operator/machines/1/label")
        .await
        .shows("https://vend.example/m/1")
        .shows("<svg");
}

#[tokio::test]
async fn products_are_found_added_and_renamed() {
    let app = App::start().await;
    let session = app.log_in().await;
    let found = app.get_as(&session.cookie, "/operator/products?q=TEA").await;
    found.shows("Green tea");
    assert!(!found.body.contains("Water"));
    app.get_as(&session.cookie, "/operator/products?q=%25").await.shows("No product's name contains that.");
    assert_eq!(
        app.post_as(&session, "/operator/products", &[("name", "Cola")]).await.location(),
        "/operator/products"
    );
    assert_eq!(
        app.post_as(&session, "/operator/products/2", &[("name", "Black tea")]).await.location(),
        "/operator/products"
    );
    app.get("/m/1/screen").await.shows("Black tea");
    assert_eq!(app.number("SELECT plan FROM machines").await, 2);
    let long = "茶".repeat(17);
    for path in ["/operator/products", "/operator/products/2"] {
        let page = app.post_as(&session, path, &[("name", &long)]).await;
        assert_eq!(page.status, 422, "{path}");
        page.shows("a product&#39;s name has 1 to 48 bytes");
    }
    for path in ["/operator/products/99", "/operator/products/0", "/operator/products/x"] {
        assert_eq!(app.post_as(&session, path, &[("name", "x")]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn orders_are_filtered_paged_and_summed() {
    let app = App::start().await;
    let session = app.log_in().await;
    for _ in 0..51 {
        app.order("closed", 0).await;
    }
    // Paid 2.00 each: 1 delivered, 2 refunded, 3 on its way.
    app.run("UPDATE orders SET state = 'settled', sold_attempt = 'V' || id WHERE id <= 3").await;
    app.run("UPDATE attempts SET state = 'paid', transaction_id = 'wx-' || order_id, paid_ms = created_ms WHERE order_id <= 3").await;
    app.run("UPDATE lines SET state = CASE order_id WHEN 1 THEN 'delivered' WHEN 2 THEN 'refunded' ELSE 'refunding' END WHERE order_id <= 3").await;
    app.run("INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms) VALUES ('R2', 'V2', 'wechat', 2, 200, 200, 156, 'succeeded', 'x', 0), ('R3', 'V3', 'wechat', 3, 200, 200, 156, 'sent', 'x', 0)").await;
    let rows = |body: &str| body.matches("<th scope=\"row\" data-label=\"Order\">").count();

    let page = app.get_as(&session.cookie, "/operator/orders").await;
    assert_eq!(rows(&page.body), 50);
    page.shows("<dt>Paid today (UTC)</dt><dd>6.00 CNY</dd>").shows("<dt>Delivered</dt><dd>2.00 CNY</dd>");
    page.shows("<dt>Refunded</dt><dd>2.00 CNY</dd>").shows("<dt>Pending</dt><dd>2.00 CNY</dd>");
    page.shows("before=2\">Older orders");
    let older = app.get_as(&session.cookie, "/operator/orders?before=2").await;
    assert_eq!(rows(&older.body), 1);
    for (query, count) in [
        ("state=settled", 3),
        ("state=nonsense", 50),
        ("machine=1&state=closed&before=10", 6),
        ("machine=2", 0),
        ("q=wx-2", 1),
        ("q=V3", 1),
        ("q=R3", 1),
        ("q=17", 1),
        ("q=%27%20OR%201=1--", 0),
        ("before=-1", 50),
        ("before=99999999999999999999", 50),
    ] {
        let page = app.get_as(&session.cookie, &format!("/operator/orders?{query}")).await;
        assert_eq!((page.status.as_u16(), rows(&page.body)), (200, count), "{query}");
    }
    for query in ["machine=x", "machine=0"] {
        assert_eq!(app.get_as(&session.cookie, &format!("/operator/orders?{query}")).await.status, 422);
    }
    app.get_as(&session.cookie, "/operator/orders?machine=2").await.shows("Nothing was paid today");
    app.get_as(&session.cookie, "/operator/machines").await.shows("6.00 CNY");
}

#[tokio::test]
async fn everything_about_an_order_is_on_its_page() {
    let app = App::start().await;
    let session = app.log_in().await;
    let order = app.order("settled", 60_000).await;
    app.run("UPDATE orders SET sold_attempt = 'V1'").await;
    app.run("UPDATE attempts SET state = 'paid', transaction_id = 'wx-77', paid_ms = 1767323045000").await;
    app.run("UPDATE lines SET state = 'refunded', verdict = 'unknown', given_away = 1").await;
    app.run("INSERT INTO history (order_id, line, at_ms, what) VALUES (1, 0, 5, 'unknown'), (1, 0, 6, 'given away: delivered although refunded')").await;
    app.run("INSERT INTO refunds (id, attempt, account, order_id, paid_minor, amount_minor, currency, state, reason, created_ms) VALUES ('RV1_1', 'V1', 'wechat', 1, 200, 200, 156, 'needs_operator', 'the machine stayed silent', 0)").await;
    app.run("INSERT INTO authorizations VALUES (x'000102030405060708090a0b0c0d0e0f', 4, 1, 'received', 1767323045000, NULL, NULL, NULL, 0)").await;
    app.run("INSERT INTO receipts VALUES (x'000102030405060708090a0b0c0d0e0f', x'aabb', 3, x'ccdd', x'00', 1, 4, 'it does not follow the receipt before it', 0)").await;
    let page = app.get_as(&session.cookie, &format!("/operator/orders/{order}")).await;
    assert_eq!(page.status, 200);
    for text in [
        "Lobby",
        "wx-77",
        "Verdict: unknown",
        "given away: delivered although refunded",
        "picked on the phone",
        "RV1_1",
        "waits for the operator",
        "the machine stayed silent",
        "sequence 4, received",
        "aabb",
        "ccdd",
        "without effect: it does not follow the receipt before it",
        "<time datetime=\"2026-01-02T03:04:05Z\">2026-01-02 03:04:05 UTC</time>",
    ] {
        page.shows(text);
    }
    for path in ["/operator/orders/99", "/operator/orders/x", "/operator/orders/0"] {
        assert_eq!(app.get_as(&session.cookie, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn alarms_are_listed_newest_first() {
    let app = App::start().await;
    let session = app.log_in().await;
    app.get_as(&session.cookie, "/operator/alarms").await.shows("None.");
    app.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 101) INSERT INTO alarms (machine, order_id, at_ms, what) SELECT 1, NULL, i, 'alarm ' || i || '.' FROM n").await;
    let page = app.get_as(&session.cookie, "/operator/alarms").await;
    page.shows("alarm 101.").shows("/operator/alarms?before=2");
    assert!(!page.body.contains("alarm 1."));
    app.get_as(&session.cookie, "/operator/alarms?before=2").await.shows("alarm 1.");
}

#[tokio::test]
async fn operators_are_told_of_changes() {
    let app = App::start().await;
    let session = app.log_in().await;
    let request = app.request(Method::GET, "/operator/events").header("cookie", &session.cookie);
    let mut events = request.send().await.unwrap();
    app.engine.set_stopped(crate::machine_1(), None).await.unwrap();
    let event = tokio::time::timeout(std::time::Duration::from_secs(5), events.chunk())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&event).contains("event: changed"));
}
