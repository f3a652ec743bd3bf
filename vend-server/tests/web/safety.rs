//! What must hold for every page.

use reqwest::Method;

use crate::App;

#[tokio::test]
async fn what_is_not_there_is_a_page_or_data_or_a_line() {
    let app = App::start().await;
    let page = app.get("/nowhere").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (404, "text/html; charset=utf-8"));
    page.shows("There is no such page.");
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    assert_eq!(app.get_json("/nowhere").await.json()["error"], "There is no such page.");
    let plain = app.send(app.request(Method::GET, "/nowhere").header("accept", "*/*")).await;
    assert_eq!(plain.status, 404);

    for path in ["/assets/%FF", "/assets/../Cargo.toml", "/o/%FF?t=x", "/m/1/screen/", "/operator"] {
        let page = app.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.shows("<html");
    }
    let wrong = app.post("/m/1/screen", &[]).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "GET,HEAD"));
    wrong.shows("This address does not take that method.");
}

#[tokio::test]
async fn forms_that_are_none_are_refused() {
    let app = App::start().await;
    let post = |body: &'static str, mime: &'static str| {
        app.send(app.request(Method::POST, "/m/1/orders").header("content-type", mime).body(body))
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(post("{\"slot\":1}", "application/json").await.status, 415);
    assert_eq!(post("%zz=%ff&&&===", form).await.status, 422);
    assert_eq!(app.send(app.request(Method::POST, "/m/1/orders")).await.status, 415);
    let long = app
        .send(app.request(Method::POST, "/m/1/orders").header("content-type", form).body("a".repeat(70_000)));
    assert_eq!(long.await.status, 413);
    assert_eq!(app.get("/operator/orders?machine=%ff").await.status, 303, "the login comes first");
}

#[tokio::test]
async fn what_people_write_is_never_markup() {
    let app = App::start().await;
    let nasty = "<script>alert(1)</script>\"'&";
    let product = app.engine.add_product(nasty).await.unwrap().unwrap();
    let edit = vend_server::engine::SlotEdit {
        slot: vend_protocol::SlotId::new(3).unwrap(),
        product,
        price_minor: 100,
        capacity: 5,
        stock: 5,
    };
    app.engine.set_slots(crate::machine_1(), vec![edit]).await.unwrap().unwrap();
    app.engine.set_stopped(crate::machine_1(), Some(nasty)).await.unwrap();
    let order = app.order("offered", 1_000).await;
    app.run("UPDATE lines SET name = '<script>alert(1)</script>', verdict = '<b>'").await;
    app.run("UPDATE machines SET name = '<script>alert(1)</script>', place = '<script>'").await;
    app.run(
        "INSERT INTO alarms (machine, order_id, at_ms, what) VALUES (1, 1, 0, '<script>alert(1)</script>')",
    )
    .await;
    let session = app.log_in().await;
    for path in [
        "/m/1/screen".to_owned(),
        "/m/1".to_owned(),
        format!("/o/{order}?t=t{order}"),
        "/operator/machines".to_owned(),
        "/operator/machines/1".to_owned(),
        "/operator/machines/1/label".to_owned(),
        "/operator/products".to_owned(),
        "/operator/products?q=<script>".to_owned(),
        "/operator/orders?q=\"><script>".to_owned(),
        format!("/operator/orders/{order}"),
        "/operator/alarms".to_owned(),
        "/login?next=\"><script>".to_owned(),
    ] {
        let page = app.get_as(&session.cookie, &path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<script>"), "{path}\n{}", page.body);
    }
    let refused = app.post("/login", &[("name", "\"><script>"), ("password", "x")]).await;
    assert!(!refused.body.contains("<script>"));
}

#[tokio::test]
async fn assets_are_cached_until_they_change() {
    let app = App::start().await;
    let css = app.get("/assets/app.css").await;
    assert_eq!((css.status.as_u16(), css.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(css.header("cache-control"), "public, max-age=86400");
    let tag = css.header("etag").to_owned();
    let again = app.send(app.request(Method::GET, "/assets/app.css").header("if-none-match", &tag)).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    assert_eq!(app.get("/assets/live.js").await.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(app.get("/assets/nothing.js").await.status, 404);
}
