//! Sales against the whole server: real HTTP, real MQTT, a real database; machine and wallet are the tests' own, so that each
//! rule can be tried from both sides.

#![allow(clippy::unwrap_used, reason = "a panic in a test or its helpers is the report")]

mod link;
mod machine;
mod rules;
mod story;
mod wallet;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use vend_payments::{
    signed::PublicKey,
    wallet::{AccountId, Wallet},
};
use vend_protocol::{
    Currency, DropReport, MachineId, OrderId, ProductId, SlotId,
    machine_link::Readiness,
    signed::{AuthorizationBody, Signed},
};
use vend_server::{
    engine::{Pick, PickRefused, Placed, Settings, SlotEdit, Source},
    gateway::GatewayConfig,
    keys,
    server::{Server, ServerConfig},
    web::WebSettings,
};

use machine::{TestMachine, seen};
use wallet::{Service, TestWallet};

/// A server with one machine, two accounts and three slots: 2.00, 3.00 and 3.00 yuan.
pub(crate) struct App {
    dir: TempDir,
    pub(crate) server: Server,
    pub(crate) service: Service,
    pub(crate) machine: TestMachine,
    service_addr: SocketAddr,
    settings: Settings,
}

fn fast() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        query_after: vec![Duration::from_secs(60)],
        refund_retry: ms(50),
        unpaid_after: Duration::from_secs(60),
        ..Settings::default()
    }
}

pub(crate) fn machine_1() -> MachineId {
    MachineId::new(1).unwrap()
}

pub(crate) fn slot(number: u64) -> SlotId {
    SlotId::new(number).unwrap()
}

async fn serve(dir: &Path, service: SocketAddr, settings: Settings) -> Server {
    let online = dir.join("keys");
    if !keys::exist(&online) {
        keys::generate(&dir.join("root"), &online, u64::try_from(vend_server::engine::now_ms()).unwrap())
            .unwrap();
    }
    let wallets: Vec<Arc<dyn Wallet>> = vec![
        Arc::new(TestWallet::new("ours", "1900000001", service)),
        Arc::new(TestWallet::new("theirs", "1900000002", service)),
    ];
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServerConfig {
        database: dir.join("vend.db"),
        http: any,
        mqtt: any,
        gateway: GatewayConfig::default(),
        settings,
        web: WebSettings { public_url: "http://127.0.0.1".into(), cookie_secure: false },
        keys: keys::load(&online).unwrap(),
        wallets,
    })
    .await
    .unwrap()
}

/// What a sale that went well leaves behind.
pub(crate) struct Sold {
    pub(crate) order: OrderId,
    pub(crate) attempt: String,
    pub(crate) authorization: AuthorizationBody,
    pub(crate) receipt: Signed,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::with(fast()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        // Shown for a test that fails; `RUST_LOG` says how much.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let dir = tempfile::tempdir().unwrap();
        let service = Service::default();
        let service_addr = service.start().await;
        let server = serve(dir.path(), service_addr, settings.clone()).await;
        let engine = server.engine();
        for name in ["Water", "Tea", "Crisps"] {
            engine.add_product(name).await.unwrap().unwrap();
        }
        engine.add_machine(machine_1(), "Machine", "Hall", Currency::CNY).await.unwrap();
        let slots = [(1, 200), (2, 300), (3, 300)].map(|(number, price_minor)| SlotEdit {
            slot: slot(number),
            product: ProductId::new(number).unwrap(),
            price_minor,
            capacity: 5,
            stock: 2,
        });
        engine.set_slots(machine_1(), slots.to_vec()).await.unwrap().unwrap();
        let mut machine = TestMachine::enrol(&server, machine_1(), 1).await;
        machine.connect(server.mqtt()).await;
        let app = Self { dir, server, service, machine, service_addr, settings };
        app.until("SELECT plan_applied = plan FROM machines").await;
        app
    }

    /// The root key's public half.
    pub(crate) fn root(&self) -> PublicKey {
        keys::load(&self.dir.path().join("keys")).unwrap().root
    }

    /// Stops the server and starts another on the same folder. The machine has to connect again.
    pub(crate) async fn restart(self) -> Self {
        let Self { dir, server, service, mut machine, service_addr, settings } = self;
        machine.disconnect();
        server.shutdown().await;
        // The lock on the database goes with its last user.
        let mut tries = 0;
        let server = loop {
            let started = tokio::spawn({
                let (path, settings) = (dir.path().to_owned(), settings.clone());
                async move { serve(&path, service_addr, settings).await }
            });
            match started.await {
                Ok(server) => break server,
                Err(error) => {
                    tries += 1;
                    assert!(tries < 20, "{error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        Self { dir, server, service, machine, service_addr, settings }
    }

    pub(crate) async fn pick(&self, slots: &[u64]) -> Result<Placed, PickRefused> {
        let pick = Pick {
            machine: machine_1(),
            slots: slots.iter().map(|number| slot(*number)).collect(),
            account: AccountId::new("ours").unwrap(),
            source: Source::Screen,
        };
        self.server.engine().place_order(pick).await.unwrap()
    }

    /// Places an order at a machine that is ready; returns it and its attempt.
    pub(crate) async fn order(&mut self, slots: &[u64]) -> (OrderId, String) {
        let engine = self.server.engine().clone();
        let pick = Pick {
            machine: machine_1(),
            slots: slots.iter().map(|number| slot(*number)).collect(),
            account: AccountId::new("ours").unwrap(),
            source: Source::Screen,
        };
        let placing = tokio::spawn(async move { engine.place_order(pick).await.unwrap().unwrap() });
        self.machine.answer_prepare(Readiness::Ready).await;
        let placed = placing.await.unwrap();
        let attempt = self.text(&format!("SELECT id FROM attempts WHERE order_id = {}", placed.order)).await;
        (placed.order, attempt)
    }

    /// Delivers a notification; returns its status.
    pub(crate) async fn notify(&self, account: &str, attempt: &str, amount: u32, transaction: &str) -> u16 {
        let body = serde_json::json!({ "attempt": attempt, "amount": amount, "transaction": transaction });
        self.notify_body(account, &body.to_string()).await
    }

    pub(crate) async fn notify_body(&self, account: &str, body: &str) -> u16 {
        let url = format!("http://{}/notify/{account}", self.server.http());
        reqwest::Client::new().post(url).body(body.to_owned()).send().await.unwrap().status().as_u16()
    }

    /// The customer pays, and the wallet says so.
    /// One line ordered, paid, delivered and acknowledged.
    pub(crate) async fn sell(&mut self, slot: u64) -> Sold {
        let (order, attempt) = self.order(&[slot]).await;
        self.pay(&attempt).await;
        let authorization = self.machine.authorization().await;
        let receipt = self.machine.vend(&authorization, &[seen(DropReport::Seen)]).await;
        self.machine.expect_acknowledged(&receipt).await;
        Sold { order, attempt, authorization, receipt }
    }

    pub(crate) async fn pay(&self, attempt: &str) {
        let amount = {
            let mut attempts = self.service.attempts.lock().unwrap();
            let held = attempts.get_mut(attempt).unwrap();
            held.paid = true;
            held.amount
        };
        assert_eq!(self.notify("ours", attempt, amount, &format!("t{attempt}")).await, 200);
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.server.engine().db().readers())
            .await
            .unwrap()
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.server.engine().db().readers())
            .await
            .unwrap()
    }

    /// Waits until a query gives 1.
    pub(crate) async fn until(&self, sql: &str) {
        for _ in 0..400 {
            if self.number(sql).await == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("did not come true: {sql}");
    }

    pub(crate) async fn state(&self, order: OrderId) -> String {
        self.text(&format!("SELECT state FROM orders WHERE id = {order}")).await
    }

    pub(crate) async fn settled(&self, order: OrderId) {
        self.until(&format!("SELECT state = 'settled' FROM orders WHERE id = {order}")).await;
    }
}
