//! A sale through the pages, with a machine and the wallets' sandbox at the other ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Client, Method};
use tempfile::TempDir;
use vend_payments::{
    sandbox::{self, Sandbox},
    wallet::{AccountId, Wallet},
};
use vend_protocol::{Currency, DropReport, Reason, SlotId, machine_link::Readiness};
use vend_server::{
    engine::{Settings, SlotEdit},
    gateway::GatewayConfig,
    server::{Server, ServerConfig},
    web::WebSettings,
};

use crate::{
    Answer,
    link::{TestMachine, seen},
    machine_1, sandbox_keys, server_keys,
};

struct Whole {
    server: Server,
    sandbox: Sandbox,
    machine: TestMachine,
    client: Client,
    _dir: TempDir,
}

impl Whole {
    /// Machine 1 is connected and sells six products.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wallet_url = format!("http://{}", listener.local_addr().unwrap());
        let sandbox = Sandbox::open(sandbox::Config::new(dir.path(), sandbox_keys())).await.unwrap();
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(listener, router).await });

        // A port that was free a moment ago: the wallets must know it before the server has it.
        let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let account = |name: &str| AccountId::new(name).unwrap();
        let notify = |name: &str| format!("http://{http}/notify/{name}");
        let wechat = sandbox_keys().wechat_account(account("wechat"), &wallet_url, &notify("wechat"), None);
        let alipay = sandbox_keys().alipay_account(account("alipay"), &wallet_url, &notify("alipay"));
        let wallets: Vec<Arc<dyn Wallet>> =
            vec![Arc::new(wechat.build().unwrap()), Arc::new(alipay.build().unwrap())];
        let server = Server::start(ServerConfig {
            database: dir.path().join("vend.db"),
            http,
            mqtt: SocketAddr::from(([127, 0, 0, 1], 0)),
            gateway: GatewayConfig::default(),
            settings: Settings { refund_retry: Duration::from_millis(100), ..Settings::default() },
            web: WebSettings { public_url: format!("http://{http}"), cookie_secure: false },
            keys: server_keys(),
            wallets,
        })
        .await
        .unwrap();
        let engine = server.engine();
        engine.add_machine(machine_1(), "Lobby", "Building 2, ground floor", Currency::CNY).await.unwrap();
        let names =
            ["Water", "Green tea", "Cola", "Crisps, salted", "Chocolate bar with hazelnuts", "矿泉水 550 ml"];
        let mut slots = Vec::new();
        for (number, name) in (1..).zip(names) {
            let product = engine.add_product(name).await.unwrap().unwrap();
            let slot = SlotId::new(number).unwrap();
            let stock = if number == 3 { 0 } else { 8 };
            slots.push(SlotEdit {
                slot,
                product,
                price_minor: 150 + 50 * u32::try_from(number).unwrap(),
                capacity: 10,
                stock,
            });
        }
        engine.set_slots(machine_1(), slots).await.unwrap().unwrap();
        let mut machine = TestMachine::enrol(&server, machine_1(), 1).await;
        machine.connect(server.mqtt()).await;
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { server, sandbox, machine, client, _dir: dir }
    }

    fn request(&self, method: Method, path: &str, accept: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.server.http())).header("accept", accept)
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::read(self.request(Method::GET, path, "text/html").send().await.unwrap()).await
    }

    /// Picks, while the machine answers the server's question.
    async fn pick(&mut self, accept: &str, fields: &[(&str, &str)], readiness: Readiness) -> Answer {
        let request = self.request(Method::POST, "/m/1/orders", accept).form(fields);
        let placing = tokio::spawn(async move { request.send().await.unwrap() });
        self.machine.answer_prepare(readiness).await;
        Answer::read(placing.await.unwrap()).await
    }

    /// Reads a page until it says something.
    async fn until(&self, path: &str, text: &str) -> Answer {
        for _ in 0..200 {
            let page = self.get(path).await;
            if page.body.contains(text) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{path} did not say {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_by_a_program_that_pays_the_code_it_is_given() {
    let mut whole = Whole::start().await;
    let page = whole.get("/m/1/screen").await;
    page.shows("Pay with WeChat Pay").shows("Pay with Alipay");
    let fields = [("slot", "1"), ("slot", "2"), ("wallet", "alipay"), ("from", "screen")];
    let answer = whole.pick("application/json", &fields, Readiness::Ready).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let placed = answer.json();
    let (order, token) = (placed["order"].as_u64().unwrap(), placed["token"].as_str().unwrap());
    whole.get("/m/1/screen").await.shows("Scan with Alipay").shows("4.50 CNY").shows("Water, Green tea");

    whole.sandbox.pay(placed["code"].as_str().unwrap(), "123456").await.unwrap();
    let authorization = whole.machine.authorization().await;
    let outcomes = [seen(DropReport::Seen), seen(DropReport::NotSeen)];
    let receipt = whole.machine.vend(&authorization, &outcomes).await;
    whole.machine.expect_acknowledged(&receipt).await;

    let path = format!("/o/{order}?t={token}");
    let page = whole.until(&path, "Done: what did not come out was refunded").await;
    page.shows("it came out").shows("it did not come out").shows("Refund of 2.50 CNY: made.");
    whole.get("/m/1/screen").await.shows("Done: what did not come out was refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_sent_to_its_order_and_the_screen_to_itself() {
    let mut whole = Whole::start().await;
    let pick = |from| [("slot", "1"), ("wallet", "wechat"), ("from", from)];
    let phone = whole.pick("text/html", &pick("phone"), Readiness::Ready).await;
    let path = phone.location().to_owned();
    assert!(path.starts_with("/o/1?t="), "{path}");
    whole.get(&path).await.shows("Scan the code on the machine's screen with WeChat Pay");
    whole.get("/m/1/screen").await.shows("Scan with WeChat Pay");
    let screen = whole.pick("text/html", &pick("screen"), Readiness::Ready).await;
    assert_eq!(screen.location(), "/m/1/screen");

    let door = Readiness::NotReady(Reason::DOOR);
    let refused = whole.pick("text/html", &pick("screen"), door).await;
    assert_eq!(refused.status, 409);
    refused.shows("The machine cannot sell this now (door open); nothing was charged.");

    let token = path.split("t=").nth(1).unwrap();
    let cancel = whole.request(Method::POST, "/o/1/cancel", "text/html").form(&[("t", token)]);
    assert_eq!(cancel.send().await.unwrap().status(), 303);
    whole.until(&path, "Closed: nothing was paid").await;
}
