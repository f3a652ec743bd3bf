//! The pages over real HTTP and a real database. Most tests do without a machine: what would have been written is written
//! as rows. `whole` has one, and the wallets' sandbox.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod customer;
#[path = "../sale/machine.rs"]
#[allow(dead_code, clippy::unused_async, reason = "shared with the sales' tests, which use all of it")]
mod link;
mod machine;
mod operator;
mod safety;
mod whole;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use reqwest::{Client, Method, Response, StatusCode, header};
use tempfile::TempDir;
use vend_payments::{
    sandbox::{self, SandboxKeys},
    signed::Signer,
    wallet::{AccountId, SealKey, Wallet},
};
use vend_protocol::{Currency, List, MachineId, SlotId, signed::KeyListBody};
use vend_server::{
    engine::{Engine, MIGRATIONS, ServerKeys, Settings, SlotEdit, now_ms},
    store::{Database, DatabaseOptions},
    web::{self, WebSettings, WebState},
};

/// A server with machine 1, which sells water (2.00) in slot 1 and has sold out of tea (3.50) in slot 2.
pub(crate) struct App {
    pub(crate) engine: Engine,
    address: SocketAddr,
    client: Client,
    _dir: TempDir,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where it redirects to.
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.body);
        self.header("location")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in\n{}", self.body);
        self
    }
}

/// A logged-in operator's cookie and the secret of their forms.
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

fn sandbox_keys() -> SandboxKeys {
    static KEYS: OnceLock<SandboxKeys> = OnceLock::new();
    // Making RSA keys is what costs time here.
    KEYS.get_or_init(|| sandbox::provision(&tempfile::tempdir().unwrap().keep()).unwrap()).clone()
}

fn wallets() -> Vec<Arc<dyn Wallet>> {
    let account = |name: &str| AccountId::new(name).unwrap();
    // Nothing listens there.
    let nowhere = "http://127.0.0.1:9";
    let wechat = sandbox_keys().wechat_account(account("wechat"), nowhere, nowhere, None);
    let alipay = sandbox_keys().alipay_account(account("alipay"), nowhere, nowhere);
    vec![Arc::new(wechat.build().unwrap()), Arc::new(alipay.build().unwrap())]
}

fn server_keys() -> ServerKeys {
    let (root, online) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
    let keys = List::try_from_iter([online.public_key().to_bytes()]).unwrap();
    let list = KeyListBody { version: 1, not_before_ms: 0, expires_ms: u64::MAX, keys };
    let list = root.sign(&list).unwrap();
    ServerKeys::new(online, root.public_key(), list, SealKey::new([3; 32])).unwrap()
}

pub(crate) fn machine_1() -> MachineId {
    MachineId::new(1).unwrap()
}

impl App {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = Self::bare(&dir.path().join("vend.db"), dir).await;
        app.engine.add_machine(machine_1(), "Lobby", "Building 2", Currency::CNY).await.unwrap();
        let water = app.engine.add_product("Water").await.unwrap().unwrap();
        let tea = app.engine.add_product("Green tea").await.unwrap().unwrap();
        let slot = |number, product, price_minor, stock| SlotEdit {
            slot: SlotId::new(number).unwrap(),
            product,
            price_minor,
            capacity: 10,
            stock,
        };
        let slots = vec![slot(1, water, 200, 7), slot(2, tea, 350, 0)];
        app.engine.set_slots(machine_1(), slots).await.unwrap().unwrap();
        app.run("INSERT INTO enrolments (id, machine, public_key, login_hash, nonce, active, issued_seq, quarantined, created_ms) VALUES (x'000102030405060708090a0b0c0d0e0f', 1, zeroblob(32), zeroblob(32), x'00', 1, 5, NULL, 0)").await;
        app
    }

    async fn bare(database: &Path, dir: TempDir) -> Self {
        let db = Database::open(database, DatabaseOptions::default(), MIGRATIONS).await.unwrap();
        let engine = Engine::new(db, server_keys(), wallets(), Settings::default()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = WebSettings { public_url: "https://vend.example/".to_owned(), cookie_secure: true };
        let router = web::router(WebState::new(engine.clone(), settings));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { engine, address, client, _dir: dir }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).header("accept", "text/html")
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::read(request.send().await.unwrap()).await
    }

    /// Reads a page.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Reads data.
    pub(crate) async fn get_json(&self, path: &str) -> Answer {
        let request = self.client.get(format!("http://{}{path}", self.address));
        self.send(request.header("accept", "application/json")).await
    }

    /// Sends a form.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).form(fields)).await
    }

    /// Sends a form as a program does.
    pub(crate) async fn post_json(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.client.post(format!("http://{}{path}", self.address)).form(fields);
        self.send(request.header("accept", "application/json")).await
    }

    /// Adds the operator `anna` and logs her in.
    pub(crate) async fn log_in(&self) -> Session {
        self.engine.set_operator("anna", "correct horse").await.unwrap();
        let answer = self.post("/login", &[("name", "anna"), ("password", "correct horse")]).await;
        assert_eq!(answer.location(), "/operator/machines");
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = self.get_as(&cookie, "/operator/machines").await;
        let csrf = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        Session { csrf: csrf.to_owned(), cookie }
    }

    pub(crate) async fn get_as(&self, cookie: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).header("cookie", cookie)).await
    }

    /// Sends a form of a page of this login.
    pub(crate) async fn post_as(&self, session: &Session, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", session.csrf.as_str())];
        all.extend_from_slice(fields);
        self.send(self.request(Method::POST, path).header("cookie", &session.cookie).form(&all)).await
    }

    /// Runs a statement.
    pub(crate) async fn run(&self, sql: &'static str) {
        let write = self.engine.db().writer().write("test", async move |conn| {
            sqlx::query(sql).execute(conn).await?;
            Ok(())
        });
        write.await.unwrap();
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.engine.db().readers()).await.unwrap()
    }

    /// An order of water in this state, made `ago_ms` ago, as the engine would have written it. Its token is `t<number>`.
    pub(crate) async fn order(&self, state: &'static str, ago_ms: i64) -> i64 {
        let write = self.engine.db().writer().write("test", async move |conn| {
            let created = now_ms() - ago_ms;
            let ended = matches!(state, "settled" | "closed" | "refused").then_some(created);
            let order: i64 = sqlx::query_scalar(
                "INSERT INTO orders (machine, enrolment, plan, currency, amount_minor, state, token, source, created_ms, expires_ms, ended_ms)
                 VALUES (1, x'000102030405060708090a0b0c0d0e0f', 1, 156, 200, $1, 'unset', 'phone', $2, $2 + 180000, $3) RETURNING id",
            )
            .bind(state)
            .bind(created)
            .bind(ended)
            .fetch_one(&mut *conn)
            .await?;
            sqlx::query("UPDATE orders SET token = 't' || id WHERE id = $1").bind(order).execute(&mut *conn).await?;
            sqlx::query("INSERT INTO lines (order_id, line, slot, product, name, price_minor) VALUES ($1, 0, 1, 1, 'Water', 200)")
                .bind(order)
                .execute(&mut *conn)
                .await?;
            sqlx::query(
                "INSERT INTO attempts (id, order_id, account, merchant, amount_minor, currency, state, code, created_ms, expires_ms)
                 VALUES ('V' || $1, $1, 'wechat', 'm', 200, 156, 'offered', 'weixin://wxpay/bizpayurl?pr=abc', $2, $2 + 180000)",
            )
            .bind(order)
            .bind(created)
            .execute(&mut *conn)
            .await?;
            sqlx::query("INSERT INTO history (order_id, line, at_ms, what) VALUES ($1, NULL, $2, 'picked on the phone')")
                .bind(order)
                .bind(created)
                .execute(conn)
                .await?;
            Ok(order)
        });
        write.await.unwrap()
    }
}
