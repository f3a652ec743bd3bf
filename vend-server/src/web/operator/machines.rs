//! The fleet.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use vend_protocol::{Currency, MachineId};

use super::super::{
    WebState, assets,
    login::{Operator, OperatorForm},
    page::page,
    problem::Problem,
    views::fleet,
};
use crate::engine::Login;

/// The form as it was filled in, to be shown again with what is wrong.
#[derive(Default)]
struct Entered {
    number: String,
    name: String,
    place: String,
}

#[derive(Template)]
#[template(path = "operator/machines.html")]
struct MachinesPage {
    assets: &'static str,
    login: Login,
    machines: Vec<fleet::Row>,
    entered: Entered,
    refusal: Option<&'static str>,
}

async fn machines(
    web: &WebState,
    login: Login,
    entered: Entered,
    refusal: Option<&'static str>,
) -> Result<Response, Problem> {
    let machines = fleet::machines(web).await?;
    let page = page(&MachinesPage { assets: assets::VERSION.as_str(), login, machines, entered, refusal })?;
    let status = if refusal.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, page).into_response())
}

/// `GET /operator/machines`.
pub(in crate::web) async fn list(
    State(web): State<WebState>,
    Operator(login): Operator,
) -> Result<Response, Problem> {
    machines(&web, login, Entered::default(), None).await
}

/// `POST /operator/machines`: adds one.
pub(in crate::web) async fn add(
    State(web): State<WebState>,
    OperatorForm { login, fields }: OperatorForm,
) -> Result<Response, Problem> {
    let number: Option<MachineId> = fields.one("number").parse().ok();
    let (name, place) = (super::text(&fields, "name"), super::text(&fields, "place"));
    let refusal = match (number, name, place) {
        (None, ..) => "A machine's number is 1 or more, in digits.",
        (_, None | Some(""), _) => "A machine has a name, of at most 200 bytes.",
        (_, _, None) => "The place is too long.",
        (Some(id), ..) if fleet::machine(&web, id).await.is_ok() => {
            "There is a machine with this number already."
        }
        (Some(id), Some(name), Some(place)) => {
            web.engine.add_machine(id, name, place, Currency::CNY).await?;
            return Ok(Redirect::to(&format!("/operator/machines/{id}")).into_response());
        }
    };
    let entered = Entered {
        number: fields.one("number").to_owned(),
        name: fields.one("name").to_owned(),
        place: fields.one("place").to_owned(),
    };
    machines(&web, login, entered, Some(refusal)).await
}
