//! What machines, wallets and monitors call.

use reqwest::{Method, StatusCode};
use vend_payments::{
    enrolment::{LoginSecret, Ticket, claim, verify_grant},
    signed::Signer,
};
use vend_protocol::{
    Nonce,
    frame::{self, Frame},
    machine_link::{Busy, Claim, ClaimGranted},
};

use crate::{App, machine_1};

async fn enrol(app: &App, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request =
        app.request(Method::POST, "/enrol").header("content-type", "application/octet-stream").body(body);
    let response = request.send().await.unwrap();
    (response.status(), response.bytes().await.unwrap().to_vec())
}

fn frame_of<M: frame::Message>(message: &M) -> Vec<u8> {
    let mut out = [0; 1_024];
    let len = frame::write(0, 0, message, &mut out).unwrap();
    out[..len].to_vec()
}

#[tokio::test]
async fn a_claim_with_the_ticket_of_a_page_is_granted() {
    let app = App::start().await;
    let session = app.log_in().await;
    let page = app.post_as(&session, "/operator/machines/1/ticket", &[]).await;
    assert_eq!(page.status, 200);
    page.shows("QR code of the ticket");
    let text = page.body.split("<code class=\"ticket\">").nth(1).unwrap().split('<').next().unwrap();
    let text = text.replace("&#35;", "#");
    let ticket = Ticket::parse(&text).unwrap();
    assert_eq!(ticket.server, "https://vend.example");

    let (signer, nonce) = (Signer::from_seed(&[9; 32]), Nonce([4; 16]));
    let secret = LoginSecret::from_random([5; 32]);
    let signed = claim(&signer, nonce, &secret, &ticket.code).unwrap();
    let (status, body) = enrol(&app, frame_of(&Claim(signed.clone()))).await;
    assert_eq!(status, 200);
    let granted: ClaimGranted = Frame::parse(&body).unwrap().decode().unwrap();
    let enrolled = verify_grant(&granted, ticket.root, &signer.public_key(), nonce).unwrap();
    assert_eq!(enrolled.machine, machine_1());
    let page = app.get_as(&session.cookie, "/operator/machines/1").await;
    page.shows(&signer.public_key().fingerprint().to_string());

    // Somebody else with the code that is used up.
    let thief = Signer::from_seed(&[8; 32]);
    let signed = claim(&thief, nonce, &secret, &ticket.code).unwrap();
    let (status, body) = enrol(&app, frame_of(&Claim(signed))).await;
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&body).contains("The claim is refused"));
}

#[tokio::test]
async fn what_is_no_claim_is_refused() {
    let app = App::start().await;
    let busy = frame_of(&Busy { seq: vend_protocol::AuthSeq::new(1).unwrap() });
    for body in [vec![], vec![0; 20], vec![0xff; 1_024], busy] {
        assert_eq!(enrol(&app, body).await.0, 400);
    }
    assert_eq!(enrol(&app, vec![0; 1_025]).await.0, 413);
    assert_eq!(app.get("/enrol").await.status, 405);
}

#[tokio::test]
async fn a_notification_is_believed_by_its_signature_only() {
    let app = App::start().await;
    let notify = async |account: &str, body: &'static str| {
        let request = app.request(Method::POST, &format!("/notify/{account}"));
        app.send(request.header("content-type", "application/json").body(body)).await
    };
    assert_eq!(notify("nobody", "{}").await.status, 404);
    assert_eq!(notify("No%20Body", "{}").await.status, 404);
    let wechat = notify("wechat", "{}").await;
    assert_eq!(wechat.status, 401);
    assert_eq!(wechat.json()["code"], "FAIL");
    let alipay = notify("alipay", "sign_type=RSA2&sign=AAAA&out_trade_no=V1").await;
    assert_eq!((alipay.status.as_u16(), alipay.body.as_str()), (401, "fail"));

    let request = app.request(Method::POST, "/notify/wechat");
    assert_eq!(app.send(request.body(vec![b' '; 64 * 1024 + 1])).await.status, 413);
    assert_eq!(app.get("/notify/wechat").await.status, 405);
    assert_eq!(app.number("SELECT COUNT(*) FROM orphans").await, 0);
}

#[tokio::test]
async fn health_says_whether_the_database_answers() {
    let app = App::start().await;
    let answer = app.get("/health").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok\n"));
    app.engine.db().readers().close().await;
    for path in ["/health", "/m/1/screen", "/o/1?t=x", "/operator/machines"] {
        let request = app.request(Method::GET, path).header("cookie", "vend_session=00");
        let answer = app.send(request).await;
        assert_eq!(answer.status, 503, "{path}");
        answer.shows("The server cannot do this at the moment.");
    }
}
