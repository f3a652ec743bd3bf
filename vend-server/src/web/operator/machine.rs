//! One machine: its planogram, its board, its label.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use vend_protocol::{Currency, MachineId, Money, SlotId};

use super::super::{
    WebState, assets,
    form::{Fields, MachinePath},
    login::{Operator, OperatorForm},
    page::page,
    problem::Problem,
    qr,
    views::fleet::{self, Slot},
};
use crate::engine::{Login, SlotEdit};

/// Products to choose from in a slot.
const PRODUCTS: i64 = 10_000;

#[derive(Template)]
#[template(path = "operator/machine.html")]
struct MachinePage {
    assets: &'static str,
    login: Login,
    machine: fleet::Machine,
    products: Vec<fleet::Product>,
    /// The form for one more slot.
    new: Option<Slot>,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "operator/ticket.html")]
struct TicketPage<'a> {
    assets: &'static str,
    login: Login,
    machine: fleet::Machine,
    ticket: &'a str,
    code: String,
}

#[derive(Template)]
#[template(path = "operator/label.html")]
struct LabelPage {
    assets: &'static str,
    machine: fleet::Machine,
    url: String,
    code: String,
}

/// `GET /operator/machines/{id}`.
pub(in crate::web) async fn show(
    State(web): State<WebState>,
    Operator(login): Operator,
    MachinePath(id): MachinePath,
) -> Result<Response, Problem> {
    let machine = fleet::machine(&web, id).await?;
    render(&web, login, machine, None, None).await
}

async fn render(
    web: &WebState,
    login: Login,
    machine: fleet::Machine,
    new: Option<Slot>,
    refusal: Option<String>,
) -> Result<Response, Problem> {
    let products = fleet::products(web, "", PRODUCTS).await?;
    let status = if refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let assets = assets::VERSION.as_str();
    let page = page(&MachinePage { assets, login, machine, products, new, refusal })?;
    Ok((status, page).into_response())
}

fn back(machine: MachineId) -> Response {
    Redirect::to(&format!("/operator/machines/{machine}")).into_response()
}

/// The rows of the form, as entered.
fn rows(fields: &Fields) -> Vec<Slot> {
    let column = |name| fields.all(name).collect::<Vec<_>>();
    let (products, prices) = (column("product"), column("price"));
    let (capacities, stocks, was) = (column("capacity"), column("stock"), column("was"));
    let rows = fields.all("slot").enumerate().map(|(at, slot)| {
        let text = |column: &[&str]| column.get(at).copied().unwrap_or_default().to_owned();
        Slot {
            number: slot.parse().unwrap_or(0),
            product: text(&products).parse().unwrap_or(0),
            price: text(&prices),
            capacity: text(&capacities),
            stock: text(&stocks),
            reserved: 0,
            was: text(&was),
        }
    });
    rows.collect()
}

/// Reads a row, or says in words what is wrong with it.
fn parse(row: &Slot, currency: Currency) -> Result<SlotEdit, String> {
    let at = |what: &str| format!("Not saved: slot {}: {what}.", row.number);
    let id = u64::try_from(row.number).ok().and_then(|slot| SlotId::new(slot).ok());
    Ok(SlotEdit {
        slot: id.ok_or("Not saved: a slot's number is 1 to 999.")?,
        product: super::product(&row.product.to_string()).ok_or_else(|| at("choose a product"))?,
        price_minor: Money::parse_decimal(&row.price, currency)
            .map_err(|_| at("a price looks like 3.50"))?
            .minor(),
        capacity: row.capacity.parse().map_err(|_| at("the capacity is a number from 0 to 9,999"))?,
        stock: row.stock.parse().map_err(|_| at("the stock is a number from 0 to 9,999"))?,
    })
}

/// `POST /operator/machines/{id}/slots`: saves the planogram. Only values that the operator has changed are written, since
/// sales go on while the form is open.
pub(in crate::web) async fn save(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let mut machine = fleet::machine(&web, id).await?;
    let mut edits = Vec::new();
    let mut refusal = None;
    for mut row in rows(&fields) {
        let Some(now) = machine.slots.iter_mut().find(|slot| slot.number == row.number) else {
            refusal = Some(format!("Not saved: slot {} is not there any more.", row.number));
            continue;
        };
        if row.now() == row.was {
            continue;
        }
        row.keep_unchanged(now);
        match parse(&row, machine.currency) {
            Ok(edit) => edits.push(edit),
            Err(why) => refusal = Some(refusal.unwrap_or(why)),
        }
        // Shown again as entered when something is wrong.
        *now = Slot { reserved: now.reserved, ..row };
    }
    if refusal.is_none() && !edits.is_empty() {
        let saved = web.engine.set_slots(id, edits).await?;
        refusal = saved.err().map(|refused| format!("Not saved: {refused}."));
    }
    if refusal.is_none() { Ok(back(id)) } else { render(&web, login, machine, None, refusal).await }
}

/// `POST /operator/machines/{id}/slots/add`.
pub(in crate::web) async fn add_slot(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let machine = fleet::machine(&web, id).await?;
    let Some(row) = rows(&fields).into_iter().next() else {
        return Err(Problem::unprocessable("Say which slot to add."));
    };
    let refusal = if machine.slots.iter().any(|slot| slot.number == row.number) {
        Some(format!("Not saved: slot {} is there already.", row.number))
    } else {
        match parse(&row, machine.currency) {
            Ok(edit) => {
                let saved = web.engine.set_slots(id, vec![edit]).await?;
                saved.err().map(|refused| format!("Not saved: {refused}."))
            }
            Err(why) => Some(why),
        }
    };
    if refusal.is_none() { Ok(back(id)) } else { render(&web, login, machine, Some(row), refusal).await }
}

/// `POST /operator/machines/{id}/slots/remove`.
pub(in crate::web) async fn remove_slot(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { fields, .. }: OperatorForm,
) -> Result<Response, Problem> {
    let slot = fields.one("slot").parse().map_err(|_| Problem::not_found("slot"))?;
    web.engine.remove_slot(id, slot).await?;
    Ok(back(id))
}

/// `POST /operator/machines/{id}/stopped`: out of service for a reason (`why`), or back into it (no `why`).
pub(in crate::web) async fn stop(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let machine = fleet::machine(&web, id).await?;
    let Some(why) = super::text(&fields, "why") else {
        return render(&web, login, machine, None, Some("The reason is too long.".to_owned())).await;
    };
    let why = match (fields.one("action"), why) {
        ("start", _) => None,
        ("stop", "") => Some("stopped by the operator"),
        ("stop", why) => Some(why),
        _ => return Err(Problem::unprocessable("A machine is stopped or started.")),
    };
    web.engine.set_stopped(id, why).await?;
    Ok(back(id))
}

/// `POST /operator/machines/{id}/quarantine/lift`: the receipts have been looked into; the machine may sell again.
pub(in crate::web) async fn lift_quarantine(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { login, .. }: OperatorForm,
) -> Result<Response, Problem> {
    web.engine.lift_quarantine(id, &login.operator).await?;
    Ok(back(id))
}

/// `POST /operator/machines/{id}/ticket`: makes a claim code and shows it, this once.
pub(in crate::web) async fn ticket(
    State(web): State<WebState>,
    MachinePath(id): MachinePath,
    OperatorForm { login, .. }: OperatorForm,
) -> Result<Response, Problem> {
    let machine = fleet::machine(&web, id).await?;
    let ticket = web.engine.new_ticket(id, &web.settings.public_url).await?;
    let ticket = ticket.reveal();
    let code = qr::svg(ticket, "QR code of the ticket");
    page(&TicketPage { assets: assets::VERSION.as_str(), login, machine, ticket, code })
}

/// `GET /operator/machines/{id}/label`: to be printed and put on the machine.
pub(in crate::web) async fn label(
    State(web): State<WebState>,
    Operator(_): Operator,
    MachinePath(id): MachinePath,
) -> Result<Response, Problem> {
    let machine = fleet::machine(&web, id).await?;
    let url = web.label_url(id);
    let code = qr::svg(&url, "QR code of this machine's page for phones");
    page(&LabelPage { assets: assets::VERSION.as_str(), machine, url, code })
}
