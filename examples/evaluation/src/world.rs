//! Everything that runs: wallets, server, machines, in one process and one folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use vend_firmware_host::{HostConfig, HostMachine, MqttVersion};
use vend_hal::sim::PlantConfig;
use vend_payments::{
    sandbox::{Config as SandboxConfig, Faults, Sandbox, provision},
    wallet::{AccountId, Wallet},
};
use vend_protocol::{Currency, MachineId, ProductId, SlotId};
use vend_server::{
    engine::{Settings, SlotEdit},
    gateway::GatewayConfig,
    keys,
    server::{Server, ServerConfig},
    web::WebSettings,
};

use crate::{
    faults::{Dice, LATE, Rates},
    observer::{Observer, ObserverTap, catch_up},
    options::{Options, WalletName},
    proxy::Proxy,
    record::{self, Recorder, Seen, hex, now_ms},
};

/// Lanes of a machine.
pub(crate) const LANES: u16 = 8;
/// Places of a lane.
pub(crate) const CAPACITY: u16 = 20;
/// What the machines sell: name and price in fen, one a lane.
const CATALOGUE: [(&str, u32); LANES as usize] = [
    ("Spring water 矿泉水", 200),
    ("Sparkling water 气泡水", 350),
    ("Green tea 绿茶", 400),
    ("Cola 可乐", 350),
    ("Potato crisps 薯片", 600),
    ("Chocolate bar 巧克力", 550),
    ("Instant noodles 方便面", 500),
    ("Umbrella 雨伞", 2900),
];
/// Where the machines stand.
const PLACES: [&str; 5] = ["Hall A", "Hall B", "Metro exit 3", "Library", "Canteen"];

/// One machine with what watches it.
pub(crate) struct Station {
    pub(crate) id: MachineId,
    pub(crate) host: Arc<HostMachine>,
    pub(crate) observer: Arc<Observer>,
}

/// Everything that runs.
pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) server: Server,
    pub(crate) sandbox: Sandbox,
    pub(crate) stations: Vec<Station>,
    pub(crate) customers: Recorder,
    /// `http://...`
    pub(crate) url: String,
    pub(crate) sandbox_url: String,
    pub(crate) password: String,
    /// The key that signs authorizations, for the observer.
    pub(crate) online_key: vend_payments::signed::PublicKey,
}

/// Ports that others remember: the wallets send notifications to the first, QR codes lead to both.
#[derive(Default, Serialize, Deserialize)]
struct Ports {
    http: u16,
    sandbox: u16,
}

impl World {
    pub(crate) async fn start(options: &Options, dir: &Path, rates: Rates) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir.join("observer"))
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let ports = read_ports(dir);
        let sandbox_listener = bind(None, ports.sandbox, 0).await.context("the wallet sandbox")?;
        let sandbox_url = format!("http://{}", sandbox_listener.local_addr()?);
        let http = free_http(options.listen, ports.http).await?;
        let url = format!("http://{http}");
        write_ports(dir, &Ports { http: http.port(), sandbox: sandbox_listener.local_addr()?.port() })?;

        let wallet_dir = dir.join("sandbox");
        std::fs::create_dir_all(&wallet_dir)?;
        let key_dir = wallet_dir.clone();
        let wallet_keys = tokio::task::spawn_blocking(move || provision(&key_dir)).await??;
        let mut config = SandboxConfig::new(wallet_dir, wallet_keys.clone());
        config.seed = options.seed;
        config.time_scale = options.time_scale;
        config.faults = Faults {
            double_permille: rates.doubled,
            late_permille: rates.late,
            late_ms: u32::try_from(LATE.as_millis()).unwrap_or(u32::MAX),
        };
        let sandbox = Sandbox::open(config).await?;
        let router = sandbox.router();
        tokio::spawn(async move { axum::serve(sandbox_listener, router).await });

        let wallets = wallets(&options.wallets, &wallet_keys, &sandbox_url, &url)?;
        let server = start_server(options, dir, http, &url, wallets).await?;
        let online_key = keys::load(&dir.join("keys"))?.online.public_key();
        let password = operator(&server, dir).await?;
        let customers = Recorder::open(&dir.join("observer/customers.jsonl"))?;
        customers.write(Seen::Started);
        let mut world = Self {
            dir: dir.to_owned(),
            server,
            sandbox,
            stations: Vec::new(),
            customers,
            url,
            sandbox_url,
            password,
            online_key,
        };
        world.stock_up(options.machines).await?;
        for number in 1..=options.machines {
            let station = world.station(options, number, rates).await?;
            world.stations.push(station);
        }
        world.wait_connected().await?;
        Ok(world)
    }

    /// Adds products, machines and planograms where there are none yet.
    async fn stock_up(&self, machines: u32) -> anyhow::Result<()> {
        let engine = self.server.engine();
        let products: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM products").fetch_one(engine.db().readers()).await?;
        if products == 0 {
            for (name, _) in CATALOGUE {
                engine.add_product(name).await??;
            }
        }
        for number in 1..=machines {
            let id = MachineId::new(u64::from(number))?;
            let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM slots WHERE machine = $1")
                .bind(i64::from(number))
                .fetch_one(engine.db().readers())
                .await?;
            if known > 0 {
                continue;
            }
            let place = PLACES.get((number as usize - 1) % PLACES.len()).copied().unwrap_or("");
            engine.add_machine(id, &format!("Machine {number}"), place, Currency::CNY).await?;
            let slots = (1u16..).zip(CATALOGUE).map(|(slot, (_, price_minor))| {
                anyhow::Ok(SlotEdit {
                    slot: SlotId::new(u64::from(slot))?,
                    product: ProductId::new(u64::from(slot))?,
                    price_minor,
                    capacity: CAPACITY,
                    stock: CAPACITY,
                })
            });
            engine.set_slots(id, slots.collect::<Result<_, _>>()?).await??;
        }
        Ok(())
    }

    async fn station(&self, options: &Options, number: u32, rates: Rates) -> anyhow::Result<Station> {
        let id = MachineId::new(u64::from(number))?;
        let proxy = Proxy::start(self.server.mqtt()).await?;
        let dir = self.dir.join(format!("machine-{number}"));
        let recording = self.dir.join(format!("observer/machine-{number}.jsonl"));
        let recorder = Recorder::open(&recording)?;
        let plant_log = std::fs::read_to_string(dir.join("plant.log")).unwrap_or_default();
        catch_up(&recorder, &record::read(&recording)?, &plant_log);
        let dice = Dice::new(options.seed ^ u64::from(number), "garbled");
        let observer = Observer::new(recorder, proxy.clone(), dice, rates.garbled);
        let first = !dir.exists();
        let mut config = HostConfig::new(dir);
        config.ticket = Some(self.server.engine().new_ticket(id, &self.url).await?.reveal().to_owned());
        config.mqtt = proxy.addr().to_string();
        // One in three speaks MQTT 5, the others 3.1.1, as modems do.
        config.mqtt_version = if number.is_multiple_of(3) { MqttVersion::V5 } else { MqttVersion::V311 };
        config.plant = PlantConfig {
            lanes: u8::try_from(LANES)?,
            seed: options.seed ^ u64::from(number),
            late_fall_rest_ms: 3_000,
            ..PlantConfig::fast()
        };
        config.taps = Arc::new(ObserverTap(Arc::clone(&observer)));
        let host = Arc::new(tokio::task::spawn_blocking(move || HostMachine::start(config)).await??);
        observer.attach(&host);
        if first {
            for slot in 1..=LANES {
                // More than the server believes: an empty lane is no fault of this demonstration.
                host.refill(SlotId::new(u64::from(slot))?, u32::from(CAPACITY) * 2);
            }
        }
        Ok(Station { id, host, observer })
    }

    async fn wait_connected(&self) -> anyhow::Result<()> {
        let engine = self.server.engine();
        for _ in 0..600 {
            let behind: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM machines WHERE plan_applied <> plan AND id <= $1")
                    .bind(i64::try_from(self.stations.len())?)
                    .fetch_one(engine.db().readers())
                    .await?;
            if behind == 0 && self.stations.iter().all(|station| engine.is_connected(station.id)) {
                return Ok(());
            }
            for station in &self.stations {
                if let Some(why) = station.host.failure() {
                    bail!("machine {} gave up: {why}", station.id);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the machines did not connect within 30 s")
    }

    /// What a technician does: fills a lane up, at the machine and in the books.
    pub(crate) async fn refill(&self, station: &Station, slot: SlotId) -> anyhow::Result<()> {
        let engine = self.server.engine();
        let (product, price, free): (i64, i64, i64) = sqlx::query_as(
            "SELECT product, price_minor, stock - reserved FROM slots WHERE machine = $1 AND slot = $2",
        )
        .bind(i64::from(station.id.number()))
        .bind(i64::from(slot.number()))
        .fetch_one(engine.db().readers())
        .await?;
        if free > 3 {
            return Ok(());
        }
        station.host.refill(slot, u32::from(CAPACITY));
        let edit = SlotEdit {
            slot,
            product: ProductId::new(u64::try_from(product)?)?,
            price_minor: u32::try_from(price)?,
            capacity: CAPACITY,
            stock: CAPACITY,
        };
        engine.set_slots(station.id, vec![edit]).await??;
        Ok(())
    }
}

fn wallets(
    names: &[WalletName],
    keys: &vend_payments::sandbox::SandboxKeys,
    sandbox_url: &str,
    url: &str,
) -> anyhow::Result<Vec<Arc<dyn Wallet>>> {
    let mut wallets: Vec<Arc<dyn Wallet>> = Vec::new();
    for name in [WalletName::Wechat, WalletName::Alipay] {
        if !names.contains(&name) {
            continue;
        }
        let account = AccountId::new(name.account())?;
        let notify = format!("{url}/notify/{}", name.account());
        wallets.push(match name {
            WalletName::Wechat => {
                Arc::new(keys.wechat_account(account, sandbox_url, &notify, Some(&notify)).build()?)
            }
            WalletName::Alipay => Arc::new(keys.alipay_account(account, sandbox_url, &notify).build()?),
        });
    }
    Ok(wallets)
}

async fn start_server(
    options: &Options,
    dir: &Path,
    http: SocketAddr,
    url: &str,
    wallets: Vec<Arc<dyn Wallet>>,
) -> anyhow::Result<Server> {
    let online = dir.join("keys");
    if !keys::exist(&online) {
        // A set that was cut off half made is made again: nobody has seen any of it.
        let root = dir.join("keys-offline");
        for unfinished in [&online, &root] {
            if unfinished.exists() {
                std::fs::remove_dir_all(unfinished)?;
            }
        }
        keys::generate(&root, &online, u64::try_from(now_ms())?)?;
    }
    let settings = Settings {
        // Boards lose power on purpose here, far more often than a machine may by itself.
        doubtful_per_day: 100_000,
        ..Settings::default().scaled(options.time_scale)
    };
    let config = ServerConfig {
        database: dir.join("vend.db"),
        http,
        mqtt: SocketAddr::from(([127, 0, 0, 1], 0)),
        gateway: GatewayConfig::default(),
        settings,
        web: WebSettings { public_url: url.to_owned(), cookie_secure: false },
        keys: keys::load(&online)?,
        wallets,
    };
    Ok(Server::start(config).await?)
}

/// The operator's password: drawn once a folder.
async fn operator(server: &Server, dir: &Path) -> anyhow::Result<String> {
    let path = dir.join("operator-password.txt");
    if let Ok(password) = std::fs::read_to_string(&path)
        && password.ends_with('\n')
    {
        return Ok(password.trim_end().to_owned());
    }
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let password = hex(&random);
    server.engine().set_operator("operator", &password).await?;
    std::fs::write(&path, format!("{password}\n"))?;
    Ok(password)
}

async fn bind(wanted: Option<SocketAddr>, remembered: u16, usual: u16) -> anyhow::Result<TcpListener> {
    if let Some(addr) = wanted {
        return TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"));
    }
    for port in [remembered, usual, 0] {
        // Port 0 comes last and always works: any free one.
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return Ok(listener);
        }
        if port == remembered && port != 0 {
            tracing::warn!(
                port,
                "the port of last time is taken: notifications sent there are lost, queries find the payments"
            );
        }
    }
    bail!("no free port")
}

/// The address for the pages. It is given free again at once and taken by the server a moment later.
async fn free_http(wanted: Option<SocketAddr>, remembered: u16) -> anyhow::Result<SocketAddr> {
    let usual = if remembered == 0 { 8080 } else { 0 };
    Ok(bind(wanted, remembered, usual).await?.local_addr()?)
}

fn read_ports(dir: &Path) -> Ports {
    let text = std::fs::read(dir.join("ports.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_ports(dir: &Path, ports: &Ports) -> anyhow::Result<()> {
    // Renamed into place: a kill leaves the old file or the new one.
    let (new, path) = (dir.join("ports.json.new"), dir.join("ports.json"));
    std::fs::write(&new, serde_json::to_vec(ports)?)?;
    Ok(std::fs::rename(new, path)?)
}
