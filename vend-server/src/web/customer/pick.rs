//! Picking products, and placing the order.

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use vend_payments::wallet::{AccountId, Wallet};
use vend_protocol::{MachineId, SlotId};

use super::super::{
    WebState, assets,
    form::{Fields, MachinePath},
    page::{page, wallet_name},
    problem::{Problem, Wanted},
    qr,
    views::{order::row_id, shop},
};
use crate::engine::{Pick, PickRefused, Placed, Source};

/// A wallet's button.
struct Button {
    account: String,
    name: String,
}

#[derive(Template)]
#[template(path = "screen.html")]
struct ScreenPage {
    assets: &'static str,
    machine: shop::Machine,
    tiles: Vec<shop::Tile>,
    cards: Vec<shop::Card>,
    wallets: Vec<Button>,
    refusal: Option<String>,
    label: String,
}

#[derive(Template)]
#[template(path = "phone.html")]
struct PhonePage {
    assets: &'static str,
    machine: shop::Machine,
    tiles: Vec<shop::Tile>,
    wallets: Vec<Button>,
    refusal: Option<String>,
}

/// `GET /m/{id}/screen`: what the machine's own screen shows.
pub(in crate::web) async fn screen(
    State(web): State<WebState>,
    MachinePath(machine): MachinePath,
) -> Result<Response, Problem> {
    picking(&web, machine, Source::Screen, None, &[]).await
}

/// `GET /m/{id}`: what the machine's label leads to.
pub(in crate::web) async fn phone(
    State(web): State<WebState>,
    MachinePath(machine): MachinePath,
) -> Result<Response, Problem> {
    picking(&web, machine, Source::Phone, None, &[]).await
}

async fn picking(
    web: &WebState,
    machine: MachineId,
    source: Source,
    refusal: Option<String>,
    picked: &[String],
) -> Result<Response, Problem> {
    let machine = shop::machine(web, machine).await?;
    let tiles = shop::tiles(web, &machine, picked).await?;
    let takes = |wallet: &Arc<dyn Wallet>| wallet.takes(machine.currency);
    let button = |wallet: Arc<dyn Wallet>| Button {
        account: wallet.account().to_string(),
        name: wallet_name(wallet.provider()).to_owned(),
    };
    let wallets = web.engine.wallets().into_iter().filter(takes).map(button).collect();
    let assets = assets::VERSION.as_str();
    match source {
        Source::Screen => {
            let cards = shop::cards(web, &machine).await?;
            let label = qr::svg(&web.label_url(machine.id), "QR code of this machine's page for phones");
            page(&ScreenPage { assets, machine, tiles, cards, wallets, refusal, label })
        }
        Source::Phone => page(&PhonePage { assets, machine, tiles, wallets, refusal }),
    }
}

/// What a program gets that placed an order.
#[derive(serde::Serialize)]
struct PlacedBody {
    order: u64,
    token: String,
    code: String,
}

/// `POST /m/{id}/orders`.
pub(in crate::web) async fn place(
    State(web): State<WebState>,
    MachinePath(machine): MachinePath,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&headers);
    let source = match fields.one("from") {
        "screen" => Source::Screen,
        "phone" | "" => Source::Phone,
        _ => return Err(Problem::unprocessable("An order is from the screen or from a phone.")),
    };
    let picked: Vec<String> = fields.all("slot").map(str::to_owned).collect();
    let placed = match parse(&fields, &picked) {
        Ok((slots, account)) => place_whole(&web, Pick { machine, slots, account, source }).await?,
        Err(refused) => Err(refused),
    };
    match (placed, wanted) {
        (Ok(placed), Wanted::Json) => {
            let offer = shop::offer(&web, row_id(placed.order), i64::MAX).await?;
            // An order that was paid or closed within this moment shows no code any more.
            let code = offer.map(|offer| offer.code).unwrap_or_default();
            Ok(Json(PlacedBody { order: placed.order.number(), token: placed.token, code }).into_response())
        }
        (Ok(placed), _) => Ok(match source {
            Source::Screen => Redirect::to(&format!("/m/{machine}/screen")).into_response(),
            Source::Phone => Redirect::to(&format!("/o/{}?t={}", placed.order, placed.token)).into_response(),
        }),
        (Err(refused), Wanted::Html) if status(refused) != StatusCode::NOT_FOUND => {
            let text = sentence(&refused.to_string());
            let mut response = picking(&web, machine, source, Some(text), &picked).await?;
            *response.status_mut() = status(refused);
            Ok(response)
        }
        (Err(refused), _) => Err(Problem::new(status(refused), sentence(&refused.to_string()))),
    }
}

fn parse(fields: &Fields, picked: &[String]) -> Result<(Vec<SlotId>, AccountId), PickRefused> {
    let slots = picked.iter().map(|slot| slot.parse().map_err(|_| PickRefused::NoSlot));
    let slots = slots.collect::<Result<Vec<SlotId>, _>>()?;
    let account = AccountId::new(fields.one("wallet")).map_err(|_| PickRefused::NoWallet)?;
    Ok((slots, account))
}

/// Places an order in a task of its own: a customer who closes the page in the middle must not leave half an order.
async fn place_whole(web: &WebState, pick: Pick) -> Result<Result<Placed, PickRefused>, Problem> {
    let engine = web.engine.clone();
    let task = tokio::spawn(async move { engine.place_order(pick).await });
    let placed = task.await.map_err(|_| {
        tracing::error!("placing an order ended early");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The server cannot do this at the moment.")
    })?;
    Ok(placed?)
}

fn status(refused: PickRefused) -> StatusCode {
    match refused {
        PickRefused::NoMachine => StatusCode::NOT_FOUND,
        PickRefused::Nothing | PickRefused::TooMany | PickRefused::NoSlot | PickRefused::NoWallet => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        PickRefused::WalletSilent => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
