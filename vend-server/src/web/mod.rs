//! The pages and the API, over HTTP.
//!
//! Pages are rendered here, from templates compiled in; they work without scripts, and one small script keeps them live.
//! Whatever goes wrong becomes a `Problem`, which a last layer renders as the client asked.

mod assets;
mod customer;
mod form;
mod live;
mod login;
mod machine;
mod operator;
mod page;
mod problem;
mod qr;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::sync::Semaphore;

use crate::engine::Engine;

/// The longest form, in bytes.
const FORM_MAX: usize = 64 * 1024;
/// The longest claim of a machine, in bytes: one frame.
const CLAIM_MAX: usize = vend_protocol::frame::MACHINE_FRAME_MAX;
/// The longest notification of a wallet, in bytes.
const NOTIFICATION_MAX: usize = 64 * 1024;
/// Event streams at once; further ones are answered 503, and their pages stay as they are.
const EVENT_STREAMS: usize = 1_024;
/// The longest planogram form, in bytes: 999 slots fit.
const PLANOGRAM_MAX: usize = 256 * 1024;

/// What pages need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where customers and machines reach this server, as in `https://vend.example`: printed on labels and tickets.
    pub public_url: String,
    /// Whether the operators' cookie is for HTTPS only. Leave it on wherever there is HTTPS.
    pub cookie_secure: bool,
}

/// What every handler has. Cheap to clone.
#[derive(Clone)]
pub struct WebState {
    engine: Engine,
    settings: Arc<WebSettings>,
    streams: Arc<Semaphore>,
    tries: Arc<login::Tries>,
    checks: Arc<Semaphore>,
}

impl WebState {
    /// Pages over an engine.
    pub fn new(engine: Engine, mut settings: WebSettings) -> Self {
        let trimmed = settings.public_url.trim_end_matches('/').len();
        settings.public_url.truncate(trimmed);
        Self {
            engine,
            settings: Arc::new(settings),
            streams: Arc::new(Semaphore::new(EVENT_STREAMS)),
            tries: Arc::default(),
            checks: Arc::new(Semaphore::new(login::CHECKS)),
        }
    }

    /// The address on a machine's label.
    fn label_url(&self, machine: vend_protocol::MachineId) -> String {
        format!("{}/m/{machine}", self.settings.public_url)
    }
}

/// Every page and call of the server.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that logins are counted by peer.
pub fn router(web: WebState) -> Router {
    Router::new()
        // Customers.
        .route("/m/{id}", get(customer::phone))
        .route("/m/{id}/screen", get(customer::screen))
        .route("/m/{id}/orders", post(customer::place))
        .route("/m/{id}/events", get(live::machine))
        .route("/o/{order}", get(customer::order))
        .route("/o/{order}/cancel", post(customer::cancel))
        .route("/o/{order}/events", get(live::order))
        // Machines and wallets.
        .route("/enrol", post(machine::enrol).layer(DefaultBodyLimit::max(CLAIM_MAX)))
        .route("/notify/{account}", post(machine::notify).layer(DefaultBodyLimit::max(NOTIFICATION_MAX)))
        .route("/health", get(machine::health))
        // Operators.
        .route("/", get(login::home))
        .route("/login", get(login::show).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/operator/machines", get(operator::machines::list).post(operator::machines::add))
        .route("/operator/machines/{id}", get(operator::machine::show))
        .route(
            "/operator/machines/{id}/slots",
            post(operator::machine::save).layer(DefaultBodyLimit::max(PLANOGRAM_MAX)),
        )
        .route("/operator/machines/{id}/slots/add", post(operator::machine::add_slot))
        .route("/operator/machines/{id}/slots/remove", post(operator::machine::remove_slot))
        .route("/operator/machines/{id}/stopped", post(operator::machine::stop))
        .route("/operator/machines/{id}/quarantine/lift", post(operator::machine::lift_quarantine))
        .route("/operator/machines/{id}/ticket", post(operator::machine::ticket))
        .route("/operator/machines/{id}/label", get(operator::machine::label))
        .route("/operator/products", get(operator::products::list).post(operator::products::add))
        .route("/operator/products/{id}", post(operator::products::rename))
        .route("/operator/orders", get(operator::orders::list))
        .route("/operator/orders/{id}", get(operator::orders::show))
        .route("/operator/alarms", get(operator::alarms::list))
        .route("/operator/events", get(live::operator))
        // What pages are made of.
        .route("/assets/{name}", get(assets::asset))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(middleware::from_fn(problem::finish))
        .with_state(web)
}
